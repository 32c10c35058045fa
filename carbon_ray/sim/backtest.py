"""Forecasts as they would have been issued, day after day, and how good each of them was: any zones, any forecasters, one history.

A forecaster is handed what had ended by the issue and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import MEDIAN
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.core.units import S_PER_H
from carbon_ray.forecasting.base import QUANTILES, Forecaster
from carbon_ray.sim.forecast_skill import decision_value, mape, pinball, rank_correlation

DAY_H = 24
LOW, HIGH = min(QUANTILES), max(QUANTILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One forecaster in one zone, one day ahead.

    Attributes:
        zone: Grid zone.
        forecaster: Name.
        day: Day ahead, from 1.
        issues: Issues that were scored.
        mape_fraction: Mean absolute error of the median as a share of the truth.
        mae_gco2_per_kwh: Mean absolute error of the median.
        pinball_gco2_per_kwh: Mean loss over all quantiles.
        coverage80_fraction: Share of hours between the outer quantiles.
        rank_correlation: Within the day, mean over issues.
        decision_value_fraction: Share of the clairvoyant saving that is kept; see `forecast_skill.decision_value`.
    """

    zone: str
    forecaster: str
    day: int
    issues: int
    mape_fraction: float
    mae_gco2_per_kwh: float
    pinball_gco2_per_kwh: float
    coverage80_fraction: float
    rank_correlation: float
    decision_value_fraction: float


def backtest(
    history: Mapping[str, IntensitySeries],
    forecasters: Mapping[str, Forecaster],
    *,
    first_at: datetime,
    last_at: datetime,
    step: timedelta,
    days: int,
    told: Callable[[str], None] = lambda words: None,
) -> list[Score]:
    """Issue and score.

    Args:
        history: What came true, by zone, for as long as issues and their days reach.
        forecasters: By name.
        first_at: First issue, aware UTC.
        last_at: No issue after it.
        step: Between issues.
        days: Days ahead.
        told: Is given a line after each forecaster.

    Raises:
        ConfigError: The history does not hold an issue with its days.
        ForecastError: A zone has no interval that ended by the first issue.
    """
    end_at = min(series.end_at for series in history.values())
    last_at = min(last_at, end_at - timedelta(days=days))
    issues = [first_at + number * step for number in range(max(0, (last_at - first_at) // step + 1))]
    if not issues or any(series.start_at >= first_at for series in history.values()):
        raise ConfigError(f"the history has no issue from {first_at:%Y-%m-%d} on with hours before it and {days} days after it")
    truth = {zone: np.stack([series.resample(at, S_PER_H, days * DAY_H) for at in issues]) for zone, series in history.items()}
    scores = []
    for name, forecaster in forecasters.items():
        said: dict[str, list[dict[float, FloatArray]]] = {zone: [] for zone in history}
        for at in issues:
            known = {zone: series.window(series.start_at, _on_grid(series, at)) for zone, series in history.items()}
            made = forecaster.forecast(known, now=at, horizon_s=days * DAY_H * S_PER_H)
            for zone, one in made.items():
                said[zone].append({level: one.resample(at, S_PER_H, days * DAY_H, level) for level in QUANTILES})
        for zone in history:
            levels = {level: np.stack([one[level] for one in said[zone]]) for level in QUANTILES}
            scores += _scored(zone, name, truth[zone], levels)
        told(f"{name}: {len(issues)} issues of {len(history)} zones")
    return scores


def _on_grid(series: IntensitySeries, at: datetime) -> datetime:
    """The end of the last interval that had ended."""
    return series.start_at + (at - series.start_at) // timedelta(seconds=series.step_s) * timedelta(seconds=series.step_s)


def _scored(zone: str, name: str, truth: FloatArray, said: Mapping[float, FloatArray]) -> list[Score]:
    scores = []
    for day in range(truth.shape[1] // DAY_H):
        hours = slice(day * DAY_H, (day + 1) * DAY_H)
        true, levels = truth[:, hours], {level: values[:, hours] for level, values in said.items()}
        scores.append(
            Score(
                zone=zone,
                forecaster=name,
                day=day + 1,
                issues=len(truth),
                mape_fraction=mape(true, levels[MEDIAN]),
                mae_gco2_per_kwh=float(np.abs(levels[MEDIAN] - true).mean()),
                pinball_gco2_per_kwh=float(np.mean([pinball(true, values, level) for level, values in levels.items()])),
                coverage80_fraction=float(((levels[LOW] <= true) & (true <= levels[HIGH])).mean()),
                rank_correlation=rank_correlation(true, levels[MEDIAN]),
                decision_value_fraction=decision_value(true, levels[MEDIAN]),
            )
        )
    return scores
