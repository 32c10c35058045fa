"""The programme against every plan there is, enumerated for tiny instances and priced by an independent cost function."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import CooldownActive
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.guards import Guards
from carbon_ray.policies.programme import IDLE, solve
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 1, 1, tzinfo=UTC)
SLOT_S = 1800.0
SLOT_H = SLOT_S / 3600.0


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One workload of `quanta` slots in one to three regions, T slots before its deadline."""

    intensity: tuple[tuple[float, ...], ...]  # by slot, by region
    pue: tuple[float, ...]
    tdp_w: tuple[float, ...]
    usd_per_h: tuple[float, ...]
    quanta: int
    home: int
    objective: Objective
    overheads: Overheads
    progress_region: int
    is_running: bool
    is_started: bool
    starting_s: float
    last_gco2_per_kwh: float | None
    blocked_slots: tuple[int, ...]

    @property
    def slots(self) -> int:
        return len(self.intensity)

    @property
    def names(self) -> list[str]:
        return [f"r{index}" for index in range(len(self.pue))]

    def regions(self) -> dict[str, Region]:
        found = {}
        for name, pue, tdp_w, usd_per_h in zip(self.names, self.pue, self.tdp_w, self.usd_per_h, strict=True):
            power = PowerModel(tdp_w=tdp_w, idle_fraction=0.25, source="test")
            node_type = NodeType(name=f"gpu-{name}", resources={"GPU": 1.0}, max_nodes=2, usd_per_h=usd_per_h, power=power)
            found[name] = Region(name=name, zone=name, pue=pue, node_types=(node_type,))
        return found

    def workload(self) -> Workload:
        return Workload(
            workload_id="w",
            work_h=self.quanta * SLOT_H,
            workers=2,
            resources_per_worker={"GPU": 1.0},
            home_region=self.names[self.home],
            regions=tuple(self.names),
            submitted_at=T0,
            deadline_at=T0 + timedelta(seconds=self.slots * SLOT_S),
            objective=self.objective,
            overheads=self.overheads,
            utilisation_fraction=0.8,
        )

    def progress(self) -> Progress:
        return Progress(
            remaining_h=self.quanta * SLOT_H,
            region=self.names[self.progress_region],
            is_running=self.is_running,
            is_started=self.is_started,
            starting_s=self.starting_s,
            last_gco2_per_kwh=self.last_gco2_per_kwh,
        )

    def surroundings(self) -> Surroundings:
        return Surroundings(regions=self.regions(), snapshot=snapshot_of(self.names, self.intensity), blocked_until=self.blocked_until())

    def blocked_until(self) -> dict[str, datetime]:
        return {name: T0 + timedelta(seconds=count * SLOT_S) for name, count in zip(self.names, self.blocked_slots, strict=True) if count}

    def costs(self) -> Costs:
        around = self.surroundings()
        return Costs.expected(
            self.workload(),
            self.progress(),
            around.regions,
            around.snapshot,
            now=T0,
            slot_s=SLOT_S,
            blocked_until=around.blocked_until,
        )

    def permuted(self, order: tuple[int, ...]) -> Instance:
        """The same world with its regions in another order, so that region `order[i]` becomes region i."""
        return replace(
            self,
            intensity=tuple(tuple(row[index] for index in order) for row in self.intensity),
            pue=tuple(self.pue[index] for index in order),
            tdp_w=tuple(self.tdp_w[index] for index in order),
            usd_per_h=tuple(self.usd_per_h[index] for index in order),
            blocked_slots=tuple(self.blocked_slots[index] for index in order),
            home=order.index(self.home),
            progress_region=order.index(self.progress_region),
        )


def snapshot_of(zones: list[str], intensity: tuple[tuple[float, ...], ...], start_at: datetime = T0) -> ForecastSnapshot:
    columns = np.array(intensity, dtype=float)
    forecasts = {}
    for index, zone in enumerate(zones):
        series = IntensitySeries(
            zone=zone,
            kind=IntensityKind.MARGINAL,
            start_at=start_at,
            step_s=SLOT_S,
            values_gco2_per_kwh=columns[:, index],
            provenance=Provenance(provider="test"),
        )
        forecasts[zone] = Forecast.certain(series, start_at)
    return ForecastSnapshot(version=1, issued_at=start_at, forecasts=forecasts)


def cost_of(instance: Instance, path: tuple[int, ...]) -> float | None:
    """USD of a path, region by slot, from the meaning of the fields alone; None where it is no plan for this work."""
    overheads, objective = instance.overheads, instance.objective
    gco2 = usd = 0.0
    at, is_started, done, slot = instance.progress_region, instance.is_started, 0, 0

    def emit(hours: float, load: float, slot: int, region: int, intensity: float | None = None) -> None:
        nonlocal gco2
        kw = 2 * instance.tdp_w[region] / 1000 * (0.25 + 0.75 * load) * instance.pue[region]
        gco2 += hours * kw * (instance.intensity[slot][region] if intensity is None else intensity)

    if instance.is_running and path[0] != at:
        emit(overheads.checkpoint_h, 0.8, 0, at, instance.last_gco2_per_kwh)
    for region, stretch in itertools.groupby(path):
        length = len(list(stretch))
        if region == IDLE:
            slot += length
            continue
        goes_on = slot == 0 and instance.is_running and region == at
        startup_s = instance.starting_s if goes_on else overheads.startup_s
        startup_slots = math.ceil(startup_s / SLOT_S)
        if startup_slots >= length or any(number < instance.blocked_slots[region] for number in range(slot, slot + length)):
            return None
        if not goes_on:
            is_away = region != (at if is_started else instance.home)  # what a first start needs is at home
            emit(overheads.restore_h * is_started + overheads.migrate_h * is_away, 0.8, slot, region)
            usd += overheads.egress_usd * is_away
        for number in range(length):
            starting_h = max(0.0, min(SLOT_H, startup_s / 3600 - number * SLOT_H))
            is_working = number >= startup_slots
            emit(SLOT_H if is_working else starting_h, 0.8 if is_working else 0.0, slot + number, region)
            usd += 2 * instance.usd_per_h[region] * (SLOT_H if is_working else starting_h)
            done += is_working
        slot += length
        at, is_started = region, True
        if slot < len(path):
            emit(overheads.checkpoint_h, 0.8, slot - 1, region)
    if done != instance.quanta:
        return None
    return objective.usd_per_kgco2 * gco2 / 1000 + objective.usd_weight * usd + objective.usd_per_h_delay * len(path) * SLOT_H


def every_plan(instance: Instance) -> dict[tuple[int, ...], float]:
    choices = (IDLE, *range(len(instance.pue)))
    plans = {}
    for length in range(1, instance.slots + 1):
        for path in itertools.product(choices, repeat=length):
            if path[-1] != IDLE and (cost := cost_of(instance, path)) is not None:
                plans[path] = cost
    return plans


@st.composite
def instances(draw: st.DrawFn, max_slots: int = 5, max_regions: int = 3) -> Instance:
    slots, regions = draw(st.integers(1, max_slots)), draw(st.integers(1, max_regions))
    is_running = draw(st.booleans())
    is_started = draw(st.booleans())
    share = st.sampled_from([0.0, 0.05, 0.3])

    def per_region(values: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(values, min_size=regions, max_size=regions)))

    return Instance(
        intensity=tuple(per_region(st.floats(0.0, 800.0)) for _ in range(slots)),
        pue=per_region(st.sampled_from([1.0, 1.2, 1.6])),
        tdp_w=per_region(st.sampled_from([500.0, 1000.0])),
        usd_per_h=per_region(st.sampled_from([0.0, 0.05, 0.2])),
        quanta=draw(st.integers(1, slots)),
        home=draw(st.integers(0, regions - 1)),
        objective=Objective(
            usd_per_kgco2=draw(st.sampled_from([0.0, 0.2, 1.0])),
            usd_per_h_delay=draw(st.sampled_from([0.0, 0.02, 5.0])),
            usd_weight=draw(st.sampled_from([0.0, 1.0])),
        ),
        overheads=Overheads(
            checkpoint_h=draw(share),
            restore_h=draw(share),
            migrate_h=draw(share),
            startup_s=draw(st.sampled_from([0.0, 600.0, SLOT_S, 2700.0])),
            egress_usd=draw(st.sampled_from([0.0, 0.05])),
        ),
        progress_region=draw(st.integers(0, regions - 1)),
        is_running=is_running,
        is_started=is_started,
        starting_s=draw(st.sampled_from([0.0, 600.0, SLOT_S, 2700.0])) if is_running else 0.0,
        last_gco2_per_kwh=draw(st.sampled_from([None, 0.0, 37.0, 700.0])) if is_running else None,
        blocked_slots=tuple(draw(st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=regions, max_size=regions))),
    )


@settings(max_examples=150, deadline=None)
@given(instances())
def test_no_plan_is_cheaper_than_the_programmes(instance: Instance) -> None:
    plans = every_plan(instance)
    costs = instance.costs()
    solution = solve(costs.problem(), costs.initial())
    if not plans:
        assert solution.path == ()
        assert solution.cost == math.inf
        return
    assert solution.cost == pytest.approx(min(plans.values()), rel=1e-9, abs=1e-12)
    assert plans[solution.path] == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(instances())
def test_what_keeping_costs_is_the_best_plan_that_keeps(instance: Instance) -> None:
    here = instance.progress_region if instance.is_running else IDLE
    keeping = [cost for path, cost in every_plan(instance).items() if path[0] == here]
    costs = instance.costs()
    solution = solve(costs.problem(), costs.initial())
    assert solution.keep_cost == pytest.approx(min(keeping, default=math.inf), rel=1e-9, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(instances())
def test_the_plan_does_exactly_the_work_before_the_deadline_at_its_stated_cost(instance: Instance) -> None:
    costs = instance.costs()
    solution = solve(costs.problem(), costs.initial())
    assume(solution.path)
    assert sum(solution.working) == instance.quanta
    assert len(solution.path) == len(solution.working) <= instance.slots
    assert solution.path[-1] != IDLE
    assert not any(working and where == IDLE for where, working in zip(solution.path, solution.working, strict=True))
    expected = costs.expected_of(solution.path, solution.working)
    assert expected.objective_usd == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)
    assert expected.finish_at == T0 + timedelta(seconds=len(solution.path) * SLOT_S) <= instance.workload().deadline_at
    plan, decision = Replan(slot_s=SLOT_S, hysteresis_fraction=0.0).decide(
        instance.workload(), instance.progress(), instance.surroundings(), now=T0
    )
    assert plan.expected.objective_usd == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)
    assert plan.steps[0].start_at == T0
    assert all(before.end_at == after.start_at for before, after in itertools.pairwise(plan.steps))
    assert (decision.target.region if decision.target else None) == plan.now.region
    assert not math.isnan(decision.gain_usd)


@settings(max_examples=80, deadline=None)
@given(instances(), st.data())
def test_permuting_the_regions_permutes_the_plan(instance: Instance, data: st.DataObject) -> None:
    order = tuple(data.draw(st.permutations(range(len(instance.pue)))))
    costs, other = instance.costs(), instance.permuted(order).costs()
    solution, permuted = solve(costs.problem(), costs.initial()), solve(other.problem(), other.initial())
    assert permuted.cost == pytest.approx(solution.cost, rel=1e-9, abs=1e-12)
    back = tuple(where if where == IDLE else order[where] for where in permuted.path)
    if back != solution.path:  # then the two are tied
        assert cost_of(instance, back) == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(instances(), st.sampled_from([0.25, 3.0, 40.0]))
def test_scaling_all_prices_scales_the_cost(instance: Instance, factor: float) -> None:
    prices = instance.objective
    dearer = replace(
        instance,
        objective=Objective(
            usd_per_kgco2=prices.usd_per_kgco2 * factor,
            usd_per_h_delay=prices.usd_per_h_delay * factor,
            usd_weight=prices.usd_weight * factor,
        ),
    )
    costs, other = instance.costs(), dearer.costs()
    cost = solve(costs.problem(), costs.initial()).cost
    assert solve(other.problem(), other.initial()).cost == pytest.approx(factor * cost, rel=1e-9, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(instances(max_regions=2), st.floats(1.0, 200.0))
def test_a_region_that_is_worse_in_everything_attracts_no_work(instance: Instance, worse: float) -> None:
    copied = instance.home
    # With a start-up time, a move is also a way of holding nodes without working through a dirty slot.
    instance = replace(instance, overheads=replace(instance.overheads, startup_s=0.0), starting_s=0.0)
    grown = replace(
        instance,
        intensity=tuple((*row, row[copied] + worse) for row in instance.intensity),
        pue=(*instance.pue, instance.pue[copied]),
        tdp_w=(*instance.tdp_w, instance.tdp_w[copied]),
        usd_per_h=(*instance.usd_per_h, instance.usd_per_h[copied] + 0.01),
        blocked_slots=(*instance.blocked_slots, instance.blocked_slots[copied]),
        objective=replace(instance.objective, usd_per_kgco2=0.5),
        progress_region=copied,
    )
    alone = replace(instance, objective=grown.objective, progress_region=copied)
    costs, other = alone.costs(), grown.costs()
    before, after = solve(costs.problem(), costs.initial()), solve(other.problem(), other.initial())
    assert after.cost == pytest.approx(before.cost, rel=1e-9, abs=1e-12)
    assert len(instance.pue) not in after.path


@st.composite
def noisy_days(draw: st.DrawFn) -> tuple[Instance, int]:
    return draw(instances(max_slots=12, max_regions=3)), draw(st.integers(0, 2**32 - 1))


@settings(max_examples=60, deadline=None)
@given(noisy_days())
def test_re_planning_on_ever_changing_forecasts_never_misses_a_feasible_deadline(day: tuple[Instance, int]) -> None:
    instance, seed = day
    instance = replace(instance, blocked_slots=(0,) * len(instance.pue))
    costs = instance.costs()
    assume(solve(costs.problem(), costs.initial()).path)
    random = np.random.default_rng(seed)
    policy, guards, workload, progress = Replan(slot_s=SLOT_S), Guards(min_stay_s=2 * SLOT_S), instance.workload(), instance.progress()
    for slot in range(instance.slots):
        now = T0 + timedelta(seconds=slot * SLOT_S)
        future = tuple(map(tuple, random.uniform(0.0, 800.0, (instance.slots - slot, len(instance.pue)))))
        around = Surroundings(regions=instance.regions(), snapshot=snapshot_of(instance.names, future, now))
        _, decision = policy.decide(workload, progress, around, now=now)
        try:
            decision = guards.admit(decision, workload, progress, around, now=now)
        except CooldownActive:
            pass  # stays as it is
        else:
            if decision.target != decision.current:
                region = decision.target.region if decision.target else progress.region
                progress = replace(
                    progress,
                    region=region,
                    is_running=decision.target is not None,
                    since_at=now,
                    starting_s=workload.overheads.startup_s if decision.target else 0.0,
                )
        if progress.is_running and progress.starting_s <= 0:
            progress = replace(progress, remaining_h=progress.remaining_h - SLOT_H, is_started=True)
        progress = replace(progress, starting_s=max(0.0, progress.starting_s - SLOT_S))
        if progress.remaining_h < 1e-9:
            return
    raise AssertionError(f"{progress.remaining_h} h were left at the deadline")
