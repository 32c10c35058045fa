"""The two commands that need no cluster: their numbers, their words and their JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from carbon_ray.cli.drawing import bar, plan_drawing, sparkline
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.plan import Expected, Plan, PlanStep
from carbon_ray.forecasting.registry import FORECASTERS

Run = Callable[..., Any]
START = "2024-05-07T16:00Z"
T0 = datetime(2024, 5, 7, tzinfo=UTC)


def test_forecast_json(carbon_ray: Run) -> None:
    ran = carbon_ray("forecast", "--zone", "DE", "--zones", "ES,DE", "--hours", 30, "--start", START, "--json")
    assert (ran.code, ran.err) == (0, "")
    document = ran.json
    assert list(document) == ["start_at", "hours", "forecaster", "zones"]
    assert (document["start_at"], document["hours"], document["forecaster"]) == ("2024-05-07T16:00:00Z", 30, "linear")
    assert [zone["zone"] for zone in document["zones"]] == ["DE", "ES"]
    for zone in document["zones"]:
        assert (zone["kind"], zone["forecaster"], zone["is_embedded"]) == ("average_lifecycle", "linear", True)
        assert len(zone["intervals"]) == 30
        for interval in zone["intervals"]:
            assert list(interval) == ["start_at", "end_at", "median_gco2_per_kwh", "low_gco2_per_kwh", "high_gco2_per_kwh"]
            assert interval["low_gco2_per_kwh"] <= interval["median_gco2_per_kwh"] <= interval["high_gco2_per_kwh"]


def test_forecast_of_a_trace_is_that_of_its_days(carbon_ray: Run, write_trace: Run, rows: list[Any]) -> None:
    document = carbon_ray("forecast", "--zone", "A", "--traces", write_trace(rows), "--start", "2024-05-04T00:30Z", "--json").json
    medians = [interval["median_gco2_per_kwh"] for interval in document["zones"][0]["intervals"]]
    assert medians == ([100] * 6 + [300] * 12 + [100] * 6) * 2
    assert document["zones"][0]["intervals"][0]["start_at"] == "2024-05-04T00:00:00Z"
    assert "trace.csv" in document["zones"][0]["provenance"]
    assert document["zones"][0]["forecaster"] == "ewma", "three days are too few to learn from, and it says so"


@pytest.mark.parametrize("zones", ["DE", "DE,ES"])
def test_forecast_table(carbon_ray: Run, zones: str) -> None:
    ran = carbon_ray("forecast", "--zones", zones, "--hours", 3, "--start", START)
    assert ran.code == 0
    for words in ("Tue May 07 16:00", "Tue May 07 18:00", "embedded", "linear", *zones.split(",")):
        assert words in ran.out
    assert "19:00" not in ran.out


def test_forecast_of_now_needs_no_start(carbon_ray: Run) -> None:
    assert carbon_ray("forecast", "--zone", "DE", "--hours", 1).code == 0


def test_known_zones(carbon_ray: Run, write_trace: Run, rows: list[Any]) -> None:
    embedded = carbon_ray("forecast", "--list", "--json").json["zones"]
    assert {"DE", "ES", "US-CAL-CISO"} <= set(embedded)
    assert carbon_ray("forecast", "--list", "--traces", write_trace(rows), "--json").json == {"zones": ["A", "B"]}
    assert "US-CAL-CISO" in carbon_ray("forecast", "--list").out


def test_plan_json(carbon_ray: Run) -> None:
    ran = carbon_ray("plan", "--hours", 6, "--deadline", "24h", "--zones", "DE,ES", "--start", START, "--json")
    assert (ran.code, ran.err) == (0, "")
    document = ran.json
    wanted = "start_at deadline_at hours zones home objective power_w startup_s forecaster forecasters provenance is_embedded steps"
    assert list(document) == [*wanted.split(), "expected", "run_now", "saving_fraction", "overrun", "runner_up", "reason"]
    assert document["objective"] == {"name": "balanced", "usd_per_kgco2": 0.19, "usd_per_h_delay": 0.01, "usd_weight": 1.0}
    assert (document["start_at"], document["deadline_at"], document["home"]) == ("2024-05-07T16:00:00Z", "2024-05-08T16:00:00Z", "DE")
    for expected in (document["expected"], document["run_now"]):
        assert set(expected) == {"objective_usd", "gco2", "energy_kwh", "usd", "finish_at", "suspends", "moves", "rescales"}
    assert document["saving_fraction"] == pytest.approx(1 - document["expected"]["gco2"] / document["run_now"]["gco2"])
    assert document["steps"][0]["start_at"] == document["start_at"]
    assert all(left["end_at"] == right["start_at"] for left, right in zip(document["steps"], document["steps"][1:], strict=False))


def test_plan_by_hand(carbon_ray: Run, write_trace: Run, rows: list[Any]) -> None:
    # A is 300 until 18:00 and 100 from then on: six hours at 1 kW, all of them by night.
    arguments = ["--traces", write_trace(rows), "--start", "2024-05-04T15:00Z", "--startup", "0s", "--objective", "carbon"]
    document = carbon_ray("plan", "--hours", 6, "--deadline", "24h", "--zones", "A", "--usd-per-h", 2, *arguments, "--json").json
    assert [(step["start_at"], step["end_at"], step["zone"]) for step in document["steps"]] == [
        ("2024-05-04T15:00:00Z", "2024-05-04T18:00:00Z", None),
        ("2024-05-04T18:00:00Z", "2024-05-05T00:00:00Z", "A"),
    ]
    assert (document["expected"]["gco2"], document["run_now"]["gco2"]) == pytest.approx((600, 3 * 300 + 3 * 100))
    assert (document["expected"]["energy_kwh"], document["expected"]["usd"]) == pytest.approx((6, 12))
    assert document["saving_fraction"] == pytest.approx(0.5)
    shown = carbon_ray("plan", "--hours", 6, "--deadline", "24h", "--zones", "A,B", *arguments).out
    drawing = shown.splitlines()
    assert drawing[0] == "A  " + "█" * 12 + "▁" * 48 + "█" * 36  # quarters of an hour
    assert drawing[1] == "   " + "┄" * 12 + "━" * 24
    assert drawing[2] == "B  " + "▅" * 96  # where nothing runs there is no line of marks
    assert drawing[3].startswith("   May 04 15:00")
    for words in ("waits", "starts", "ewma", "600 g", "1.20 kg", "50", "wait: 200 g/kWh in B", "run now in A"):
        assert words in shown.replace("\N{NO-BREAK SPACE}", " ")


def plan_of(*steps: tuple[int, str | None]) -> Plan:
    """A plan of so many hours here and there; None waits."""
    at, made = T0, []
    for hours, region in steps:
        made.append(PlanStep(start_at=at, end_at=at + timedelta(hours=hours), region=region, workers=int(region is not None)))
        at += timedelta(hours=hours)
    expected = Expected(objective_usd=0.0, gco2=1.0, energy_kwh=1.0, usd=0.0, finish_at=at, suspends=0, moves=0)
    return Plan(workload_id="w", created_at=T0, steps=tuple(made), expected=expected, reason="", forecast_version=1)


@pytest.mark.parametrize(
    ("steps", "hours", "width", "expected"),
    [
        # Waits where it will begin, is suspended where it ran, moves to the other row; after its end there is nothing.
        (((2, None), (3, "A"), (2, None), (1, "A"), (2, "B")), 12, 16, {"A": "┄┄━━━┄┄━", "B": "        ━━"}),
        (((2, "B"), (3, None), (2, "A")), 12, 16, {"A": "     ━━", "B": "━━┄┄┄"}),
        (((12, "A"),), 12, 16, {"A": "━" * 12}),
        (((1, "A"), (1, None), (2, "A")), 12, 28, {"A": "━━┄┄━━━━"}),  # half hours, where they fit
        (((5, "A"), (13, None), (6, "B")), 24, 16, {"A": "━━━┄┄┄┄┄┄", "B": "         ━━━"}),  # two hours: what runs in part runs
    ],
)
def test_drawing_of_a_plan(steps: tuple[tuple[int, str | None], ...], hours: int, width: int, expected: dict[str, str]) -> None:
    flat = {
        zone: IntensitySeries(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=3600.0,
            values_gco2_per_kwh=np.full(hours, level),
            provenance=Provenance(provider="test"),
        )
        for zone, level in (("A", 100.0), ("B", 300.0))
    }
    snapshot = ForecastSnapshot(version=1, issued_at=T0, forecasts={zone: Forecast.certain(one, T0) for zone, one in flat.items()})
    drawn = plan_drawing(plan_of(*steps), {"A": "A", "B": "B"}, snapshot, T0 + timedelta(hours=hours), width).plain.splitlines()
    found = {above[0]: line.removeprefix("   ") for above, line in pairwise(drawn) if set(line) & set("━┄") and "runs" not in line}
    assert found == expected
    assert all(len(line) <= width for line in drawn if line[0] in "AB")


def test_a_plan_that_moves_says_what_it_does(carbon_ray: Run, write_trace: Run, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # A is 100 by night and 300 by day, B always 200: with twenty hours to do, the day goes to B.
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["--traces", write_trace(rows), "--start", "2024-05-04T00:00Z", "--startup", "0s", "--objective", "carbon"]
    shown = carbon_ray("plan", "--hours", 20, "--deadline", "22h", "--zones", "A,B", *arguments).out
    assert max(len(line) for line in shown.splitlines()[:-4]) <= 80
    for words in ("starts", "moves", "a column is 30 min", "━ runs, ┄ waits", "Suspends / moves"):
        assert words in shown
    assert "Cost (USD)" not in shown


def test_help_names_every_forecaster(carbon_ray: Run) -> None:
    for command in ("plan", "forecast"):
        told = " ".join(carbon_ray(command, "--help").out.split())
        assert all(name in told for name in FORECASTERS), command


@pytest.mark.parametrize("name", sorted(FORECASTERS))
def test_every_forecaster_plans(carbon_ray: Run, name: str) -> None:
    arguments = ["--hours", 6, "--deadline", "24h", "--zones", "DE,ES", "--start", START, "--forecaster", name, "--json"]
    document = carbon_ray("plan", *arguments).json
    assert document["forecaster"] == name
    assert document["forecasters"] == {"DE": name, "ES": name}
    assert document["saving_fraction"] > 0


WISHES = ["--start", "2024-05-04T15:00Z", "--startup", "0s", "--objective", "carbon", "--deadline", "24h", "--forecaster", "ewma"]


def test_wishes_reach_the_plan(carbon_ray: Run, write_trace: Run, rows: list[Any]) -> None:
    arguments = ["plan", "--hours", 6, "--zones", "A", "--traces", write_trace(rows), *WISHES, "--json"]
    elastic = carbon_ray(*arguments, "--worker-counts", "1,2", "--throughput", "1,1.5").json
    assert {step.get("workers") for step in elastic["steps"]} <= {0, 1, 2}
    assert elastic["steps"][-1]["workers"] == 1, "two workers do a step at 4/3 of the energy"
    longest = carbon_ray(*arguments, "--hours-high", 9).json
    assert longest["expected"]["gco2"] == pytest.approx(600)
    assert longest["steps"][-1]["end_at"] == "2024-05-05T03:00:00Z"
    kept = carbon_ray(*arguments, "--carbon-budget-kg", 0.6, "--max-moves", 0, "--min-segment", "2h").json
    assert kept["overrun"] == {"gco2": 0.0, "usd": 0.0}
    assert kept["runner_up"]["description"] == "starting in A"
    assert "better than starting in A" in kept["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--carbon-budget-kg", 0.5], "carbon_budget_gco2 of 500 g cannot be kept"),
        (["--worker-counts", "2,4"], "--worker-counts must hold 1"),
        (["--worker-counts", "1,x"], "--worker-counts '1,x' is no list of numbers"),
        (["--worker-counts", "1,1.5"], "must be whole numbers"),
        (["--worker-counts", "1,4", "--throughput", "1,2"], "--throughput tells 2 speeds"),
        (["--worker-counts", "1,2", "--throughput", "2,3"], "that begin with 1"),
        (["--throughput", "1,2"], "give --worker-counts as well"),
        (["--hours-high", 5], "--hours-high must not be below --hours 6"),
        (["--max-moves", -1], "--max-moves must not be negative"),
        (["--min-segment", "x"], "--min-segment 'x' is not a span"),
        (["--hours-high", 30], "cannot be met"),
    ],
)
def test_wishes_that_cannot_be_met(carbon_ray: Run, write_trace: Run, rows: list[Any], options: list[Any], words: str) -> None:
    assert words in carbon_ray("plan", "--hours", 6, "--zones", "A", "--traces", write_trace(rows), *WISHES, *options).error


def test_home_may_be_elsewhere(carbon_ray: Run, write_trace: Run, rows: list[Any]) -> None:
    arguments = ["--traces", write_trace(rows), "--start", "2024-05-04T15:00Z", "--startup", "0s", "--home", "B", "--json"]
    document = carbon_ray("plan", "--hours", 6, "--deadline", "24h", "--zones", "A", "--objective", "carbon", *arguments).json
    assert (document["zones"], document["home"]) == (["A"], "B")
    assert (document["expected"]["gco2"], document["run_now"]["gco2"]) == pytest.approx((600, 1200))


def test_deadline_that_is_too_short_names_one_that_is_not(carbon_ray: Run) -> None:
    arguments = ["plan", "--hours", 6, "--zones", "DE", "--start", START, "--deadline"]
    told = carbon_ray(*arguments, "3h").error
    found = re.search(r"the work ends at (\S+) ", told)
    assert found
    assert carbon_ray(*arguments, found.group(1)).code == 0


def test_far_deadline_is_planned_in_hours(carbon_ray: Run) -> None:
    document = carbon_ray("plan", "--hours", 3.5, "--deadline", "10d", "--zones", "DE", "--start", START, "--json").json
    assert {step["start_at"][14:19] for step in document["steps"]} == {"00:00"}


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 2, 3], "▁▅█"), ([5, 5], "▁▁"), ([0], "▁"), ([0, 7], "▁█"), (list(range(8)), "▁▂▃▄▅▆▇█")]
)
def test_sparkline(values: list[float], expected: str) -> None:
    assert sparkline(values).plain == expected


@pytest.mark.parametrize(("value", "most", "expected"), [(8, 8, "████"), (4, 8, "██"), (1, 8, "▌"), (0, 8, ""), (0, 0, "")])
def test_bar(value: float, most: float, expected: str) -> None:
    assert bar(value, most, 4).plain == expected
