"""The files of the forecast bench as the product's own values: truth, generation, issued weather, published forecasts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.weather import RUN_HOURS, WeatherRuns

LEADS = 96
FUEL_GROUPS = {
    **{"coal": "coal", "nat_gas": "gas", "nuclear": "nuclear", "hydro": "hydro", "solar": "solar", "wind": "wind"},
    **{"oil": "other", "biomass": "other", "geothermal": "other", "other": "other", "unknown": "other"},
}
"""The bench's fuels by group of `past.FUELS`."""
WEATHER_COLUMNS = ["wind_speed", "temperature_k", "dewpoint_k", "dswrf_wm2", "precip"]
OVER_THE_STEP = ("dswrf_wm2", "precip")
"""Means over the three hours that end at the lead; the others are of that instant."""
STEPS_H = np.arange(3, LEADS + 1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A window of the bench.

    Attributes:
        name: As its README calls it.
        grids: In the bench's names.
        first_at, last_at: First and last issue, one a day.
    """

    name: str
    grids: tuple[str, ...]
    first_at: datetime
    last_at: datetime


SPANS = (
    Span(
        name="2021q3",
        grids=("CISO", "PJM", "DE", "ES", "PL", "MISO"),
        first_at=datetime(2021, 7, 1, tzinfo=UTC),
        last_at=datetime(2021, 9, 30, tzinfo=UTC),
    ),
    Span(
        name="2022h1",
        grids=("CISO", "PJM", "MISO"),
        first_at=datetime(2022, 1, 1, tzinfo=UTC),
        last_at=datetime(2022, 6, 27, tzinfo=UTC),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """One grid in one window.

    Attributes:
        past: All hours of the files, with generation and weather; what an issue may see is up to the caller.
        carboncast: Published forecasts by instant of issue, each of shape (96,); empty where there are none.
        spike_from_at: First hour that the spike may learn from.
    """

    past: ZonePast
    carboncast: dict[datetime, FloatArray] = field(default_factory=dict)
    spike_from_at: datetime

    def position(self, at: datetime) -> int:
        """Number of the hour that begins at an instant."""
        return (at - self.past.start_at) // timedelta(hours=1)

    def truth(self, issue: np.ndarray[Any, Any]) -> FloatArray:
        """What came true after some issues, shape (issues, 96)."""
        return self.past.values_gco2_per_kwh[issue[:, np.newaxis] + np.arange(LEADS)]

    def delayed(self, delay_h: int) -> Grid:
        """The same with weather that is there so many hours after the start of its run."""
        assert self.past.weather is not None
        return replace(self, past=replace(self.past, weather=replace(self.past.weather, delay_h=delay_h)))


def read_span(bench: Path, span: Span, grids: tuple[str, ...]) -> dict[str, Grid]:
    """Read the grids of a window.

    Raises:
        ConfigError: A file is not there or lacks a grid.
    """
    files = {
        name: _read(bench / f"{name}.parquet")
        for name in (
            "truth_carboncast_to_2021q3",
            "truth_ensembleci_us_2019_2022h1",
            "weather_gfs_issued_to_2021q3",
            "weather_ensembleci_us_2019_2022h1",
            "carboncast_issued_2021q3",
        )
    }
    own, american, runs, hourly, issued = files.values()
    out = {}
    for grid in grids:
        is_first = span.name == SPANS[0].name
        truth = own[own["zone"] == grid] if is_first else own[:0]
        earlier = american[american["zone"] == grid]
        # The American file goes on: it is cut at the last hour that a score of the window needs.
        earlier = earlier[earlier["time_utc"] < (truth["time_utc"].min() if len(truth) else span.last_at + timedelta(hours=LEADS))]
        table = pd.concat([earlier, truth]).sort_values("time_utc").set_index("time_utc")
        if table.empty or (np.diff(table.index.to_numpy()) != np.timedelta64(1, "h")).any():
            raise ConfigError(f"{bench}: the truth of {grid} is missing or has gaps")
        of_grid = runs[runs["zone"] == grid]
        weather = _runs(of_grid) if is_first and len(of_grid) else _runs_of_hours(hourly[hourly["zone"] == grid])
        out[grid] = Grid(
            past=ZonePast(
                zone=grid,
                start_at=table.index[0].to_pydatetime(),
                values_gco2_per_kwh=table["ci_lifecycle"].to_numpy(np.float64),
                generation=_generation(table),
                weather=weather,
            ),
            carboncast=_issued(issued[(issued["zone"] == grid) & (issued["kind"] == "lifecycle")]) if is_first else {},
            spike_from_at=(truth if len(truth) else table.reset_index())["time_utc"].min().to_pydatetime(),
        )
    return out


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path).astype({"zone": str})
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _generation(table: pd.DataFrame) -> dict[str, FloatArray]:
    groups: dict[str, FloatArray] = {}
    for fuel, group in FUEL_GROUPS.items():
        if fuel in table and table[fuel].notna().any():
            power = np.maximum(np.nan_to_num(table[fuel].to_numpy(np.float64)), 0.0)
            groups[group] = groups.get(group, np.zeros(len(power))) + power
    return groups


def _runs(table: pd.DataFrame) -> WeatherRuns:
    """Three-hourly leads as means of hours."""
    table = table.sort_values(["run_time_utc", "lead_h"])
    days = pd.DatetimeIndex(table["run_time_utc"].unique())
    steps = table[WEATHER_COLUMNS].to_numpy(np.float64).reshape(len(days), len(STEPS_H), len(WEATHER_COLUMNS))
    middle = np.arange(LEADS) + 0.5
    values = np.empty((len(days), LEADS, len(WEATHER_COLUMNS)))
    for index, name in enumerate(WEATHER_COLUMNS):
        at = STEPS_H - (1.5 if name in OVER_THE_STEP else 0.0)
        values[:, :, index] = [np.interp(middle, at, run) for run in steps[:, :, index]]
    return WeatherRuns(first_run_at=days[0].to_pydatetime(), values=values, delay_h=0)


def _runs_of_hours(table: pd.DataFrame) -> WeatherRuns:
    """One value an hour, from the run three days before its day: what is known at an issue of the next 96 hours."""
    series = table.drop_duplicates("target_time_utc").set_index("target_time_utc").sort_index()[WEATHER_COLUMNS].asfreq("h")
    first_at = series.index[0].ceil("D")
    hours = series[series.index >= first_at].to_numpy(np.float64)
    days = len(hours) // RUN_HOURS
    padded = np.concatenate([hours, np.full((LEADS, hours.shape[1]), np.nan)])
    values = np.stack([padded[day * RUN_HOURS : day * RUN_HOURS + LEADS] for day in range(days)])
    return WeatherRuns(first_run_at=first_at.to_pydatetime(), values=values, delay_h=0)


def _issued(table: pd.DataFrame) -> dict[datetime, FloatArray]:
    return {
        at.to_pydatetime(): of_issue.sort_values("lead_h")["forecast"].to_numpy(np.float64)
        for at, of_issue in table.groupby("issue_time_utc")
        if len(of_issue) == LEADS
    }
