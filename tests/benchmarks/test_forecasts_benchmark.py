"""The forecast benchmark: its rows and summary, a yardstick without a future, and the real files where they are."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import forecasts
from benchmarks.forecast_bench import LEADS, SPANS, Grid, read_span
from benchmarks.forecast_spike import features
from benchmarks.tables import forecasts_history_table, forecasts_table
from carbon_ray.core.errors import ConfigError
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.weather import WEATHER, WeatherRuns

BENCH = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[3] / "shared" / "data")) / "forecast_bench"
T0 = datetime(2020, 1, 1, tzinfo=UTC)
HOURS = 24 * 60


def grid_of(values: np.ndarray, runs: np.ndarray) -> Grid:  # type: ignore[type-arg]
    past = ZonePast(
        zone="X",
        start_at=T0,
        values_gco2_per_kwh=values,
        generation={"wind": values / 5, "gas": 100 + values},
        weather=WeatherRuns(first_run_at=T0, values=runs, delay_h=0),
    )
    return Grid(past=past, spike_from_at=T0)


def test_the_yardstick_does_not_look_past_the_issue() -> None:
    draw = np.random.default_rng(0)
    values, runs = draw.uniform(100, 500, HOURS), draw.uniform(0, 9, (60, LEADS, len(WEATHER)))
    issue = 24 * 40
    shifted, later = values.copy(), runs.copy()
    shifted[issue:], later[41:] = 5000.0, 99.0
    at = np.array([issue])
    rows, base = features(grid_of(values, runs), at)
    again, same = features(grid_of(shifted, later), at)
    assert rows.shape == (1, LEADS, 29 + 2 * 2)
    assert np.array_equal(rows, again)
    assert np.array_equal(base, same)
    changed = values.copy()
    changed[issue - 1] += 1
    assert not np.array_equal(rows, features(grid_of(changed, runs), at)[0])
    late = features(grid_of(values, runs).delayed(5), at)[0]
    assert np.isnan(late[0, 72:, 12]).all()
    assert late[0, :72, 12] == pytest.approx(runs[39, 24:, 0])


def row(grid: str, day: int, ours: float, carboncast: float | None, **more: float) -> dict[str, object]:
    others = {"mape_persistence": 9.0, "mape_ewma": 8.0, "mape_spike": 5.0, "coverage80_fraction": 0.8} | more
    return {"window": "w", "weather_run": "D", "grid": grid, "day": day, "mape": ours, "mape_carboncast": carboncast, **others}


@pytest.mark.parametrize(
    ("rows", "floors", "carboncast"),
    [
        ([row("DE", 1, 4.0, 6.0), row("CISO", 1, 6.5, 6.0)], True, True),
        ([row("DE", 1, 4.0, 6.0), row("CISO", 1, 6.7, 6.0)], True, False),
        ([row("DE", 1, 6.1, 6.0)], True, False),
        ([row("DE", 1, 4.0, None), row("DE", 2, 8.0, None)], False, True),
    ],
)
def test_the_summary_says_what_the_rows_come_to(rows: list[dict[str, object]], floors: bool, carboncast: bool) -> None:
    told = forecasts.bench_summary(rows)
    assert told["beats_floors_everywhere"] is floors
    assert told["beats_carboncast_where_asked"] is carboncast
    assert told["mape_ratio_to_spike"] == pytest.approx(np.mean([one["mape"] for one in rows]) / 5.0)
    assert told["coverage80_fraction"] == pytest.approx(0.8)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    hours = pd.date_range("2021-06-01", "2022-01-15", freq="h", inclusive="left", tz="UTC")
    draw = np.random.default_rng(0)
    frames = []
    for zone in ("AA", "BB"):
        noise = np.zeros(len(hours))
        for hour in range(1, len(hours)):
            noise[hour] = 0.95 * noise[hour - 1] + 8 * draw.standard_normal()
        values = 300 + 90 * np.sin(2 * np.pi * hours.hour / 24) + noise
        frames.append(pd.DataFrame({"zone": zone, "time_utc": hours, "gco2_per_kwh": values, "kind": "average_lifecycle"}))
    path = tmp_path / "trace.parquet"
    pd.concat(frames).to_parquet(path)
    return path


def test_history_alone_on_any_trace(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    words = ["--traces", str(trace), "--year", "2022", "--rows", "4000", "--rounds", "15", "--threads", "1", "--json", str(out)]
    assert forecasts.main(words) == 0
    told = json.loads(out.read_text())
    assert [(one["zone"], one["day"]) for one in told["rows"]] == [(zone, day) for zone in ("AA", "BB") for day in range(1, 8)]
    assert {one["issues"] for one in told["rows"]} == {8}
    first = told["rows"][0]
    assert 0 < first["mape"] < first["mape_persistence"]  # eight days are too few to tell it from the better floor
    assert set(told["summary"]) >= {"beats_floors_everywhere", "above_a_floor", "decision_value_fraction", "coverage80_fraction"}
    assert told["settings"]["seed"] == 0
    assert forecasts_history_table(told).count("\n") == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--traces", "nothing.parquet", "--zones", "DE"], "nothing.parquet"),
        (["--bench", "nowhere"], "nowhere"),
        (["--bench", "nowhere", "--windows", "2031"], "--windows names none of 2021q3, 2022h1"),
        (["--bench", "nowhere", "--runs", "D-9"], "--runs takes D, D-1, not 'D-9'"),
    ],
)
def test_bad_input_is_told_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert forecasts.main(words) == 2
    assert told in capsys.readouterr().err


def test_a_trace_without_a_past_is_refused(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forecasts.main(["--traces", str(trace), "--year", "2021"]) == 2
    assert "three months of hours before 2021" in capsys.readouterr().err


@pytest.mark.skipif(not BENCH.exists(), reason="the forecast bench is not on this machine")
def test_the_files_of_the_bench_are_read_as_they_are_meant() -> None:
    grids = read_span(BENCH, SPANS[0], ("DE", "MISO"))
    assert len(grids["DE"].carboncast) == 92
    assert not grids["MISO"].carboncast
    floors = {"DE": 25.10, "MISO": 5.30}
    for name, grid in grids.items():
        at = [SPANS[0].first_at + timedelta(days=day) for day in range(92)]
        issue = np.array([grid.position(one) for one in at])
        truth = grid.truth(issue)
        assert truth.shape == (92, LEADS)
        day = grid.past.values_gco2_per_kwh[issue[:, None] - 24 + np.arange(24)]
        error = 100 * np.mean(np.abs(np.tile(day, 4) - truth) / truth)
        assert error == pytest.approx(floors[name], abs=0.01)  # as the bench's own README says
        # Weather of the day of issue is known, of the day before with the delay that runs have.
        assert grid.past.weather is not None
        told = grid.past.weather.ahead(issue, grid.past.start_at, LEADS)
        assert np.isfinite(told).all()
        late = replace(grid.past.weather, delay_h=5).ahead(issue, grid.past.start_at, LEADS)
        assert np.isfinite(late[:, :72]).all()
        assert np.isnan(late[:, 72:]).all()
        sun, power = told[:, :24, 3].ravel(), np.concatenate([grid.past.generation["solar"][one : one + 24] for one in issue])
        assert np.corrcoef(sun, power)[0, 1] > 0.85
    with pytest.raises(ConfigError, match="truth of XX is missing"):
        read_span(BENCH, SPANS[0], ("XX",))


def test_the_table_has_a_row_for_each_grid_and_run() -> None:
    rows = [row("DE", day, 4.0 + day, 6.0) for day in (1, 2)] + [row("MISO", day, 3.0, None) for day in (1, 2)]
    table = forecasts_table({"by_run": {"D": {"rows": rows}}})
    assert "| D | w | DE | 5.00 / 6.00 | **5.50** | 6.00 | 5.00 | 9.00 | 8.00 | 80.0 % |" in table
    assert "| D | w | MISO | 3.00 / 3.00 | **3.00** | - | 5.00 | 9.00 | 8.00 | 80.0 % |" in table
