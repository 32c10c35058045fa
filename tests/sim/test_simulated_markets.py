"""Node pools in a simulation: reserved first, spot where the slack allows it, losses by the node type's rate, money by market."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from carbon_ray.core.codec import dumps
from carbon_ray.core.ledger import Outcome
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Market
from carbon_ray.core.workload import Overheads
from carbon_ray.policies.capacity import SpotRule
from carbon_ray.policies.replan import Replan
from carbon_ray.policies.run_now import RunNow
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant
from carbon_ray.sim.jobs import JobSet
from carbon_ray.sim.results import Run
from carbon_ray.sim.summary import summarise
from carbon_ray.sim.world import Control, Mishaps, Physics, World

OVERHEADS = Overheads(checkpoint_h=0.05, restore_h=0.1, startup_s=300.0, checkpoint_every_s=1800.0)
CHECKPOINTS = Physics(checkpoint_every_s=1800.0)
RATE_PER_H = 0.15


def offering(tools: SimpleNamespace, *, spot: int = 0, reserved: int = 0, mishaps: Mishaps | None = None, on_demand: int = 10**6) -> World:
    """Two regions at 3 USD/h on demand; spot at 1, reserved booked at 2."""
    where = tools.world(
        tools.weather(3, ["A", "B"], 24 * 30), max_nodes=on_demand, usd_per_h=3.0, idle_fraction=0.2, physics=CHECKPOINTS, mishaps=mishaps
    )
    regions = {}
    for name, one in where.regions.items():
        (sure,) = one.node_types
        more = []
        if spot:
            kind = replace(sure, name=f"{name}-spot", market=Market.SPOT, usd_per_h=1.0, interruptions_per_h=RATE_PER_H, max_nodes=spot)
            more.append(kind)
        if reserved:
            more.append(replace(sure, name=f"{name}-reserved", market=Market.RESERVED, usd_per_h=2.0, max_nodes=reserved))
        regions[name] = replace(one, node_types=(sure, *more))
    return replace(where, regions=regions)


def crowd(tools: SimpleNamespace, *, slack_h: float, count: int = 30) -> JobSet:
    rows = [(hour * 7.5, 4.0 + hour % 5, 1) for hour in range(count)]
    objective = Objective(usd_per_kgco2=0.2, usd_weight=1.0)
    return tools.jobs(rows, ["A", "B"], slack_h=slack_h, objective=objective, overheads=OVERHEADS)


def play(where: World, jobs: JobSet, policy: object | None = None, **control: object) -> Run:
    return simulate(where, jobs, policy or Replan(slot_s=1800.0), Clairvoyant(where.truth), Control(tick_s=1800.0, **control))  # type: ignore[arg-type]


def test_spot_saves_money_and_no_deadline_is_missed(tools: SimpleNamespace) -> None:
    jobs = crowd(tools, slack_h=12.0)
    dear, cheap = play(offering(tools), jobs), play(offering(tools, spot=100), jobs)
    assert sum(one.losses for one in cheap.jobs) > 10, "spot nodes are taken back"
    assert [one.workload_id for one in cheap.jobs if one.is_missed] == []
    usd = [sum(one.usd for one in run.jobs) for run in (dear, cheap)]
    assert usd[1] < 0.7 * usd[0]
    totals = cheap.by_market()
    assert totals[Market.SPOT].node_h > 0.7 * sum(one.node_h for one in totals.values())
    assert sum(one.usd for one in totals.values()) == pytest.approx(usd[1])
    assert totals[Market.SPOT].usd == pytest.approx(totals[Market.SPOT].node_h * 1.0)
    assert sum(one.losses for one in totals.values()) == sum(one.losses for one in cheap.jobs)
    assert dumps(cheap) == dumps(play(offering(tools, spot=100), jobs)), "same seed, same bytes"
    assert summarise([dear, cheap]).by_market[Market.ON_DEMAND].usd == pytest.approx(
        usd[0] + cheap.by_market().get(Market.ON_DEMAND, type(totals[Market.SPOT])()).usd
    )


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_luck_with_spot_no_deadline_is_missed(tools: SimpleNamespace, seed: int) -> None:
    """Little slack, many losses: once a loss has used it up, the work goes on where nobody takes nodes back."""
    where = offering(tools, spot=100, mishaps=Mishaps(seed=seed, spot_stockouts_per_day=0.5))
    run = play(where, crowd(tools, slack_h=2.5))
    assert [one.workload_id for one in run.jobs if one.is_missed] == []
    turned = {stretch.job for stretch in run.stretches if stretch.market is Market.ON_DEMAND} & {
        stretch.job for stretch in run.stretches if stretch.market is Market.SPOT and stretch.outcome is Outcome.LOST
    }
    assert turned, "somebody turned from spot to sure nodes"


@pytest.mark.parametrize(("slack_h", "is_refused"), [(0.5, True), (12.0, False)])
def test_with_a_tight_deadline_spot_is_refused(tools: SimpleNamespace, slack_h: float, is_refused: bool) -> None:
    run = play(offering(tools, spot=100), crowd(tools, slack_h=slack_h), RunNow(slot_s=1800.0))
    assert (Market.SPOT not in run.by_market()) == is_refused
    assert not any(one.is_missed for one in run.jobs)


def test_without_the_rule_deadlines_would_be_missed(tools: SimpleNamespace) -> None:
    """The same tight jobs on spot alone: what the rule is for."""
    where = offering(tools, spot=100)
    only_spot = replace(
        where, regions={name: replace(one, node_types=(replace(one.node_types[1], name=name),)) for name, one in where.regions.items()}
    )
    run = play(only_spot, crowd(tools, slack_h=0.5), RunNow(slot_s=1800.0))
    assert sum(one.is_missed for one in run.jobs) > 5


def test_more_confidence_is_less_spot(tools: SimpleNamespace) -> None:
    hours = []
    for confidence in (0.5, 0.95, 0.9999):
        run = play(
            offering(tools, spot=100), crowd(tools, slack_h=2.5), RunNow(slot_s=1800.0), spot=SpotRule(confidence_fraction=confidence)
        )
        hours.append(run.by_market()[Market.SPOT].node_h if Market.SPOT in run.by_market() else 0.0)
    assert hours[0] > hours[1] > hours[2]


def test_reserved_nodes_are_used_first(tools: SimpleNamespace) -> None:
    where = offering(tools, spot=100, reserved=1)
    run = play(where, crowd(tools, slack_h=12.0))
    reserved = [one for one in run.stretches if one.market is Market.RESERVED]
    assert len(reserved) > 5
    for one in run.stretches:  # nobody took other nodes while the reserved one of its region was free
        if one.market is not Market.RESERVED:
            assert any(other.region == one.region and other.start_s - 3600 <= one.start_s <= other.end_s + 1e-6 for other in reserved), (
                "taken at a decision, up to an hour before it starts"
            )
    marks = sorted((mark, sign) for one in reserved if one.region == "A" for mark, sign in ((one.start_s, 1), (one.end_s, -1)))
    held = 0
    for _, sign in marks:
        held += sign
        assert held <= 1


def test_a_shortage_of_spot_nodes_turns_jobs_to_sure_ones(tools: SimpleNamespace) -> None:
    short = Mishaps(spot_stockouts_per_day=1.0, stockout_mean_h=20.0, seed=2)
    free, scarce = (play(offering(tools, spot=100, mishaps=one), crowd(tools, slack_h=12.0)).by_market() for one in (Mishaps(), short))
    assert scarce[Market.SPOT].node_h < 0.6 * free[Market.SPOT].node_h
    assert scarce[Market.ON_DEMAND].node_h > 2 * free[Market.ON_DEMAND].node_h


def test_spot_fills_in_where_sure_nodes_are_taken(tools: SimpleNamespace) -> None:
    where = offering(tools, spot=100, on_demand=1)
    run = play(where, crowd(tools, slack_h=0.5, count=6), RunNow(slot_s=1800.0))
    assert Market.ON_DEMAND in run.by_market()
    everyone_at_once = tools.jobs([(0.0, 4.0, 1)] * 6, ["A"], slack_h=0.5, overheads=OVERHEADS)
    together = play(where, everyone_at_once, RunNow(slot_s=1800.0))
    first = [one for one in together.stretches if one.index == 0]
    assert sorted(one.market for one in first) == [Market.ON_DEMAND, *[Market.SPOT] * 5]


def test_the_bound_knows_no_interruptions(tools: SimpleNamespace) -> None:
    jobs = crowd(tools, slack_h=12.0, count=6)
    bounds = [clairvoyant_bound(where, jobs, slot_s=1800.0) for where in (offering(tools), offering(tools, spot=100))]
    assert [one.gco2 for one in bounds[1].jobs] == pytest.approx([one.gco2 for one in bounds[0].jobs])
    assert all(one.losses == 0 for one in bounds[1].jobs)
