"""The books of a simulation against the cost model: by hand, by the ledger's arithmetic, and by enumerated optima."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Change, Decision, Placement
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Outcome, energy_stretches, price, totals
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan, PlanStep
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Surroundings, placement_of
from carbon_ray.policies.run_now import RunNow
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant
from carbon_ray.sim.jobs import Row, Template, fixed_slack, job_set
from carbon_ray.sim.world import Control, Physics, World

T0 = datetime(2022, 3, 7, tzinfo=UTC)

DATA = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "golden").is_dir(), reason=f"the golden instances are not at {DATA}; set CARBON_RAY_DATA")

HOME = [300, 100, 400, 120, 500, 110, *[1000] * 30]
OTHER = [250, 260, 90, 270, 280, 95, *[1000] * 30]
DEFAULTS = Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.5)


@dataclass(frozen=True)
class Scripted:
    """Does in each hour since submission what the script says; None is to hold nothing."""

    script: tuple[str | None, ...]

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        hour = int((now - workload.submitted_at).total_seconds() // 3600)
        region = self.script[hour] if hour < len(self.script) else self.script[-1]
        step = PlanStep(start_at=now, end_at=workload.deadline_at, region=region, workers=1 if region else 0)
        plan = Plan(workload_id="", created_at=now, steps=(step,), expected=None, reason="", forecast_version=0)  # type: ignore[arg-type]
        target = None if region is None else Placement(region=region, workers=workload.workers)
        current = placement_of(workload, progress)
        return plan, Decision(workload_id=workload.workload_id, at=now, current=current, target=target, reason="script")


@pytest.mark.parametrize(
    ("script", "overheads", "expected"),
    [
        ("HHH", DEFAULTS, 300 + 100 + 400),
        ("-HHH", DEFAULTS, 100 + 400 + 120),
        ("-H-H-H", Overheads(), 100 + 120 + 110),
        ("-H-H-H", DEFAULTS, 100 + 5 + 12 + 120 + 6 + 11 + 110),
        # A move pays the checkpoint where it ran, restore and migration where it goes on.
        ("-HO--O", DEFAULTS, 100 + 5 + (0.1 + 0.5) * 90 + 90 + 4.5 + 9.5 + 95),
        # The first start elsewhere is staged, not restored.
        ("OOO", DEFAULTS, 0.5 * 250 + 250 + 260 + 90),
        ("--O--OO", DEFAULTS, 0.5 * 90 + 90 + 4.5 + 0.1 * 95 + 95 + 1000),
        ("OHO", DEFAULTS, 0.5 * 250 + 250 + 12.5 + 0.6 * 100 + 100 + 5 + 0.6 * 90 + 90),
    ],
)
def test_hand_walked_tables(tools: SimpleNamespace, script: str, overheads: Overheads, expected: float) -> None:
    names = {"H": "home", "O": "other", "-": None}
    where = tools.world({"home": HOME, "other": OTHER})
    set_of_one = tools.jobs([(0, 3, 1)], ["home", "other"], slack_h=9, homes=["home"], overheads=overheads)
    run = simulate(where, set_of_one, Scripted(tuple(names[letter] for letter in script)), tools.clairvoyant(where))
    (result,) = run.jobs
    assert result.gco2 == pytest.approx(expected, abs=1e-9)
    assert result.run_now_gco2 == 800
    letters = [letter for letter in script if letter != "-"]
    assert result.moves == sum(one != other for one, other in pairwise(letters))
    assert result.suspends == script.rstrip("-").lstrip("-").replace("--", "-").count("-")
    assert result.delay_h == len(script) - 3
    assert result.overhead_gco2 == pytest.approx(
        expected - sum((HOME if letter == "H" else OTHER)[h] for h, letter in enumerate(script) if letter != "-")
    )


def test_golden_example_of_the_protocol(tools: SimpleNamespace) -> None:
    where = tools.world({"home": HOME, "other": OTHER})
    for regions, overheads, expected in (
        (["home", "other"], DEFAULTS, 358.0),
        (["home"], DEFAULTS, 364.0),
        (["home", "other"], Overheads(), 285.0),
        (["home"], Overheads(), 330.0),
        (["home", "other"], replace(DEFAULTS, migrate_h=2.0), 364.0),
    ):
        set_of_one = tools.jobs([(0, 3, 1)], regions, slack_h=3, homes=["home"], overheads=overheads)
        run = simulate(where, set_of_one, tools.exact, tools.clairvoyant(where), Control(tick_s=None))
        assert run.jobs[0].gco2 == pytest.approx(expected, abs=1e-9)
        assert clairvoyant_bound(where, set_of_one, slot_s=3600.0).jobs[0].gco2 == pytest.approx(expected, abs=1e-9)


@needs_data
def test_every_enumerated_optimum(tools: SimpleNamespace) -> None:
    cases: list[dict[str, Any]] = json.loads((DATA / "golden" / "dp_small.json").read_text())["instances"]
    assert len(cases) == 200
    for case in cases:
        ci = np.concatenate([np.array(case["ci"], dtype=float), np.full((30, case["R"]), 1e4)])
        names = [f"Z{number}" for number in range(case["R"])]
        where = tools.world(dict(zip(names, ci.T, strict=True)))
        overheads = Overheads(checkpoint_h=case["ow"], restore_h=case["or"], migrate_h=case["om"])
        slack_h = len(case["ci"]) - case["J"]
        set_of_one = tools.jobs([(0, case["J"], 1)], names, slack_h=slack_h, homes=[names[case["home"]]], overheads=overheads)
        once = simulate(where, set_of_one, tools.exact, tools.clairvoyant(where), Control(tick_s=None))
        assert once.jobs[0].gco2 == pytest.approx(case["optimal_cost"], abs=1e-6), case["id"]
        hourly = simulate(where, set_of_one, tools.exact, tools.clairvoyant(where))
        assert hourly.jobs[0].gco2 >= case["optimal_cost"] - 1e-6
        assert not once.jobs[0].is_missed
        assert not hourly.jobs[0].is_missed


@settings(max_examples=40, deadline=None)
@given(
    arrival_h=st.floats(0, 30),
    length_h=st.floats(0.1, 40),
    startup_s=st.sampled_from([0.0, 300.0, 4000.0]),
    idle_fraction=st.floats(0, 1),
    pue=st.floats(1, 2),
)
def test_run_now_is_the_closed_form(arrival_h: float, length_h: float, startup_s: float, idle_fraction: float, pue: float) -> None:
    values = [100.0 + 13 * (hour % 24) for hour in range(24 * 8)]
    series = IntensitySeries(
        zone="A",
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=np.array(values),
        provenance=Provenance(provider="test"),
    )
    power = PowerModel(tdp_w=700.0, idle_fraction=idle_fraction, source="test")
    node_type = NodeType(name="node", resources={"CPU": 1.0}, max_nodes=1, usd_per_h=3.0, power=power)
    where = World(regions={"A": Region(name="A", zone="A", pue=pue, node_types=(node_type,))}, truth={"A": series})
    template = Template(start_at=T0, regions=("A",), slack=fixed_slack(1.0), overheads=Overheads(startup_s=startup_s))
    some = job_set("job", [Row(arrival_h, length_h, 1)], template)
    (result,) = simulate(where, some, RunNow(slot_s=900.0), Clairvoyant(where.truth)).jobs

    def grams(start_h: float, span_h: float, kw: float) -> float:
        edges = np.clip(np.array([start_h, start_h + span_h])[:, None] - np.arange(len(values)), 0, 1)
        return float(kw * pue * ((edges[1] - edges[0]) * values).sum())

    startup_h = startup_s / 3600
    expected = grams(arrival_h, startup_h, 0.7 * idle_fraction) + grams(arrival_h + startup_h, length_h, 0.7)
    assert result.run_now_gco2 == pytest.approx(expected, rel=1e-6)
    assert result.gco2 == pytest.approx(expected, rel=1e-6)
    assert result.usd == pytest.approx(3.0 * (startup_h + length_h), rel=1e-6)


def test_books_are_those_of_the_ledger(tools: SimpleNamespace) -> None:
    """Segments given to the ledger's arithmetic come to the same energy, emissions and money, overheads in kind aside."""
    where = tools.world(
        tools.weather(3, ["A", "B"], 24 * 20), usd_per_h=2.0, idle_fraction=0.3, pue=1.3, physics=Physics(checkpoint_s=200.0)
    )
    rows = [(hour * 5.3, 7.7, 1) for hour in range(20)]
    carbon = Objective(usd_per_kgco2=1000.0, usd_weight=0.0)
    some = tools.jobs(rows, ["A", "B"], slack_h=24, overheads=Overheads(startup_s=900.0), objective=carbon)
    run = simulate(where, some, tools.exact, tools.clairvoyant(where))
    books = {}
    for segment in run.segments():
        node_type = where.regions[segment.region].node_types[0]
        workload = next(job.workload for job in some.jobs if job.workload.workload_id == segment.workload_id)
        stretches = energy_stretches(segment, node_type, workload.utilisation_fraction, segment.end_at or tools.T0)
        emissions = price(stretches, where.truth[segment.region], where.regions[segment.region].pue)
        sums = totals(emissions, node_type.usd_per_h * segment.nodes)
        books[segment.workload_id] = books[segment.workload_id] + sums if segment.workload_id in books else sums
    assert sum(result.suspends + result.moves for result in run.jobs) > 10
    for result in run.jobs:
        theirs = books[result.workload_id]
        assert result.gco2 == pytest.approx(theirs.gco2, rel=1e-9)
        assert result.energy_kwh == pytest.approx(theirs.energy_kwh, rel=1e-9)
        assert result.usd == pytest.approx(theirs.usd, rel=1e-9)
        assert result.held_h == pytest.approx(theirs.held_h, rel=1e-9)
        running_h = sum(
            (segment.stopped_at - segment.running_at).total_seconds() / 3600
            for segment in run.segments()
            if segment.workload_id == result.workload_id and segment.running_at is not None and segment.stopped_at is not None
        )
        assert running_h == pytest.approx(7.7, abs=1e-6)  # no work lost, none doubled
    assert {segment.outcome for segment in run.segments()} == {Outcome.SUSPENDED, Outcome.COMPLETED}


@needs_data
def test_real_trace_optima(tools: SimpleNamespace) -> None:
    import pyarrow.parquet as pq

    meta = json.loads((DATA / "golden" / "dp_real.json").read_text())
    zones, overheads = meta["zones_in_order"], meta["overheads"]
    frame = pq.read_table(DATA / "ci_hourly_dev.parquet").to_pandas()
    frame = frame[(frame.kind == "average_lifecycle") & frame.zone.isin(zones)]
    wide = frame.pivot_table(index="time_utc", columns="zone", values="gco2_per_kwh")[zones].astype(float)
    first_at = datetime.fromisoformat(str(wide.index[0])).replace(tzinfo=UTC)
    with (DATA / "golden" / "dp_real.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    costs = Overheads(checkpoint_h=overheads["ow"], restore_h=overheads["or"], migrate_h=overheads["om"])
    for row in rows[::4]:
        start_at = datetime.fromisoformat(row["start_utc"].replace("Z", "+00:00")).replace(tzinfo=UTC)
        start, job_h, slack_h = int((start_at - first_at).total_seconds() // 3600), int(row["job_h"]), int(row["slack_h"])
        span = wide.iloc[start : start + job_h + slack_h + 48]
        where = tools.world({zone: span[zone].to_numpy() for zone in zones}, start_at=start_at)
        some = tools.jobs([(0, job_h, 1)], zones, slack_h=slack_h, homes=[row["home"]], start_at=start_at, overheads=costs)
        (best,) = clairvoyant_bound(where, some, slot_s=3600.0).jobs
        assert best.gco2 == pytest.approx(float(row["optimal"]), abs=1e-6), row
        assert not best.is_missed


def test_policies_are_told_what_was_emitted_until_now(tools: SimpleNamespace) -> None:
    """Start-up and a checkpoint included, beside what run-now would have emitted by then."""
    told = []

    class Noting(Scripted):
        def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
            told.append((progress.emitted_gco2, progress.run_now_gco2))
            return super().decide(workload, progress, around, now=now)

    where = tools.world({"home": HOME, "other": OTHER}, idle_fraction=0.5)
    overheads = Overheads(checkpoint_h=0.05, startup_s=1800.0)
    some = tools.jobs([(0, 2, 1)], ["home", "other"], slack_h=9, homes=["home"], overheads=overheads)
    simulate(where, some, Noting((None, "home", None, "home", "home", "home")), tools.clairvoyant(where))
    second = 25 + 50  # hour 1: half starting at half the power, half running
    assert [run_now for _, run_now in told] == pytest.approx([0, 75 + 150, 225 + 100, 325 + 200, 525])
    assert [emitted for emitted, _ in told] == pytest.approx([0, 0, second, second + 5, second + 5 + 30 + 60])


def test_egress_is_paid_for_every_change_of_region(tools: SimpleNamespace) -> None:
    where = tools.world({"home": HOME, "other": OTHER}, usd_per_h=1.0)
    set_of_one = tools.jobs([(0, 3, 1)], ["home", "other"], slack_h=9, homes=["home"], overheads=Overheads(egress_usd=7.0))
    run = simulate(where, set_of_one, Scripted(("other", "home", "other")), tools.clairvoyant(where))
    assert run.jobs[0].usd == pytest.approx(3 + 3 * 7.0)
    assert run.jobs[0].run_now_usd == 3
    assert [change.change for change in run.changes] == [Change.START, Change.MOVE, Change.MOVE]


def test_run_now_policy_equals_its_counterfactual(tools: SimpleNamespace) -> None:
    where = tools.world(tools.weather(1, ["A", "B"], 24 * 20), usd_per_h=1.5, idle_fraction=0.2)
    some = tools.jobs([(hour * 3.7, 5.21, 1) for hour in range(40)], ["A", "B"], slack_h=12, overheads=Overheads(startup_s=600.0))
    for tick_s in (3600.0, 900.0, None):
        run = simulate(where, some, RunNow(slot_s=900.0), tools.clairvoyant(where), Control(tick_s=tick_s))
        for result in run.jobs:
            assert result.gco2 == pytest.approx(result.run_now_gco2, rel=1e-12)
            assert result.energy_kwh == pytest.approx(result.run_now_kwh, rel=1e-12)
            assert result.usd == pytest.approx(result.run_now_usd, rel=1e-12)
            assert result.delay_h == pytest.approx(0.0, abs=1e-9)
            assert not result.is_missed
            assert (result.suspends, result.moves, result.losses) == (0, 0, 0)
