"""The benchmark of sweeps: its form on a small synthetic trace, and its arithmetic by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tune_scale, tune_sweep
from benchmarks.sweep_courses import Course, Meter, Shape
from benchmarks.sweep_curves import read_tasks
from benchmarks.sweep_grid import IssuedForecasts, Issues
from benchmarks.sweep_world import EPOCH, Sweep, asha, run
from benchmarks.traces import HourlyTable
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import ConfigError, OutsideDataError
from carbon_ray.core.intensity import IntensityKind

START = datetime(2022, 1, 1, tzinfo=UTC)
SHAPE = Shape(trials=12, slots=4, run_hours=4.0, slack_hours=20.0)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "two.csv"
    lines = ["zone,time_utc,gco2_per_kwh,kind"]
    for hour in range(24 * 80):
        at = f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
        lines.append(f"SWINGS,{at},{300 + 200 * np.cos(2 * np.pi * hour / 24):.3f},average_lifecycle")
        lines.append(f"FLAT,{at},400.0,average_lifecycle")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_of_the_stated_form(trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["--zones", "SWINGS,FLAT", "--year", "2022", "--starts", "3", "--trials", "15", "--forecaster", "ewma"]
    assert tune_sweep.main(["--traces", str(trace), *arguments, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    rows = {row["zone"]: row for row in result["rows"]}
    assert set(rows) == {"SWINGS", "FLAT", "any"}
    for row in rows.values():
        assert {"saving_fraction", "ci95_low", "ci95_high", "score_delta", "deadline_met", "clairvoyant_shift_fraction"} <= set(row)
        assert row["deadline_met"] is True
        assert row["ci95_low"] <= row["ci95_high"]
        assert len(row["cases"]) == 3
        assert Shape().run_hours <= row["base_makespan_mean_h"] <= 3 * Shape().run_hours  # few trials leave slots empty at the end
    assert rows["FLAT"]["saving_fraction"] == pytest.approx(0.0)
    assert rows["FLAT"]["all_saving_fraction"] == pytest.approx(0.0)
    assert rows["FLAT"]["score_delta"] == 0.0
    assert rows["SWINGS"]["all_saving_fraction"] > 0.05
    assert rows["any"]["all_saving_fraction"] > rows["SWINGS"]["all_saving_fraction"]
    assert {"versions", "measured_at"} <= set(result["environment"])
    assert result["settings"]["seed"] == 0


@pytest.mark.parametrize(
    "arguments", [["--zones", "NOWHERE"], ["--zones", "FLAT", "--starts", "900"], ["--zones", "FLAT", "--trials", "9999"]]
)
def test_bad_input_ends_with_one_line(trace: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_sweep.main(["--traces", str(trace), "--year", "2022", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_at_least_two_hundred_configurations_of_each_task_were_trained() -> None:
    tasks = read_tasks()
    assert [task.name for task in tasks] == ["diabetes_boosting", "digits_mlp", "digits_torch"]
    for task in tasks:
        assert task.scores.shape == (300, 27)
        assert np.isfinite(task.scores).all()
        assert len(np.unique(task.scores[:, -1])) > 200


def test_curves_that_are_not_there_are_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no learning curves"):
        read_tasks(tmp_path / "none.json.gz")


def test_a_sweep_is_as_long_as_it_is_said_to_be() -> None:
    sweep = Sweep.of(read_tasks()[1], SHAPE, seed=3)
    course = run(sweep, asha(27), ManualClock(EPOCH))
    assert course.trial_h == pytest.approx(16.0, rel=0.02)
    assert course.makespan_h >= 4.0
    assert course.trials == 12
    assert run(sweep, asha(27), ManualClock(EPOCH)).best == course.best


def course_of(*stretches: tuple[float, float, float], moves: tuple[tuple[float, float, float], ...] = ()) -> Course:
    return Course(
        start_at=START + timedelta(hours=1),
        end_at=START + timedelta(hours=3),
        stretches=np.array(stretches),
        results_h=(0.5, 1.0, 1.5),
        best=(1.0, 3.0, 3.0),
        moves=np.array(moves).reshape(-1, 3),
        trials=1,
        iterations=3,
        pauses=0,
    )


TABLE = HourlyTable(
    zones=("a", "b"),
    start_at=START,
    values_gco2_per_kwh=np.array([[100.0, 10.0], [200.0, 20.0], [300.0, 30.0], [400.0, 40.0]]),
    kind=IntensityKind.AVERAGE_LIFECYCLE,
)


def test_emissions_by_hand() -> None:
    meter = Meter(TABLE, Shape(power_w=500.0))
    course = course_of((0, 0.5, 1.5), (1, 0.0, 2.0))
    assert meter.gco2(course) == pytest.approx(0.5 * (0.5 * 200 + 0.5 * 300 + 20 + 30))
    assert meter.gco2(course, until_h=1.0) == pytest.approx(0.5 * (0.5 * 200 + 20))
    assert meter.gco2(course, home=0) == pytest.approx(0.5 * (0.5 * 200 + 0.5 * 300 + 200 + 300))
    assert Meter(TABLE, Shape(power_w=500.0), ("b", "a")).gco2(course) == pytest.approx(0.5 * (0.5 * 20 + 0.5 * 30 + 200 + 300))
    moved = course_of((1, 0.0, 2.0), moves=((1, 1.5, 1800.0),))
    assert meter.gco2(moved) == pytest.approx(0.5 * (50 + 0.5 * 30))
    assert meter.gco2(moved, until_h=1.4) == pytest.approx(0.5 * (20 + 0.4 * 30))
    assert meter.hour_of(course_of((1, 0.0, 2.0)), 0.5 * 35) == pytest.approx(1.5, abs=1e-4)
    assert meter.hour_of(course_of((1, 0.0, 2.0)), 999.0) == 2.0


def test_when_a_score_is_reached() -> None:
    course = course_of((0, 0.0, 1.0))
    assert [course.reached_h(score) for score in (0.0, 2.0, 3.0, 4.0)] == [0.5, 1.0, 1.0, None]
    assert [course.best_at(hour) for hour in (0.1, 0.5, 2.0)] == [-np.inf, 1.0, 3.0]


class FromThePast:
    """Remembers what it was asked for."""

    def at(self, issue: int, hours: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((hours, 2), float(issue)), np.ones((hours, 2))


def test_forecasts_are_those_of_the_last_full_hour_and_the_truth_comes_no_sooner() -> None:
    clock = ManualClock(START + timedelta(hours=2, minutes=40))
    port = IssuedForecasts(Issues(TABLE, FromThePast(), 5, "past"), TABLE, clock)
    snapshot = port.snapshot()
    assert snapshot.issued_at == START + timedelta(hours=2)
    assert snapshot["b"].median.values_gco2_per_kwh.tolist() == [2.0] * 5
    assert port.actual("b", START + timedelta(hours=1), START + timedelta(hours=2)).values_gco2_per_kwh.tolist() == [20.0]
    with pytest.raises(OutsideDataError):
        port.actual("b", START + timedelta(hours=2), START + timedelta(hours=3))


def test_starts_are_spread_over_the_year_and_the_day() -> None:
    table = replace(TABLE, values_gco2_per_kwh=np.ones((24 * 365, 2)))
    hours = tune_sweep.starts(table, 2022, 60.0, 24)
    assert len(set(hours)) == 24
    assert len({hour % 24 for hour in hours}) == 24
    assert hours[0] >= tune_sweep.WARM_UP_HOURS
    assert hours[-1] + 62 < 24 * 365


def test_the_scale_benchmark_times_every_call(tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    assert tune_scale.main(["--trials", "25", "--slots", "4", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    of_ours = {row["event"]: row for row in rows if row["scheduler"] == "carbon_ray"}
    assert of_ours["on_trial_add"]["calls"] == 25
    assert of_ours["all"]["calls"] == sum(row["calls"] for name, row in of_ours.items() if name != "all")
    assert of_ours["all"]["p99_ms"] >= of_ours["all"]["p50_ms"] > 0
