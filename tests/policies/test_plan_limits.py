"""Limits that a workload's owner may set: moves, length of segments, budgets of carbon and of money."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reference_programme import cost_of_plan
from carbon_ray.core.errors import BudgetTooSmall
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.budgets import has_budget, overrun_of, settle
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, solve
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 1, 1, tzinfo=UTC)
EXACT = Replan(slot_s=3600.0, hysteresis_fraction=0.0, backfire_fraction=0.0)


def around(values: dict[str, list[float]], usd_per_h: dict[str, float] | None = None) -> Surroundings:
    regions, forecasts = {}, {}
    for name, row in values.items():
        power = PowerModel(tdp_w=1000.0, idle_fraction=0.3, source="test")
        price = (usd_per_h or {}).get(name, 0.0)
        kind = NodeType(name=f"{name}-node", resources={"GPU": 1.0}, max_nodes=1, usd_per_h=price, power=power)
        regions[name] = Region(name=name, zone=name, pue=1.0, node_types=(kind,))
        series = IntensitySeries(
            zone=name,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=3600.0,
            values_gco2_per_kwh=np.array(row, dtype=float),
            provenance=Provenance(provider="test"),
        )
        forecasts[name] = Forecast.certain(series, T0)
    return Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts))


def workload(names: tuple[str, ...], hours: float, slots: int, **changes: Any) -> Workload:
    given_: dict[str, Any] = {
        "workload_id": "w",
        "work_h": hours,
        "workers": 1,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": names[0],
        "regions": names,
        "submitted_at": T0,
        "deadline_at": T0 + timedelta(hours=slots),
        "objective": Objective(usd_per_kgco2=1.0, usd_weight=1.0),
        "utilisation_fraction": 1.0,
    }
    return Workload(**{**given_, **changes})


def fresh(job: Workload) -> Progress:
    return Progress(remaining_h=job.work_h, region=job.home_region)


def costs_of(job: Workload, world: Surroundings, progress: Progress | None = None) -> Costs:
    return Costs.expected(job, progress or fresh(job), world.regions, world.snapshot, now=T0, slot_s=3600.0)


def regions_of(plan: Plan) -> str:
    return "".join((step.region or "-") * round((step.end_at - step.start_at).total_seconds() / 3600) for step in plan.steps)


SWAPPING = {"a": [10, 900, 10, 900, 10, 900], "b": [900, 10, 900, 10, 900, 10]}


@pytest.mark.parametrize(("max_moves", "moved", "expected"), [(None, 0, "abab"), (1, 0, "ab-b"), (0, 0, "a-a-a-"), (3, 3, "a-a")])
def test_the_limit_of_moves(max_moves: int | None, moved: int, expected: str) -> None:
    job = workload(("a", "b"), len(expected.replace("-", "")), 6, max_moves=max_moves)
    progress = Progress(remaining_h=job.work_h, region="a", is_started=True, moves=moved)
    plan, _ = EXACT.decide(job, progress, around(SWAPPING), now=T0)
    assert sum(one != other for one, other in itertools.pairwise(regions_of(plan).replace("-", ""))) <= (max_moves or 9) - moved
    assert regions_of(plan) == expected.rstrip("-")


def test_late_and_without_moves_left_the_work_stays_where_it_is() -> None:
    job = workload(("a", "b"), 6.0, 6, max_moves=1, objective=Objective(usd_per_kgco2=1.0))
    world = replace(around(SWAPPING), blocked_until={"a": T0 + timedelta(hours=2)})
    stuck, decision = EXACT.decide(job, Progress(remaining_h=6.0, region="a", is_started=True, moves=1), world, now=T0)
    assert (stuck.now.region, decision.is_forced) == ("a", True)
    free, _ = EXACT.decide(job, Progress(remaining_h=6.0, region="a", is_started=True, moves=0), world, now=T0)
    assert free.now.region == "b"


@pytest.mark.parametrize(
    ("min_segment_h", "expected"), [(0.0, "a-a-a-a"), (1.5, "aa--a-a"), (2.0, "--aa--aa"), (9.0, "--aaaa"), (2.5, "--aaaa")]
)
def test_the_shortest_segment(min_segment_h: float, expected: str) -> None:
    values = {"a": [20, 900, 21, 900, 22, 900, 23, 900]}
    if min_segment_h == 2.0:
        values = {"a": [900, 900, 10, 300, 900, 900, 10, 300]}
    if min_segment_h in (9.0, 2.5):
        values = {"a": [900, 900, 10, 300, 11, 300, 900, 900]}
    if min_segment_h == 1.5:
        values = {"a": [20, 30, 900, 900, 22, 30, 900, 900]}
        expected = "aa--aa"
    job = workload(("a",), 4.0, 8, min_segment_s=min_segment_h * 3600)
    plan, _ = EXACT.decide(job, fresh(job), around(values), now=T0)
    assert regions_of(plan) == expected


def test_a_segment_that_has_begun_is_worked_out() -> None:
    job = workload(("a", "b"), 6.0, 12, min_segment_s=3 * 3600.0, overheads=Overheads(startup_s=600.0))
    world = around({"a": [900.0] * 12, "b": [10.0] * 12})
    running = Progress(remaining_h=4.0, region="a", is_running=True, is_started=True, since_at=T0 - timedelta(hours=1, seconds=600))
    plan, decision = EXACT.decide(job, running, world, now=T0)
    assert regions_of(plan)[:3] == "aab"
    assert decision.target == decision.current
    assert math.isfinite(decision.gain_usd)
    starting = replace(running, is_started=False, since_at=T0, starting_s=600.0)
    assert regions_of(EXACT.decide(job, starting, world, now=T0)[0])[:5] == "aaaab"
    done = replace(running, since_at=T0 - timedelta(hours=4))
    assert regions_of(EXACT.decide(job, done, world, now=T0)[0])[:1] == "b"
    short = replace(running, remaining_h=1.0)
    assert regions_of(EXACT.decide(job, short, world, now=T0)[0]) == "a", "the work ends before the segment need to"


DEAR_AND_CLEAN = {"a": [400.0] * 8, "b": [200.0] * 8, "c": [100.0] * 8}
PRICES = {"a": 1.0, "b": 2.0, "c": 4.0}


@pytest.mark.parametrize(
    ("limits", "gco2", "usd", "words"),
    [
        ({}, 1600, 4.0, ""),
        ({"carbon_budget_gco2": 1600.0}, 1600, 4.0, ""),
        ({"carbon_budget_gco2": 900.0}, 800, 8.0, "; the carbon budget makes it "),
        ({"carbon_budget_gco2": 799.0}, 700, 10.0, "; the carbon budget makes it "),
        ({"carbon_budget_gco2": 400.0}, 400, 16.0, "; the carbon budget makes it "),
        ({"carbon_budget_gco2": 399.0}, 400, 16.0, "; no plan keeps the carbon budget of 0.399 kg: this one comes closest, 0.001 kg above"),
        ({"cost_budget_usd": 4.0, "objective": Objective(usd_per_kgco2=100.0)}, 1600, 4.0, "; the cost budget makes it "),
        ({"cost_budget_usd": 8.0, "objective": Objective(usd_per_kgco2=100.0)}, 800, 8.0, "; the cost budget makes it "),
        ({"cost_budget_usd": 3.0}, 1600, 4.0, "; no plan keeps the cost budget of 3 USD: this one comes closest, 1 USD above"),
        ({"cost_budget_usd": 9.0, "carbon_budget_gco2": 900.0}, 800, 8.0, "; the carbon budget makes it "),
    ],
)
def test_budgets(limits: dict[str, Any], gco2: float, usd: float, words: str) -> None:
    job = workload(("a", "b", "c"), 4.0, 8, **{"overheads": Overheads(migrate_h=0.0), **limits})
    plan, _ = EXACT.decide(job, fresh(job), around(DEAR_AND_CLEAN, PRICES), now=T0)
    budget = job.carbon_budget_gco2 if job.carbon_budget_gco2 is not None else math.inf
    assert plan.expected.gco2 <= max(budget, 400) + 1e-6
    assert (plan.expected.gco2, plan.expected.usd) == (pytest.approx(gco2), pytest.approx(usd))
    assert words in plan.reason
    assert (plan.overrun_gco2 > 0 or plan.overrun_usd > 0) == ("no plan keeps" in words)


def test_what_is_spent_already_counts() -> None:
    job = workload(("a", "b", "c"), 4.0, 8, carbon_budget_gco2=900.0)
    world, half = around(DEAR_AND_CLEAN, PRICES), Progress(remaining_h=2.0, region="a", is_started=True)
    assert EXACT.decide(job, half, world, now=T0)[0].expected.gco2 == pytest.approx(800)
    later, _ = EXACT.decide(job, replace(half, emitted_gco2=600.0), world, now=T0)
    assert later.expected.gco2 <= 300 + 1e-6
    over, _ = EXACT.decide(job, replace(half, emitted_gco2=1000.0), world, now=T0)
    assert over.overrun_gco2 == pytest.approx(1000 + 200 - 900)
    paid = replace(job, carbon_budget_gco2=None, cost_budget_usd=10.0, objective=Objective(usd_per_kgco2=100.0))
    assert EXACT.decide(paid, replace(half, spent_usd=5.0), world, now=T0)[0].expected.usd <= 5.0
    assert EXACT.decide(paid, half, world, now=T0)[0].expected.usd == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"carbon_budget_gco2": 399.0}, r"carbon_budget_gco2 of 399 g cannot be kept: .* expected to come to 400 g; raise the budget"),
        ({"cost_budget_usd": 3.5}, r"cost_budget_usd of 3.5 USD cannot be kept: .* to 4 USD"),
        ({"cost_budget_usd": 4.5, "carbon_budget_gco2": 500.0}, r"(cost_budget_usd of 4.5 USD|carbon_budget_gco2 of 500 g) cannot be kept"),
    ],
)
def test_a_budget_that_no_plan_keeps_is_refused_at_submission(limits: dict[str, Any], message: str) -> None:
    job = workload(("a", "b", "c"), 4.0, 8, **limits)
    world = around(DEAR_AND_CLEAN, PRICES)
    with pytest.raises(BudgetTooSmall, match=message):
        EXACT.require_feasible(job, world, now=T0)
    EXACT.require_feasible(replace(job, carbon_budget_gco2=None, cost_budget_usd=None), world, now=T0)


@pytest.mark.parametrize("name", ["max_moves", "min_segment_s", "carbon_budget_gco2", "cost_budget_usd"])
def test_negative_limits_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative"):
        workload(("a",), 1.0, 2, **{name: -1})


@st.composite
def small(draw: st.DrawFn) -> tuple[Workload, Surroundings]:
    slots, regions = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    names = ("a", "b", "c")[:regions]
    share = st.sampled_from([0.0, 0.1, 0.4])
    job = workload(
        names,
        float(draw(st.integers(1, slots))),
        slots,
        objective=Objective(usd_per_kgco2=draw(st.sampled_from([0.0, 0.3, 5.0])), usd_per_h_delay=draw(st.sampled_from([0.0, 0.05]))),
        overheads=Overheads(
            checkpoint_h=draw(share),
            restore_h=draw(share),
            migrate_h=draw(share),
            startup_s=draw(st.sampled_from([0.0, 3600.0])),
            egress_usd=draw(st.sampled_from([0.0, 0.2])),
        ),
        max_moves=draw(st.sampled_from([None, 0, 1, 2])),
        min_segment_s=draw(st.sampled_from([0.0, 3600.0, 7200.0])),
    )
    row = st.lists(st.floats(1.0, 800.0), min_size=slots, max_size=slots)
    return job, around({name: draw(row) for name in names}, {name: draw(st.sampled_from([0.1, 0.5, 1.0])) for name in names})


def every_plan(costs: Costs) -> list[tuple[int, ...]]:
    """All paths that do the work within the limits."""
    problem, home = costs.problem(), costs.origin
    found = []
    for length in range(1, len(problem.run) + 1):
        for path in itertools.product((IDLE, *range(len(costs.sites))), repeat=length):
            if path[-1] != IDLE and math.isfinite(cost_of_plan(problem, home, path, tuple(IDLE if at == IDLE else 0 for at in path))):
                found.append(path)
    return found


def drawn(costs: Costs, path: tuple[int, ...]) -> tuple[float, float]:
    """Emissions and money of a path of the brute force."""
    startup, working, since, at = costs.problem().startup_slots, [], 0, IDLE
    for slot, where in enumerate(path):
        since, at = (slot, where) if where != at else (since, at)
        working.append(where != IDLE and slot - since >= startup)
    expected = costs.expected_of(path, working)
    return expected.gco2, expected.usd


@settings(max_examples=80, deadline=None)
@given(small())
def test_with_limits_no_plan_is_cheaper_either(case: tuple[Workload, Surroundings]) -> None:
    costs = costs_of(*case)
    problem = costs.problem()
    least = min(
        (cost_of_plan(problem, 0, path, tuple(IDLE if at == IDLE else 0 for at in path)) for path in every_plan(costs)), default=math.inf
    )
    assert solve(problem, costs.initial()).cost == pytest.approx(least, rel=1e-9, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(small(), st.floats(0.3, 1.5), st.booleans())
def test_a_budget_is_kept_whenever_any_plan_keeps_it(case: tuple[Workload, Surroundings], share: float, is_money: bool) -> None:
    job, world = case
    plain = costs_of(job, world)
    plans = [drawn(plain, path) for path in every_plan(plain)]
    if not plans:
        return
    best = solve(plain.problem(), plain.initial())
    expected = plain.expected_of(best.path, best.working)
    limits = {"cost_budget_usd": share * expected.usd} if is_money else {"carbon_budget_gco2": share * expected.gco2}
    limited = replace(job, **limits)  # type: ignore[arg-type]  # a number for either name
    costs = costs_of(limited, world)
    assert has_budget(costs)
    settled = settle(costs)
    budget = next(iter(limits.values()))
    least = min(one[is_money] for one in plans)
    over = settled.overrun.usd if is_money else settled.overrun.gco2
    if least <= budget:
        assert over == 0.0
        fitting = [settled.costs.expected_of(settled.solution.path, settled.solution.working)]
        assert [fitting[0].gco2, fitting[0].usd][is_money] <= budget * (1 + 1e-6)
    elif least > budget * (1 + 1e-6):
        assert over == pytest.approx(least - budget, rel=1e-6, abs=1e-9)
    assert overrun_of(plain, settled.solution).is_none, "without a budget nothing is above one"


@pytest.mark.parametrize(
    ("progress", "rows", "description", "words"),
    [
        ({}, {"a": [100, 200, 300, 400]}, "waiting", "; 67 % better than waiting"),
        ({}, {"a": [300, 200, 100, 400]}, "starting in a", "; 33 % better than starting in a"),
        ({"is_running": True, "is_started": True}, {"a": [100, 200, 300, 400]}, "suspending", "; 67 % better than suspending"),
        (
            {"is_running": True, "is_started": True},
            {"a": [250, 300, 300, 300], "b": [100, 100, 900, 900]},
            "running on in a",
            "; 75 % better than running on in a",
        ),
        ({}, {"a": [100] * 2}, None, ""),
    ],
)
def test_the_runner_up(progress: dict[str, Any], rows: dict[str, list[float]], description: str | None, words: str) -> None:
    job = workload(tuple(rows), 2.0, len(rows["a"]))
    plan, _ = EXACT.decide(job, replace(fresh(job), **progress), around(rows), now=T0)
    assert (plan.runner_up.description if plan.runner_up else None) == description
    assert words in plan.reason
    if plan.runner_up:
        assert plan.runner_up.objective_usd == pytest.approx(plan.expected.objective_usd + plan.runner_up.extra_usd)


@settings(max_examples=60, deadline=None)
@given(small())
def test_the_runner_up_is_the_best_plan_that_begins_otherwise(case: tuple[Workload, Surroundings]) -> None:
    job, world = case
    costs = costs_of(job, world)
    plan, decision = EXACT.decide(job, fresh(job), world, now=T0)
    own = IDLE if decision.target is None else job.regions.index(decision.target.region)
    problem = costs.problem()
    others = [
        cost_of_plan(problem, 0, path, tuple(IDLE if at == IDLE else 0 for at in path)) for path in every_plan(costs) if path[0] != own
    ]
    if decision.is_forced and not every_plan(costs):
        return
    assert (plan.runner_up is not None) == bool(others)
    if plan.runner_up is not None:
        assert plan.runner_up.extra_usd >= -1e-9
        assert plan.expected.objective_usd + plan.runner_up.extra_usd == pytest.approx(min(others), rel=1e-6, abs=1e-9)
