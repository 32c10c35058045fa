"""Decisions for a fleet: who waits for whom and in which words, who is late, and what is remembered from tick to tick."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.decision import Change
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.member import Offer
from carbon_ray.policies.fleet.policy import Continued, FleetPolicy, FleetReplan, Independent
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FLEET = FleetReplan(slot_s=3600.0)


def around(*gco2: float, nodes: int = 1, start_at: datetime = T0) -> Surroundings:
    series = IntensitySeries(
        zone="z",
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=start_at,
        step_s=3600.0,
        values_gco2_per_kwh=np.array(gco2),
        provenance=Provenance(provider="test"),
    )
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.5, source="test")
    node_type = NodeType(name="n", resources={"GPU": 1.0}, max_nodes=nodes, usd_per_h=0.0, power=power)
    region = Region(name="r", zone="z", pue=1.0, node_types=(node_type,))
    snapshot = ForecastSnapshot(version=4, issued_at=start_at, forecasts={"z": Forecast.certain(series, start_at)})
    return Surroundings(regions={"r": region}, snapshot=snapshot)


def member(name: str, work_h: float, deadline_h: float, *, is_running: bool = False, priority: float = 1.0) -> Member:
    workload = Workload(
        workload_id=name,
        work_h=work_h,
        workers=1,
        resources_per_worker={"GPU": 1.0},
        home_region="r",
        regions=("r",),
        submitted_at=T0,
        deadline_at=T0 + deadline_h * HOUR,
        objective=Objective(usd_per_kgco2=1.0, usd_weight=0.0),
    )
    progress = Progress(remaining_h=work_h, region="r", is_running=is_running, is_started=is_running)
    return Member(workload=workload, progress=progress, priority=priority)


@pytest.mark.parametrize("policy", [FLEET, Continued(FLEET), Independent(policy=Replan(slot_s=3600.0))])
def test_every_policy_answers_nobody_and_one_alike(policy: FleetPolicy) -> None:
    assert isinstance(policy, FleetPolicy)
    place = around(300.0, 100.0, 200.0)
    assert policy.decide_all([], place, now=T0) == ()
    ((plan, decision),) = policy.decide_all([member("a", 1, 3)], place, now=T0)
    assert decision.change is Change.KEEP
    assert [(step.region, step.end_at - step.start_at) for step in plan.steps] == [(None, HOUR), ("r", HOUR)]


def test_the_cleanest_slot_goes_to_one_of_two_and_the_other_hears_that_it_is_scarce() -> None:
    place = around(100.0, 300.0, 200.0)
    answers = FLEET.decide_all([member("a", 1, 3), member("b", 1, 3)], place, now=T0)
    runs = [decision for _, decision in answers if decision.target is not None]
    waits = [(plan, decision) for plan, decision in answers if decision.target is None]
    assert len(runs) == len(waits) == 1
    assert waits[0][0].expected.finish_at == T0 + 3 * HOUR
    assert "nodes in r are scarce: one is worth" in waits[0][1].reason
    assert not waits[0][1].is_forced


def test_independent_workloads_know_of_no_capacity() -> None:
    answers = Independent(policy=Replan(slot_s=3600.0)).decide_all(
        [member("a", 1, 3), member("b", 1, 3)], around(100.0, 300.0, 200.0), now=T0
    )
    assert all(decision.target is not None for _, decision in answers)


def test_who_cannot_be_in_time_does_what_the_others_leave() -> None:
    place = around(100.0, 300.0, 200.0)
    first, second = FLEET.decide_all([member("a", 2, 3), member("b", 2, 3, priority=2.0)], place, now=T0)
    assert second[0].expected.finish_at == T0 + 3 * HOUR
    assert not second[1].is_forced
    assert first[1].is_forced
    assert first[1].target is None
    assert first[1].reason.startswith("wait: others hold the nodes now")
    assert [step.region for step in first[0].steps] == [None, "r"]  # the hour that is left


def test_who_would_be_late_alone_runs_through_if_it_can() -> None:
    place = around(100.0, 300.0, 200.0, nodes=2)
    late, other = FLEET.decide_all([member("a", 5, 3), member("b", 1, 3)], place, now=T0)
    assert late[1].is_forced
    assert late[0].steps[0].region == "r"
    assert late[1].reason == "run in r without a pause: the deadline 03-01 03:00Z leaves no room for waiting"
    assert other[1].target is not None


def test_a_running_workload_is_left_alone_for_a_small_gain() -> None:
    place = around(101.0, 100.0, 300.0)
    members = [member("a", 1, 3, is_running=True), member("b", 1, 3)]
    kept = FLEET.decide_all(members, place, now=T0)
    assert kept[0][1].change is Change.KEEP
    assert kept[1][0].expected.finish_at == T0 + 2 * HOUR
    free = replace(FLEET, hysteresis_fraction=0.0).decide_all(members[:1], place, now=T0)
    assert free[0][1].change is Change.SUSPEND


def test_an_offer_takes_the_place_of_the_greatest_number() -> None:
    offer = Offer(start_at=T0, step_s=3600.0, nodes={"n": np.array([0.0, 1.0, 1.0])})
    ((plan, decision),) = replace(FLEET, offer=offer).decide_all([member("a", 1, 3)], around(100.0, 300.0, 200.0, nodes=9), now=T0)
    assert plan.expected.finish_at == T0 + 3 * HOUR
    assert decision.target is None


def test_from_tick_to_tick_plans_stand_and_prices_are_kept() -> None:
    policy = Continued(FLEET)
    gco2 = (100.0, 300.0, 200.0, 250.0, 150.0, 400.0)
    members = [member(name, 1, 6) for name in "abcd"]
    policy.decide_all(members, around(*gco2), now=T0)
    first = policy.last
    assert first is not None
    assert first.is_coupled
    ran = next(index for index, one in enumerate(first.solutions) if one.path[0] == 0)
    rest = [one for index, one in enumerate(members) if index != ran]
    policy.decide_all(rest, around(*gco2[1:], start_at=T0 + HOUR), now=T0 + HOUR)
    second = policy.last
    assert second is not None
    assert second.total_usd == pytest.approx((200.0 + 250.0 + 150.0) / 1000 * 0.95, rel=1e-6)  # 0.9 of full load: 0.95 of its power
    assert second.gap_fraction < 1e-2
