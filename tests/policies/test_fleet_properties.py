"""What holds for every fleet, however small and odd: capacity, deadlines, work, regions, order, and the single workload."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.fleet.allocation import allocate
from carbon_ray.policies.fleet.policy import Continued, FleetReplan, Independent
from carbon_ray.policies.fleet.prices import Ascent
from carbon_ray.policies.programme import solve
from carbon_ray.policies.replan import Replan
from carbon_ray.policies.second_best import in_words

T0 = datetime(2022, 1, 1, tzinfo=UTC)
SLOT_S = 1800.0
SLOT_H = SLOT_S / 3600
BRIEF = Ascent(passes=15, warm_passes=5)


@dataclass(frozen=True, kw_only=True)
class World:
    """A few members before a few regions."""

    members: tuple[Member, ...]
    around: Surroundings
    slots: int

    def allocate(self) -> object:
        return allocate(self.members, self.around, now=T0, slot_s=SLOT_S, ascent=BRIEF)


def surroundings(
    intensity: np.ndarray, max_nodes: list[int], start_at: datetime = T0, blocked: dict[str, datetime] | None = None, spread: float = 0.0
) -> Surroundings:
    forecasts, regions = {}, {}
    for index, count in enumerate(max_nodes):
        name = f"r{index}"
        series = IntensitySeries(
            zone=name,
            kind=IntensityKind.MARGINAL,
            start_at=start_at,
            step_s=SLOT_S,
            values_gco2_per_kwh=intensity[:, index],
            provenance=Provenance(provider="test"),
        )
        median = intensity[:, index]
        levels = {0.1: median * (1 - spread), 0.5: median, 0.9: median * (1 + spread)}
        forecasts[name] = replace(Forecast.certain(series, start_at), quantiles_gco2_per_kwh=levels)
        power = PowerModel(tdp_w=1000.0 + 50 * index, idle_fraction=0.3, source="test")
        node_type = NodeType(name=f"n{index}", resources={"GPU": 2.0}, max_nodes=count, usd_per_h=0.1 * index, power=power)
        regions[name] = Region(name=name, zone=name, pue=1.1, node_types=(node_type,))
    snapshot = ForecastSnapshot(version=7, issued_at=start_at, forecasts=forecasts)
    return Surroundings(regions=regions, snapshot=snapshot, blocked_until=blocked or {})


@st.composite
def members(draw: st.DrawFn, name: str, slots: int, regions: int) -> Member:
    names = [f"r{index}" for index in range(regions)]
    allowed = tuple(draw(st.permutations(names))[: draw(st.integers(1, regions))])
    share = st.sampled_from([0.0, 0.1, 0.5])
    quanta = draw(st.integers(1, slots))
    is_running = draw(st.booleans())
    startup_s = draw(st.sampled_from([0.0, 0.0, 700.0, 2 * SLOT_S]))
    workload = Workload(
        workload_id=name,
        work_h=slots * SLOT_H,
        workers=draw(st.integers(1, 4)),
        resources_per_worker={"GPU": 1.0},
        home_region=draw(st.sampled_from(names)),
        regions=allowed,
        submitted_at=T0,
        deadline_at=T0 + timedelta(seconds=SLOT_S * draw(st.integers(1, slots))),
        objective=Objective(
            usd_per_kgco2=draw(st.sampled_from([0.2, 1.0])),
            usd_per_h_delay=draw(st.sampled_from([0.0, 0.05])),
            usd_weight=draw(st.sampled_from([0.0, 1.0])),
        ),
        overheads=Overheads(
            checkpoint_h=draw(share),
            restore_h=draw(share),
            migrate_h=draw(share),
            startup_s=startup_s,
            egress_usd=draw(st.sampled_from([0.0, 0.1])),
        ),
    )
    progress = Progress(
        remaining_h=quanta * SLOT_H,
        region=draw(st.sampled_from(names)),
        is_running=is_running,
        is_started=draw(st.booleans()),
        starting_s=draw(st.sampled_from([0.0, startup_s])) if is_running else 0.0,
        last_gco2_per_kwh=draw(st.sampled_from([None, 0.0, 37.0, 700.0])) if is_running else None,
    )
    return Member(workload=workload, progress=progress, priority=draw(st.sampled_from([1.0, 1.0, 3.0])))


@st.composite
def worlds(draw: st.DrawFn, most: int = 5) -> World:
    slots, regions, count = draw(st.integers(2, 8)), draw(st.integers(1, 3)), draw(st.integers(1, most))
    cells = st.floats(0.0, 800.0)
    intensity = np.array(draw(st.lists(cells, min_size=slots * regions, max_size=slots * regions))).reshape(slots, regions)
    max_nodes = [2] + [draw(st.integers(1, 3)) for _ in range(regions - 1)]
    blocked = {"r1": T0 + timedelta(seconds=SLOT_S)} if regions > 1 and draw(st.booleans()) else {}
    found = []
    for index in range(count):
        member = draw(members(f"w{index}", slots, regions))
        fits = [name for name in member.workload.regions if max_nodes[int(name[1:])] * 2 >= member.workload.workers]
        found.append(member if fits else replace(member, workload=replace(member.workload, workers=1)))
    around = surroundings(intensity, max_nodes, blocked=blocked, spread=draw(st.sampled_from([0.0, 0.4])))
    return World(members=tuple(found), around=around, slots=slots)


def nodes_of(member: Member) -> int:
    return math.ceil(member.workload.workers / 2)


def held(plan: Plan, slots: int) -> list[str | None]:
    """Region of each slot, from the plan's steps alone."""
    out: list[str | None] = []
    for step in plan.steps:
        out.extend([step.region] * round((step.end_at - step.start_at).total_seconds() / SLOT_S))
    return out + [None] * (slots - len(out))


def work_slots(member: Member, path: list[str | None]) -> int:
    """Slots that make progress: those of each stretch after its start-up."""
    startup, at, done = math.ceil(member.workload.overheads.startup_s / SLOT_S), None, 0
    if member.progress.is_running and path[0] == member.progress.region:
        at, waits = path[0], math.ceil(member.progress.starting_s / SLOT_S)
    for region in path:
        if region is not None and region != at:
            waits = startup
        if region is not None:
            done, waits = (done, waits - 1) if waits > 0 else (done + 1, waits)
        at = region
    return done


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_no_capacity_is_exceeded_no_region_misused_and_the_work_is_done_once(world: World) -> None:
    answers = FleetReplan(slot_s=SLOT_S, ascent=BRIEF).decide_all(world.members, world.around, now=T0)
    used = np.zeros((world.slots, len(world.around.regions)))
    for member, (plan, decision) in zip(world.members, answers, strict=True):
        path = held(plan, world.slots)
        assert {region for region in path if region} <= set(member.workload.regions)
        for slot, region in enumerate(path):
            if region is not None:
                used[slot, int(region[1:])] += nodes_of(member)
                assert decision.is_forced or slot > 0 or region not in world.around.blocked_until
        quanta = round(member.progress.remaining_h / SLOT_H)
        done = work_slots(member, path)
        assert done <= quanta
        if not decision.is_forced:
            assert done == quanta
            assert plan.expected.finish_at <= member.workload.deadline_at
        assert plan.forecast_version == 7
        assert (decision.target.region if decision.target else None) == plan.now.region == path[0]
    assert (used <= [region.node_types[0].max_nodes for region in world.around.regions.values()]).all()


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_the_bound_is_below_every_allocation_and_nobody_is_missed_without_need(world: World) -> None:
    found = allocate(world.members, world.around, now=T0, slot_s=SLOT_S, ascent=BRIEF)
    alone = 0.0
    for index, member in enumerate(world.members):
        costs = found.batch.costs(index)
        solution = solve(costs.problem(), costs.initial())
        alone += member.priority * solution.cost if solution.path else 0.0
        if not solution.path:
            assert index in found.missed
        else:
            assert found.solutions[index].cost >= solution.cost - 1e-9
    assert found.bound_usd >= alone - 1e-9  # prices only ever prove more than no prices
    if len(found.missed) == found.hopeless:
        assert found.bound_usd <= found.total_usd + 1e-9
    if not found.is_coupled:
        assert found.bound_usd == pytest.approx(alone, abs=1e-9)
        assert found.total_usd == pytest.approx(alone, abs=1e-9)
        assert found.gap_fraction == pytest.approx(0.0, abs=1e-6)
    assert (found.used() <= found.batch.capacity).all()


@settings(max_examples=200, deadline=None)
@given(worlds(most=1))
def test_a_single_workload_is_decided_upon_as_by_itself(world: World) -> None:
    single, fleet = Replan(slot_s=SLOT_S), FleetReplan(slot_s=SLOT_S)
    (plan, decision) = Independent(policy=single).decide_all(world.members, world.around, now=T0)[0]
    ((fleet_plan, fleet_decision),) = fleet.decide_all(world.members, world.around, now=T0)
    if fleet_plan.steps != plan.steps:  # plans of one price: rounding may choose either
        assert fleet_plan.expected.objective_usd == pytest.approx(plan.expected.objective_usd, rel=1e-12, abs=1e-12)
        return
    assert fleet_plan.reason + in_words(plan.runner_up) == plan.reason  # the fleet does not look for a second best
    assert fleet_plan.expected == plan.expected
    assert (fleet_decision.target, fleet_decision.current) == (decision.target, decision.current)
    assert fleet_decision.gain_usd == pytest.approx(decision.gain_usd, rel=1e-6, abs=1e-9)
    assert fleet_decision.is_forced == decision.is_forced


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_many_are_decided_upon_as_each_by_itself(world: World) -> None:
    policy = Replan(slot_s=SLOT_S)
    together = policy.decide_each(world.members, world.around, now=T0)
    for member, (plan, decision) in zip(world.members, together, strict=True):
        own_plan, own_decision = policy.decide(member.workload, member.progress, world.around, now=T0)
        if plan.steps != own_plan.steps:  # plans of one price: rounding may choose either
            assert plan.expected.objective_usd == pytest.approx(own_plan.expected.objective_usd, rel=1e-12, abs=1e-12)
            continue
        assert (plan.steps, plan.reason) == (own_plan.steps, own_plan.reason)
        assert (decision.target, decision.current, decision.reason) == (own_decision.target, own_decision.current, own_decision.reason)
        assert decision.gain_usd == pytest.approx(own_decision.gain_usd, rel=1e-6, abs=1e-9)
        assert decision.is_forced == own_decision.is_forced
        assert (plan.runner_up is None) == (own_plan.runner_up is None)
        assert plan.expected.finish_at == own_plan.expected.finish_at
        for name in ("objective_usd", "gco2", "energy_kwh", "usd"):
            assert getattr(plan.expected, name) == pytest.approx(getattr(own_plan.expected, name), rel=1e-9, abs=1e-12)
        assert (plan.expected.suspends, plan.expected.moves) == (own_plan.expected.suspends, own_plan.expected.moves)


@settings(max_examples=100, deadline=None)
@given(worlds(most=1))
def test_the_arrays_of_a_batch_price_as_costs_do(world: World) -> None:
    member, around = world.members[0], world.around
    found = allocate(world.members, around, now=T0, slot_s=SLOT_S)
    costs = Costs.expected(
        member.workload, member.progress, around.regions, around.snapshot, now=T0, slot_s=SLOT_S, blocked_until=around.blocked_until
    )
    solution = solve(costs.problem(), costs.initial())
    chosen = found.solutions[0]
    if (chosen.path, chosen.working) != (solution.path, solution.working):  # plans of one price: rounding may choose either
        prices = [costs.expected_of(each.path, each.working).objective_usd for each in (chosen, solution)]
        assert prices[0] == pytest.approx(prices[1], rel=1e-12, abs=1e-12)
    assert found.solutions[0].cost == pytest.approx(solution.cost, rel=1e-9, abs=1e-12)
    assert found.solutions[0].keep_cost == pytest.approx(solution.keep_cost, rel=1e-9, abs=1e-12)
    np.testing.assert_array_equal(found.batch.costs(0).intensity_gco2_per_kwh, costs.intensity_gco2_per_kwh)
    np.testing.assert_array_equal(found.batch.costs(0).allowed, costs.allowed)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_members_hardly_matters(world: World, random: object) -> None:
    equal = [replace(member, priority=1.0) for member in world.members]
    first = allocate(equal, world.around, now=T0, slot_s=SLOT_S, ascent=BRIEF)
    random.shuffle(equal)  # type: ignore[attr-defined]
    second = allocate(equal, world.around, now=T0, slot_s=SLOT_S, ascent=BRIEF)
    assert first.is_coupled == second.is_coupled
    assert first.hopeless == second.hopeless
    if not first.is_coupled:
        assert second.total_usd == pytest.approx(first.total_usd, abs=1e-9)
    elif len(first.missed) == len(second.missed) == first.hopeless:
        assert max(first.bound_usd, second.bound_usd) <= min(first.total_usd, second.total_usd) + 1e-9


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])  # most worlds hold more than fits
@given(worlds(), st.integers(0, 2**32 - 1))
def test_a_fleet_that_could_be_done_is_done_whatever_the_forecasts_say(world: World, seed: int) -> None:
    random = np.random.default_rng(seed)
    fleet = Continued(FleetReplan(slot_s=SLOT_S, ascent=BRIEF))
    world = replace(world, around=replace(world.around, blocked_until={}))
    assume(not world.allocate().missed)  # type: ignore[attr-defined]
    counts = [region.node_types[0].max_nodes for region in world.around.regions.values()]
    left = list(world.members)
    for slot in range(world.slots):
        now = T0 + timedelta(seconds=slot * SLOT_S)
        intensity = random.uniform(0.0, 800.0, (world.slots - slot, len(counts)))
        around = surroundings(intensity, counts, now) if slot else world.around
        answers = fleet.decide_all(left, around, now=now)
        going = []
        for member, (_, decision) in zip(left, answers, strict=True):
            assert now < member.workload.deadline_at
            progress = member.progress
            if decision.target != decision.current:
                progress = replace(
                    progress,
                    region=decision.target.region if decision.target else progress.region,
                    is_running=decision.target is not None,
                    starting_s=member.workload.overheads.startup_s if decision.target else 0.0,
                )
            if progress.is_running and progress.starting_s <= 0:
                progress = replace(progress, remaining_h=progress.remaining_h - SLOT_H, is_started=True)
            progress = replace(progress, starting_s=max(0.0, progress.starting_s - SLOT_S))
            if progress.remaining_h > 1e-9:
                going.append(replace(member, progress=progress))
        left = going
    assert not left
