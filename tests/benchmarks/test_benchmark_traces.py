"""Benchmarks on a trace of one's own: the gate, the fleet and the speed take one, and mistakes are one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fleet, gates, planner_speed, planner_speed_plan
from benchmarks.planner_speed_world import Weather
from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.errors import ConfigError

T0 = datetime(2022, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of two zones."""
    lines = ["zone,time_utc,gco2_per_kwh,kind"]
    random = np.random.default_rng(3)
    for zone in ("A", "B"):
        values = 300 + 80 * np.sin(np.arange(365 * 24) / 24 * 2 * np.pi) + random.uniform(-50, 50, 365 * 24)
        lines += [f"{zone},{T0 + timedelta(hours=hour):%Y-%m-%dT%H:%MZ},{value:.2f},average_lifecycle" for hour, value in enumerate(values)]
    path = tmp_path_factory.mktemp("trace") / "year.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def table(trace: Path) -> HourlyTable:
    return read_table(trace, ("A", "B"))


def test_optima_on_a_trace_are_compared(table: HourlyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "WINDOWS", 2)
    gate = gates.own_trace(table, 2022)
    assert gate.passed
    assert gate.compared == 2 * 2 * 2  # windows, homes, stated and priced
    monkeypatch.setattr(gates, "least_cost", lambda *_: 1.0)
    assert not gates.own_trace(table, 2022).passed


@pytest.mark.parametrize("options", ["--traces t.csv", "--zones A,B", "--traces t.csv --zones A"])
def test_half_of_a_trace_is_refused(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gates.main(options.split())
    assert "together, or none of them" in capsys.readouterr().err


def test_weather_of_a_trace_is_the_trace(trace: Path, table: HourlyTable) -> None:
    weather = Weather.of_trace(trace, "", 2022)
    assert weather.zones == ("A", "B")
    assert str(weather) == "trace of 2022: A, B"
    start_at = weather.at(3, 1)
    series = weather.intensities(start_at, timedelta(hours=30), seed=1)
    first = table.position(start_at)
    assert (series["B"].values_gco2_per_kwh == table.values_gco2_per_kwh[first : first + 30, 1]).all()
    intensity, moving = planner_speed_plan.instance(np.random.default_rng(0), weather)
    assert intensity.shape == (planner_speed_plan.HOURS, 2)
    assert np.shape(moving.move_h) == (2, 2)
    assert intensity[0, 0] in table.values_gco2_per_kwh[:, 0]


def test_embedded_weather_has_its_seeds() -> None:
    weather = Weather.embedded(3)
    first, again, other = (
        weather.intensities(weather.at(5, 2), timedelta(hours=5), seed)[weather.zones[0]].values_gco2_per_kwh for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("zones", "year", "words"), [("A", 2022, "at least two zones"), ("A,X", 2022, "X"), ("A,B", 2020, "another --year"), ("", 2021, "2021")]
)
def test_a_trace_that_does_not_do(trace: Path, zones: str, year: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Weather.of_trace(trace, zones, year)


def test_too_short_a_trace(trace: Path, tmp_path: Path) -> None:
    lines = trace.read_text().splitlines()
    short = tmp_path / "short.csv"
    short.write_text("\n".join([*lines[:200], *(line for line in lines[-8760:][:199])]) + "\n")
    with pytest.raises(ConfigError, match="are needed"):
        Weather.of_trace(short, "A,B", 2022)


def test_speed_tells_bad_input_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert planner_speed.main(["--traces", str(tmp_path / "none.csv"), "--json", str(tmp_path / "out.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "none.csv is not there" in line


def test_a_fleet_on_a_trace(trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "GROWN", 1)
    (tmp_path / "jobs.csv").write_text("arrival_time,length,cpus\n0,7200,1\n0,36000,2\n0,90000,1\n")
    out = tmp_path / "fleet.json"
    size = "--capacity 0.5 --workloads 8 --transport-workloads 4 --set-up-workloads 2"
    command = f"--traces {trace} --zones A,B --year 2022 --jobs {tmp_path}/jobs.csv --json {out} {size}"
    assert fleet.main(command.split()) == 0
    result = json.loads(out.read_text())
    assert result["zones_from_trace"] == ["A", "B"]
    assert result["zones_from_embedded_profile"] == []
    (one,) = result["results"]
    for part in ("full", "transport", "set_ups"):
        assert one[part]["cells_over_capacity"] == one[part]["deadlines_missed"] == one[part]["workloads_not_done_exactly_once"] == 0
        assert one[part]["gap_to_lagrangian_bound_fraction"] >= -1e-9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--traces none.csv", "none.csv"),
        ("--zones A,XX", "XX"),
        ("--start 13-01", "month"),
        ("--jobs none.csv", "none.csv"),
        ("--capacity x", "x"),
    ],
)
def test_bad_input_of_the_fleet_is_one_line(trace: Path, capsys: pytest.CaptureFixture[str], change: str, words: str) -> None:
    jobs = trace.parent / "jobs.csv"
    jobs.write_text("arrival_time,length,cpus\n0,7200,1\n")
    assert fleet.main(f"--traces {trace} --zones A,B --workloads 2 --jobs {jobs} {change}".split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
