"""Nodes on several terms under the controller: who gets spot, what is booked, who stands in, and nodes that come before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.actors.capacity_steering import FULL_TYPES_NOTE
from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.ledger import Outcome
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Market
from carbon_ray.core.workload import Overheads
from carbon_ray.policies.capacity import PendingRequest

T0 = datetime(2022, 5, 2, tzinfo=UTC)
FLAT = {"west": [300.0] * 24, "east": [400.0] * 24, "south": [500.0] * 24}
CHECKPOINTS = Overheads(checkpoint_h=0.02, restore_h=0.02, migrate_h=0.02, startup_s=300.0, checkpoint_every_s=900.0)


def with_spot(config: ClusterConfig) -> ClusterConfig:
    """West also offers spot nodes, at a quarter of the price."""
    west = config.regions["west"]
    (sure,) = west.node_types
    spot = replace(sure, name="spot-west", market=Market.SPOT, usd_per_h=0.5, interruptions_per_h=0.02)
    return replace(config, regions={**config.regions, "west": replace(west, node_types=(sure, spot))})


def with_startup(config: ClusterConfig, startup_s: float) -> ClusterConfig:
    return replace(
        config,
        regions={
            name: replace(region, node_types=tuple(replace(one, startup_s=startup_s) for one in region.node_types))
            for name, region in config.regions.items()
        },
    )


@pytest.fixture
def cheap_world(make_world: Any, make_config: Callable[..., ClusterConfig]) -> Any:
    return make_world(FLAT, config=with_spot(make_config()))


def least(world: Any) -> dict[str, int]:
    return {name: one.min_nodes for name, one in world.cluster.plans[-1].types.items() if one.min_nodes}


@pytest.mark.parametrize(("deadline_h", "node_type", "usd_per_h"), [(20.0, "spot-west", 0.5), (7.4, "gpu-west", 2.0)])
def test_spot_is_for_those_who_can_wait_and_is_booked_as_such(
    cheap_world: Any, make_workload: Any, deadline_h: float, node_type: str, usd_per_h: float
) -> None:
    world = cheap_world
    driver = world.submit(make_workload(overheads=CHECKPOINTS, deadline_at=T0 + timedelta(hours=deadline_h)))
    world.round()
    assert least(world) == {node_type: 1}
    world.run_until(lambda: driver.is_done)
    world.run_until(lambda: world.controller.is_settled("run"), at_most=10)
    books = world.controller.books("run")
    assert {one.node_type for one in books.segments} == {node_type}
    assert books.totals.usd == pytest.approx(books.totals.held_h * usd_per_h)


def test_what_a_workload_was_given_it_keeps_also_over_a_restart(cheap_world: Any, make_workload: Any) -> None:
    """Its slack shrinks and its remaining work too: nobody moves it from spot to sure nodes and back."""
    world = cheap_world
    driver = world.submit(make_workload(overheads=CHECKPOINTS))
    seen = set()
    for number in range(24):
        world.round()
        if number % 5 == 4:
            world.restart()
        seen |= set(least(world))
    assert driver.step > 0
    assert seen == {"spot-west"}


def test_sure_nodes_stand_in_where_spot_is_out_of_stock(cheap_world: Any, make_workload: Any) -> None:
    world = cheap_world
    world.cluster.full = {"spot-west"}
    driver = world.submit(make_workload(overheads=CHECKPOINTS))
    world.run_until(lambda: driver.step > 0, at_most=15)
    assert world.target() == "west", "its region is not left"
    segments = world.controller.segments("run")
    assert [(one.node_type, one.outcome) for one in segments] == [("spot-west", Outcome.SUSPENDED), ("gpu-west", None)]
    assert segments[0].running_at is None
    plan = world.cluster.plans[-1]
    assert (plan.types["spot-west"].max_nodes, least(world)) == (0, {"gpu-west": 1})
    assert "did not come within 30 s" in plan.types["spot-west"].reason
    noted = FullRegions(world.ledger, 7200.0, note=FULL_TYPES_NOTE)
    assert set(noted.until_at) == {"spot-west"}
    assert not FullRegions(world.ledger, 7200.0).until_at, "the region as a whole is open"
    second = world.submit(make_workload("later", overheads=CHECKPOINTS))
    world.round()
    assert least(world) == {"gpu-west": 2}, "others are not sent there either"
    world.run_until(lambda: driver.is_done and second.is_done)


def test_where_no_type_comes_the_region_is_left(cheap_world: Any, make_workload: Any) -> None:
    world = cheap_world
    world.cluster.full = {"west"}
    driver = world.submit(make_workload(overheads=CHECKPOINTS))
    world.round()
    world.run_until(lambda: world.target() != "west", at_most=20)
    assert [(one.node_type, one.running_at) for one in world.controller.segments("run")] == [("spot-west", None), ("gpu-west", None)]
    assert set(FullRegions(world.ledger, 7200.0).until_at) == {"west"}
    world.cluster.full = set()
    world.run_until(lambda: driver.is_done)


# Before they are needed

LATER = {"west": [900.0] * 4 + [100.0] * 20, "east": [950.0] * 24, "south": [950.0] * 24}


@pytest.mark.parametrize(("startup_s", "is_early"), [(0.0, False), (1800.0, True)])
def test_nodes_are_asked_for_before_the_plan_has_them_run(
    make_world: Any, make_workload: Any, make_config: Any, startup_s: float, is_early: bool
) -> None:
    world = make_world(LATER, config=with_startup(make_config(), startup_s))
    world.submit(make_workload())
    asked_at = told_at = None
    while told_at is None:
        world.round()
        asked_at = asked_at or (world.clock.now() if least(world) else None)
        told_at = world.clock.now() if world.target() else None
        assert world.clock.now() < T0 + timedelta(hours=12)
    assert asked_at is not None
    assert (asked_at < told_at) == is_early
    assert told_at - asked_at <= timedelta(seconds=startup_s)
    if is_early:
        warm = next(plan for plan in world.cluster.plans if plan.types["gpu-west"].min_nodes)
        assert warm.types["gpu-west"].reason.endswith("; a node takes 1800 s to start")


def test_a_start_shorter_than_a_slot_is_foreseen_too(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(LATER, config=with_startup(make_config(), 300.0))
    driver = world.submit(make_workload())
    asked_at = None
    while world.target() is None:
        world.clock.advance(timedelta(minutes=1))
        world.wall.advance(timedelta(seconds=1))
        world.controller.step()
        driver.tick()
        asked_at = asked_at or (world.clock.now() if least(world) else None)
    assert asked_at is not None
    assert timedelta(minutes=4) <= world.clock.now() - asked_at <= timedelta(minutes=5)
    told = [plan.version for plan in world.cluster.plans]
    assert told[-1] <= 12, "content does not change with every round"


# What goes


def test_a_node_that_got_busy_since_the_look_is_not_drained(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(FLAT)
    node_id = world.cluster.add("gpu-west")
    world.controller.step()
    world.wall.advance(timedelta(seconds=5))
    world.clock.advance(timedelta(minutes=5))
    looks, nodes = [], world.cluster.nodes

    def look() -> Any:
        looks.append(nodes())
        if len(looks) == 2:  # the first look is the roster's
            world.cluster.busy.add(node_id)
            return nodes()
        return looks[-1]

    monkeypatch.setattr(world.cluster, "nodes", look)
    world.controller.step()
    assert len(looks) == 2
    assert (world.cluster.drained, world.cluster.refused) == ([], []), "it was not even asked"
    assert world.cluster.plans[-1].types["gpu-west"].drain == ()


def test_idle_nodes_are_kept_for_a_gang_that_waits_for_the_rest(make_world: Any) -> None:
    world = make_world(FLAT)
    world.cluster.add("gpu-west")
    world.cluster.waiting = (PendingRequest(resources={"GPU": 2.0}, count=2),)
    for _ in range(3):
        world.round()
    assert world.cluster.drained == []
    assert least(world) == {"gpu-west": 1}
    world.cluster.waiting = ()
    world.round()
    assert len(world.cluster.drained) == 1


SWAP = {"west": [100.0] * 3 + [900.0] * 21, "east": [900.0] * 3 + [100.0] * 21, "south": [900.0] * 24}


@pytest.mark.parametrize(("protected", "regions"), [(False, 2), (True, 1)])
def test_in_quiet_hours_running_work_is_left_alone(
    make_world: Any, make_workload: Any, make_config: Any, protected: bool, regions: int
) -> None:
    quiet = [{"start_h": 0, "end_h": 24}] if protected else []
    world = make_world(SWAP, config=make_config(capacity={"quiet": quiet}))
    driver = world.submit(make_workload(objective=Objective(usd_per_kgco2=1.0, usd_weight=0.0, usd_per_h_delay=0.05)))
    world.run_until(lambda: driver.is_done)
    segments = world.controller.segments("run")
    assert segments[0].region == "west"
    assert len({one.region for one in segments}) == regions
    assert world.status() is WorkloadStatus.COMPLETED


def test_a_deadline_is_met_in_quiet_hours_too(make_world: Any, make_workload: Any, make_config: Any) -> None:
    """West gives no more nodes after a loss; what is forced is not held back."""
    world = make_world(FLAT, config=make_config(capacity={"quiet": [{"start_h": 0, "end_h": 24}]}))
    driver = world.submit(make_workload(deadline_at=T0 + timedelta(hours=9.5)))
    world.cluster.full = {"west"}
    world.run_until(lambda: driver.is_done)
    assert {one.region for one in world.controller.segments("run") if one.running_at is not None} == {"east"}
    record = world.ledger.workload("run")
    assert record is not None
    assert record.status_at <= T0 + timedelta(hours=9.5)
