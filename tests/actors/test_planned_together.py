"""A policy for many on a cluster: the controller asks it for all workloads at once, and for single ones where it must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.books.records import WorkloadStatus
from carbon_ray.core.errors import ForecastHorizonError
from carbon_ray.core.ledger import Outcome
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.policy import Answers, FleetReplan
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 5, 2, tzinfo=UTC)
DEADLINE_AT = T0 + timedelta(hours=5)
"""Of who is bound to west, for four hours of work: before the other could leave."""
WEST_IS_CLEAN = {"west": [100.0] * 30, "east": [300.0] * 30, "south": [500.0] * 30}


@dataclass
class Watched:
    """`FleetReplan`, and for whom it was asked at once; fails where it is told to."""

    policy: FleetReplan = field(default_factory=lambda: FleetReplan(slot_s=900.0))
    together: list[tuple[str, ...]] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    fails: bool = False

    def decide(self, workload: Any, progress: Any, around: Surroundings, *, now: datetime) -> Any:
        self.alone.append(workload.workload_id)
        return self.policy.decide(workload, progress, around, now=now)

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> Answers:
        self.together.append(tuple(member.workload.workload_id for member in members))
        if self.fails:
            raise ForecastHorizonError("no forecast for one of them")
        return self.policy.decide_all(members, around, now=now)


def two(make_workload: Any) -> tuple[Any, Any]:
    """One that can go anywhere, and one that must stay west and has no hour to lose."""
    anywhere = make_workload(workload_id="anywhere", work_h=4.0, total_steps=400, deadline_at=T0 + timedelta(hours=7))
    bound = make_workload(workload_id="bound", work_h=4.0, total_steps=400, regions=("west",), home_region="west", deadline_at=DEADLINE_AT)
    return anywhere, bound


def is_over(world: Any) -> bool:
    return all(record.status is WorkloadStatus.COMPLETED for record in world.ledger.workloads())


@pytest.mark.parametrize(("policy", "in_time"), [(FleetReplan(slot_s=900.0), True), (Replan(slot_s=900.0), False)])
def test_who_can_go_elsewhere_leaves_the_only_node_to_who_cannot(
    make_world: Any, make_workload: Any, make_config: Any, policy: Any, in_time: bool
) -> None:
    world = make_world(WEST_IS_CLEAN, config=make_config(max_nodes=1), policy=policy, total_steps=400)
    for workload in two(make_workload):
        world.submit(workload)
    world.round()
    assert (world.target("anywhere"), world.target("bound")) == (("east", "west") if in_time else ("west", "west"))
    world.run_until(lambda: is_over(world))
    ends = {name: world.ledger.segments(name)[-1].end_at for name in ("anywhere", "bound")}
    assert (ends["bound"] <= DEADLINE_AT) is in_time
    assert ends["anywhere"] <= T0 + timedelta(hours=7)


def test_it_is_asked_for_all_at_once_and_once_a_round(make_world: Any, make_workload: Any, make_config: Any) -> None:
    policy = Watched()
    world = make_world(WEST_IS_CLEAN, config=make_config(max_nodes=1), policy=policy, total_steps=400)
    anywhere, bound = two(make_workload)
    world.submit(anywhere)
    world.round()
    assert (policy.together, policy.alone) == ([], ["anywhere"])
    world.submit(bound)
    world.round()
    assert policy.together == [("anywhere", "bound")]
    assert policy.alone == ["anywhere"]


def test_where_they_cannot_be_planned_together_each_is_by_itself(make_world: Any, make_workload: Any, make_config: Any) -> None:
    policy = Watched(fails=True)
    world = make_world(WEST_IS_CLEAN, config=make_config(max_nodes=1), policy=policy, total_steps=400)
    for workload in two(make_workload):
        world.submit(workload)
    world.round()
    assert policy.alone == ["anywhere", "bound"]
    world.run_until(lambda: is_over(world))
    assert [segment.outcome for segment in world.ledger.segments("anywhere")][-1] is Outcome.COMPLETED
