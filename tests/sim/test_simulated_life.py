"""What must hold of every simulation: determinism, no future, capacity, deadlines, no work lost but by lost nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.codec import dumps
from carbon_ray.core.decision import Change, Decision
from carbon_ray.core.errors import ForecastError, NoCapacityError, OutsideDataError, UnknownRegionError, UnknownZoneError
from carbon_ray.core.ledger import Outcome
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Overheads
from carbon_ray.forecasting.naive import Ewma, Persistence
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.baselines import RULES
from carbon_ray.policies.baselines.policy import RulePolicy
from carbon_ray.policies.fleet.policy import Continued, FleetReplan
from carbon_ray.policies.guards import Guards
from carbon_ray.policies.replan import Replan
from carbon_ray.policies.run_now import RunNow
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant, IssuedForecasts
from carbon_ray.sim.results import Refusal, Run
from carbon_ray.sim.world import Control, Mishaps, Physics

START = timedelta(days=10)
DEFAULTS = Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.5)
ZONES = ["A", "B", "C"]


@pytest.fixture
def busy(tools: SimpleNamespace) -> SimpleNamespace:
    """Three zones, 14 jobs at any minute of three days, ten days of history before them."""
    random = np.random.default_rng(5)
    values = tools.weather(2, ZONES, 24 * 30)
    rows = [(float(at), float(length), 1) for at, length in zip(random.uniform(0, 60, 14), random.choice([0.7, 4, 9.5], 14), strict=True)]
    overheads = replace(DEFAULTS, startup_s=300.0)
    some = tools.jobs(rows, ZONES, slack_h=16, start_at=tools.T0 + START, overheads=overheads, checkpoint_bytes=1e9)
    return SimpleNamespace(values=values, jobs=some, rows=rows)


def most_held(run: Run, region: str) -> int:
    """Most nodes that a region's segments held at once."""
    marks = sorted(
        (mark, sign * one.nodes) for one in run.stretches if one.region == region for mark, sign in ((one.start_s, 1), (one.end_s, -1))
    )
    return max(np.cumsum([sign for _, sign in marks]), default=0)


def done_h(run: Run, number: int) -> float:
    """Running hours that count: all that ran, less what was lost."""
    ran_s = sum((one.stopped_s or one.end_s) - one.running_s for one in run.stretches if one.job == number and one.running_s is not None)
    return ran_s / 3600 - run.jobs[number].lost_h


TROUBLE = Mishaps(stockouts_per_day=0.5, stockout_mean_h=3.0, losses_per_node_h=0.1, seed=4)
SLOW = Physics(checkpoint_s=60.0, checkpoint_every_s=1800.0, bandwidth_bytes_per_s=2e6)


@pytest.mark.parametrize("tick_s", [3600.0, 1800.0, None])
@pytest.mark.parametrize("mishaps", [Mishaps(), TROUBLE])
def test_same_seed_same_bytes_and_nothing_lost(
    tools: SimpleNamespace, busy: SimpleNamespace, tick_s: float | None, mishaps: Mishaps
) -> None:
    where = tools.world(busy.values, max_nodes=2, idle_fraction=0.2, usd_per_h=1.0, physics=SLOW, mishaps=mishaps)
    control, policy = Control(tick_s=tick_s), Replan(slot_s=1800.0)

    def once() -> Run:
        return simulate(where, busy.jobs, policy, IssuedForecasts(where.truth, Ewma()), control)

    run = once()
    assert dumps(run) == dumps(once())
    assert len(run.jobs) == len(busy.jobs.jobs)
    for region in ZONES:
        assert most_held(run, region) <= 2
    for number, job in enumerate(busy.jobs.jobs):
        assert done_h(run, number) == pytest.approx(job.workload.work_h, abs=1e-6)
        assert run.jobs[number].finished_at >= job.workload.submitted_at + timedelta(hours=job.workload.work_h)
    if mishaps is TROUBLE:
        assert sum(result.losses for result in run.jobs) == sum(one.outcome is Outcome.LOST for one in run.stretches) > 0
        assert sum(result.lost_h for result in run.jobs) > 0
        assert all(result.lost_h <= result.losses * 0.5 + 1e-9 for result in run.jobs)  # a checkpoint every half hour
    else:
        assert sum(result.losses + result.lost_h for result in run.jobs) == 0
    other = simulate(replace(where, mishaps=replace(mishaps, seed=mishaps.seed + 1)), busy.jobs, policy, Clairvoyant(where.truth), control)
    assert dumps(other) != dumps(run)


def test_deadlines_are_met_where_nothing_goes_wrong(tools: SimpleNamespace, busy: SimpleNamespace) -> None:
    where = tools.world(busy.values)
    for forecaster in (Persistence(), Ewma()):
        run = simulate(where, busy.jobs, Replan(slot_s=1800.0), IssuedForecasts(where.truth, forecaster), Control(tick_s=1800.0))
        assert [result.workload_id for result in run.jobs if result.is_missed] == []
        assert run.forecaster == forecaster.name
        assert not run.is_clairvoyant
        assert sum(result.gco2 for result in run.jobs) < sum(result.run_now_gco2 for result in run.jobs)


def test_the_clairvoyant_bound_is_never_beaten(tools: SimpleNamespace) -> None:
    values = tools.weather(8, ZONES, 24 * 30)
    random = np.random.default_rng(1)
    rows = [(int(at), int(length), 1) for at, length in zip(random.integers(0, 40, 8), random.choice([1, 5, 12], 8), strict=True)]
    some = tools.jobs(rows, ZONES, slack_h=24, start_at=tools.T0 + START, overheads=DEFAULTS)
    where = tools.world(values)
    bound = clairvoyant_bound(where, some, slot_s=3600.0)
    assert bound.is_clairvoyant
    fewest = tools.world(values, max_nodes=2)
    tried = 0
    for policy in (RunNow(slot_s=3600.0), tools.exact, Replan(slot_s=3600.0)):
        for source in (Clairvoyant(where.truth), IssuedForecasts(where.truth, Ewma())):
            for tick_s in (3600.0, None):
                for world in (where, fewest):
                    run = simulate(world, some, policy, source, Control(tick_s=tick_s))
                    for result, best in zip(run.jobs, bound.jobs, strict=True):
                        assert result.gco2 >= best.gco2 - 1e-6
                        assert result.run_now_gco2 == best.run_now_gco2
                        tried += 1
    assert tried == 24 * 8
    exact = simulate(where, some, tools.exact, Clairvoyant(where.truth), Control(tick_s=None))
    assert [result.gco2 for result in exact.jobs] == pytest.approx([result.gco2 for result in bound.jobs], abs=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_published_rules_finish_in_time_and_within_the_bound(tools: SimpleNamespace, rule: type) -> None:
    where = tools.world(tools.weather(8, ZONES, 24 * 20))
    rows = [(start, length, 1) for start, length in ((3, 5), (20, 1), (31, 12), (31, 5), (50, 24))]
    some = tools.jobs(rows, ZONES, slack_h=24, start_at=tools.T0 + START, overheads=DEFAULTS)
    run = simulate(where, some, RulePolicy(rule=rule(), slot_s=3600.0), IssuedForecasts(where.truth, Ewma()))
    bound = clairvoyant_bound(where, some, slot_s=3600.0)
    for number, (result, best) in enumerate(zip(run.jobs, bound.jobs, strict=True)):
        assert not result.is_missed
        assert result.gco2 >= best.gco2 - 1e-6
        assert done_h(run, number) == pytest.approx(rows[number][1])


@pytest.mark.parametrize("tick_s", [3600.0, None])
@pytest.mark.parametrize("forecaster", [Persistence(), Ewma()])
def test_no_decision_knows_the_future(tools: SimpleNamespace, busy: SimpleNamespace, forecaster: Any, tick_s: float | None) -> None:
    """Another truth after an instant leaves every change up to that instant as it was."""
    mishaps = replace(TROUBLE, losses_per_node_h=0.02)
    first = tools.world(busy.values, max_nodes=2, mishaps=mishaps)
    cut = 24 * 10 + 50
    changed = {zone: np.concatenate([values[:cut], values[cut:][::-1] * 1.7 + 31]) for zone, values in busy.values.items()}
    second = tools.world(changed, max_nodes=2, mishaps=mishaps)
    control, policy = Control(tick_s=tick_s), Replan(slot_s=1800.0)
    runs = [simulate(one, busy.jobs, policy, IssuedForecasts(one.truth, forecaster), control) for one in (first, second)]
    until_at = tools.T0 + timedelta(hours=cut)
    early = [[change for change in run.changes if change.at <= until_at] for run in runs]
    assert early[0] == early[1]
    assert len(early[0]) > 8
    assert runs[0].changes != runs[1].changes


class Noted:
    """A source that notes what it was asked, and how late an instant its forecasts' makers saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[datetime, datetime]] = []
        self.name = "noted"

    def forecast(self, history: Any, *, now: datetime, horizon_s: float) -> Any:
        self.seen.extend((now, one.end_at) for one in history.values())
        return Persistence().forecast(history, now=now, horizon_s=horizon_s)


def test_forecasters_are_handed_the_past_alone(tools: SimpleNamespace, busy: SimpleNamespace) -> None:
    where, noted = tools.world(busy.values), Noted()
    source = IssuedForecasts(where.truth, noted, issue_s=6 * 3600.0)
    simulate(where, busy.jobs, tools.exact, source)
    assert len(noted.seen) > 10
    assert all(end_at <= now for now, end_at in noted.seen)
    assert {now.hour % 6 for now, _ in noted.seen} == {0}


def test_a_shared_source_gives_the_same_as_a_fresh_one(tools: SimpleNamespace, busy: SimpleNamespace) -> None:
    where = tools.world(busy.values)
    shared = IssuedForecasts(where.truth, Ewma())
    runs = [simulate(where, busy.jobs, tools.exact, shared) for _ in range(2)]
    assert dumps(runs[0]) == dumps(runs[1])


def test_plans_are_followed_between_ticks(tools: SimpleNamespace) -> None:
    """With perfect foresight a plan made once is as good as one that is made again and again, whatever the ticks."""
    values = tools.weather(4, ["A"], 24 * 12)
    where = tools.world(values)
    some = tools.jobs([(0, 6, 1), (5, 6, 1)], ["A"], slack_h=40)
    grams = [
        [result.gco2 for result in simulate(where, some, tools.exact, Clairvoyant(where.truth), Control(tick_s=tick_s)).jobs]
        for tick_s in (None, 3600.0, 6 * 3600.0, 86400.0)
    ]
    assert all(one == pytest.approx(grams[0]) for one in grams)


def test_a_stock_out_is_found_out_and_left_out(tools: SimpleNamespace) -> None:
    """Stock-outs all day long in both regions: work starts late, is done, and regions that gave nothing were left for others."""
    where = tools.world(
        tools.weather(4, ["A", "B"], 24 * 40), mishaps=Mishaps(stockouts_per_day=1.0, stockout_mean_h=8.0, seed=1), physics=Physics()
    )
    some = tools.jobs([(hour, 4, 1) for hour in range(0, 150, 8)], ["A", "B"], slack_h=16, start_at=tools.T0 + START)
    policy, control = Replan(slot_s=1800.0), Control(tick_s=1800.0)
    run = simulate(where, some, policy, Clairvoyant(where.truth), control)
    free = simulate(replace(where, mishaps=Mishaps()), some, policy, Clairvoyant(where.truth), control)
    assert sum(result.delay_h for result in run.jobs) != sum(result.delay_h for result in free.jobs)
    assert sum(result.gco2 for result in run.jobs) > sum(result.gco2 for result in free.jobs)
    told = [change for change in run.changes if change.change in (Change.START, Change.MOVE)]
    assert len(told) > len(run.stretches)  # some were told to run where there was nothing


def test_lost_nodes_cost_the_work_since_the_checkpoint(tools: SimpleNamespace) -> None:
    where = tools.world(
        {"A": [100.0] * 24 * 60}, physics=Physics(checkpoint_every_s=3600.0), mishaps=Mishaps(losses_per_node_h=0.2, seed=2)
    )
    some = tools.jobs([(0, 40, 1)], ["A"], slack_h=200)
    run = simulate(where, some, RunNow(slot_s=3600.0), Clairvoyant(where.truth))
    (result,) = run.jobs
    assert result.losses > 3
    lost = [one for one in run.stretches if one.outcome is Outcome.LOST]
    expected = sum((one.end_s - one.running_s) % 3600 for one in lost if one.running_s is not None) / 3600
    assert result.lost_h == pytest.approx(expected)
    assert result.delay_h == pytest.approx(expected)
    assert result.gco2 == pytest.approx(100 * (40 + expected))
    assert result.run_now_gco2 == 4000


def test_transfers_and_checkpoints_take_time(tools: SimpleNamespace) -> None:
    """The best move is at hour 3; half an hour of writing is held, an hour of travel is not."""
    far = {"A": [100.0] * 3 + [900.0] * 100, "B": [900.0] * 3 + [100.0] * 100}
    physics = Physics(checkpoint_s=1800.0, bandwidth_bytes_per_s=1e6)
    where = tools.world(far, idle_fraction=0.5, physics=physics)
    some = tools.jobs([(0, 10, 1)], ["A", "B"], slack_h=5, homes=["A"], checkpoint_bytes=3.6e9)
    run = simulate(where, some, tools.exact, Clairvoyant(where.truth))
    assert [(one.region, one.start_s / 3600, one.end_s / 3600) for one in run.stretches] == [("A", 0.0, 3.5), ("B", 4.5, 11.5)]
    assert run.jobs[0].gco2 == pytest.approx(300 + 0.5 * 0.5 * 900 + 700)
    assert run.jobs[0].delay_h == pytest.approx(1.5)


def test_start_up_times_are_learnt(tools: SimpleNamespace) -> None:
    """Nodes take an hour, the workload expects none: from its second segment on the policy plans with what was measured."""
    where = tools.world(tools.weather(6, ["A"], 24 * 20), physics=Physics(startup_s=3600.0))
    some = tools.jobs([(0, 8, 1)], ["A"], slack_h=60)
    run = simulate(where, some, tools.exact, Clairvoyant(where.truth))
    spans = [one.running_s - one.start_s for one in run.stretches if one.running_s is not None]
    assert spans == [3600.0] * len(run.stretches)
    assert not run.jobs[0].is_missed


def test_one_disruption_a_tick(tools: SimpleNamespace) -> None:
    wave = [100.0] * 5 + [900.0] * 5
    where = tools.world({"A": wave * 40})
    some = tools.jobs([(0, 8, 1)] * 6, ["A"], slack_h=60)
    for limit in (1, 2, None):
        run = simulate(where, some, tools.exact, Clairvoyant(where.truth), Control(disruptions_per_tick=limit))
        at_once = [
            sum(change.at == at and change.change is Change.SUSPEND for change in run.changes) for at in {one.at for one in run.changes}
        ]
        assert max(at_once) == (limit or 6)
        assert (run.refused[Refusal.DISRUPTIONS] > 0) == (limit is not None)


def test_guards_hold_decisions_back(tools: SimpleNamespace) -> None:
    where = tools.world({"A": [100.0, 900.0] * 100})
    some = tools.jobs([(0, 5, 1)], ["A"], slack_h=60)
    free = simulate(where, some, tools.exact, Clairvoyant(where.truth))
    held = simulate(where, some, tools.exact, Clairvoyant(where.truth), Control(guards=Guards(min_stay_s=4 * 3600.0)))
    assert held.refused[Refusal.GUARD] > 0 == free.refused[Refusal.GUARD]
    assert free.jobs[0].suspends == 4
    changed_at = [change.at for change in held.changes]
    assert all(later - earlier >= timedelta(hours=4) for earlier, later in pairwise(changed_at))


@dataclass(frozen=True)
class Queue:
    """A fleet policy: as many run as there are nodes, the weightiest first, the others wait."""

    nodes: int

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> tuple[tuple[Plan, Decision], ...]:
        order = sorted(range(len(members)), key=lambda place: -members[place].priority)
        may_run = set(order[: self.nodes])
        out = []
        for place, member in enumerate(members):
            plan, decision = RunNow(slot_s=3600.0).decide(member.workload, member.progress, around, now=now)
            if place not in may_run:
                decision = replace(decision, target=None)
            out.append((plan, decision))
        return tuple(out)


def test_a_fleet_policy_decides_for_all(tools: SimpleNamespace) -> None:
    where = tools.world({"A": [100.0] * 200}, max_nodes=2)
    some = tools.jobs([(0, 3, 1)] * 4, ["A"], slack_h=60)
    weights = [1.0, 2.0, 3.0, 4.0]
    weighed = replace(some, jobs=tuple(replace(job, priority=weight) for job, weight in zip(some.jobs, weights, strict=True)))
    run = simulate(where, weighed, Queue(nodes=2), Clairvoyant(where.truth), Control(guards=Guards(min_stay_s=0.0)))
    assert most_held(run, "A") == 2
    assert [result.delay_h for result in run.jobs] == [3.0, 3.0, 0.0, 0.0]


def test_the_fleet_planner_shares_scarce_nodes(tools: SimpleNamespace, busy: SimpleNamespace) -> None:
    where = tools.world(busy.values, max_nodes=1)
    runs = {}
    for name, policy in (("fleet", Continued(FleetReplan(slot_s=3600.0))), ("each alone", Replan(slot_s=3600.0))):
        runs[name] = run = simulate(where, busy.jobs, policy, Clairvoyant(where.truth))
        assert max(most_held(run, region) for region in ZONES) == 1
        for number, job in enumerate(busy.jobs.jobs):
            assert done_h(run, number) == pytest.approx(job.workload.work_h, abs=1e-6)
    missed = {name: sum(result.is_missed for result in run.jobs) for name, run in runs.items()}
    assert missed["fleet"] <= missed["each alone"]
    grams = {name: sum(result.gco2 for result in run.jobs) for name, run in runs.items()}
    assert grams["fleet"] < grams["each alone"]
    again = simulate(where, busy.jobs, Continued(FleetReplan(slot_s=3600.0)), Clairvoyant(where.truth))
    assert dumps(again) == dumps(runs["fleet"])


def test_who_finds_no_node_waits(tools: SimpleNamespace) -> None:
    where = tools.world({"A": [100.0] * 200}, max_nodes=1)
    some = tools.jobs([(0, 3, 1)] * 3, ["A"], slack_h=60)
    for tick_s in (3600.0, None):
        run = simulate(where, some, RunNow(slot_s=3600.0), Clairvoyant(where.truth), Control(tick_s=tick_s))
        assert most_held(run, "A") == 1
        assert [result.delay_h for result in run.jobs] == [0.0, 3.0, 6.0]
        assert run.refused[Refusal.CAPACITY] > 0


def test_what_cannot_be_simulated_is_refused(tools: SimpleNamespace) -> None:
    where = tools.world({"A": [100.0] * 48})
    late = tools.jobs([(40, 3, 1)], ["A"], slack_h=10)
    with pytest.raises(OutsideDataError, match="lies after the end"):
        simulate(where, late, tools.exact, Clairvoyant(where.truth))
    with pytest.raises(UnknownRegionError):
        simulate(where, tools.jobs([(0, 3, 1)], ["B"], slack_h=10), tools.exact, Clairvoyant(where.truth))
    wide = tools.jobs([(0, 3, 5)], ["A"], slack_h=10, workers_per_cpu=1.0)
    with pytest.raises(NoCapacityError, match="can hold 5 workers"):
        simulate(tools.world({"A": [100.0] * 48}, max_nodes=2), wide, tools.exact, Clairvoyant(where.truth))
    with pytest.raises(ForecastError, match="nothing is past"):
        simulate(where, tools.jobs([(0, 3, 1)], ["A"], slack_h=10), tools.exact, IssuedForecasts(where.truth, Ewma()))
    with pytest.raises(UnknownZoneError):
        replace(where, truth={"B": tools.series("B", [1.0])})
    crowd = tools.jobs([(0, 20, 1)] * 4, ["A"], slack_h=20)
    with pytest.raises(OutsideDataError, match="give longer"):
        simulate(tools.world({"A": [100.0] * 48}, max_nodes=1), crowd, RunNow(), Clairvoyant(where.truth))
