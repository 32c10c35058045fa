"""The nodes: comings and goings on the roster, published plans, drains; and the fake cluster that the tests rest on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.actors.full_regions import NOTE, FullRegions
from carbon_ray.actors.ports import ClusterPort, ForecastPort
from carbon_ray.actors.roster import Roster
from carbon_ray.books.records import NodeEventKind, WorkloadStatus
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.errors import ClusterError, OutsideDataError, StaleForecastError, UnknownZoneError
from carbon_ray.testing import FakeCluster, FakeForecasts

T0 = datetime(2022, 5, 2, tzinfo=UTC)
FLAT = {"west": [300.0] * 24, "east": [400.0] * 24, "south": [500.0] * 24}


def plan_of(**limits: tuple[int, int]) -> CapacityPlan:
    return CapacityPlan(
        version=1,
        issued_at=T0,
        valid_until=T0 + timedelta(seconds=30),
        types={f"gpu-{name}": TypePlan(min_nodes=least, max_nodes=most, reason="test") for name, (least, most) in limits.items()},
    )


@pytest.fixture
def cluster(make_config: Callable[..., Any]) -> FakeCluster:
    return FakeCluster(make_config().regions, launch_rounds=2, leave_rounds=2)


# The fakes


def test_the_fakes_are_what_the_controller_asks_for(make_world: Any) -> None:
    world = make_world(FLAT)
    cluster: ClusterPort = world.cluster
    forecasts: ForecastPort = world.forecasts
    assert [node.region for node in cluster.nodes()] == ["control"]
    assert set(forecasts.snapshot().forecasts) == {"WEST", "EAST", "SOUTH"}


def test_fake_nodes_come_and_go_as_planned(cluster: FakeCluster) -> None:
    cluster.publish(plan_of(west=(1, 2)))
    cluster.advance()
    cluster.advance()
    assert cluster.alive("gpu-west") == ()
    cluster.advance()
    (node_id,) = cluster.alive("gpu-west")
    assert cluster.why_added("gpu-west") == "launched: test"
    cluster.busy.add(node_id)
    assert not cluster.drain_idle(node_id, "idle")
    cluster.busy.clear()
    cluster.publish(plan_of(west=(0, 2)))
    assert cluster.drain_idle(node_id, "idle")
    assert [node.draining for node in cluster.nodes() if node.node_id == node_id] == [True]
    cluster.advance()
    assert cluster.alive("gpu-west") == (node_id,)
    cluster.advance()
    assert cluster.alive("gpu-west") == ()
    assert cluster.why_removed(node_id) == "drained: idle"
    assert [node.is_alive for node in cluster.nodes() if node.node_id == node_id] == [False], "dead nodes are remembered"
    assert (cluster.drained, cluster.refused) == ([(node_id, "idle")], [node_id])


def test_a_full_fake_region_gives_nodes_once_it_is_no_longer_full(cluster: FakeCluster) -> None:
    cluster.full = {"west"}
    cluster.publish(plan_of(west=(1, 2), east=(1, 2)))
    for _ in range(5):
        cluster.advance()
    assert (len(cluster.alive("gpu-west")), len(cluster.alive("gpu-east"))) == (0, 1)
    cluster.full = set()
    for _ in range(2):
        cluster.advance()
    assert len(cluster.alive("gpu-west")) == 1


def test_a_maximum_below_the_nodes_ends_idle_ones_first_and_then_busy_ones(cluster: FakeCluster) -> None:
    busy, idle = cluster.add("gpu-west"), cluster.add("gpu-west")
    cluster.busy.add(busy)
    cluster.publish(plan_of(west=(0, 1)))
    cluster.advance()
    assert cluster.alive("gpu-west") == (busy,)
    assert cluster.why_removed(idle) == "above the maximum of its type"
    assert cluster.killed == []
    cluster.publish(plan_of(west=(0, 0)))
    cluster.advance()
    assert cluster.killed == [busy]


def test_a_cluster_that_is_away_answers_nothing(cluster: FakeCluster) -> None:
    cluster.is_away = True
    for call in (cluster.nodes, lambda: cluster.publish(plan_of()), lambda: cluster.drain_idle("x", "")):
        with pytest.raises(ClusterError, match="is_away=False"):
            call()


def test_fake_forecasts_know_what_came_true_and_no_more(make_world: Any) -> None:
    world = make_world(FLAT)
    forecasts: FakeForecasts = world.forecasts
    with pytest.raises(OutsideDataError):
        forecasts.actual("WEST", T0, T0 + timedelta(hours=1))
    with pytest.raises(UnknownZoneError):
        forecasts.actual("NORTH", T0, T0 + timedelta(hours=1))
    first = forecasts.snapshot()
    assert forecasts.snapshot() is first, "nothing new has come true"
    world.clock.advance(timedelta(minutes=90))
    assert forecasts.actual("WEST", T0, T0 + timedelta(hours=1)).at(T0) == 300.0
    assert forecasts.snapshot().version == first.version + 1
    forecasts.is_frozen = True
    world.clock.advance(timedelta(hours=2))
    with pytest.raises(StaleForecastError):
        forecasts.snapshot().require_fresh(world.clock.now(), 3600.0)


# The roster


def test_the_roster_records_who_came_and_went_and_forgets_nothing_over_a_restart(make_world: Any) -> None:
    world = make_world(FLAT)
    cluster, ledger = world.cluster, world.ledger
    cluster.add("gpu-west")
    lost = cluster.add("gpu-east")
    Roster(ledger, cluster).observe(now=T0, wall_at=T0)
    again = Roster(ledger, cluster)
    again.observe(now=T0 + timedelta(hours=1), wall_at=T0)
    assert [(event.node_id, event.at) for event in ledger.node_events()] == [("gpu-east-0", T0), ("gpu-west-0", T0)]
    cluster.lose(lost, "hardware")
    later = Roster(ledger, cluster)
    later.observe(now=T0 + timedelta(hours=2), wall_at=T0)
    events = ledger.node_events()
    assert len(events) == 3
    assert (events[-1].node_id, events[-1].kind, events[-1].reason) == (lost, NodeEventKind.REMOVED, "hardware")
    assert all(event.node_id != "head" for event in events)


def test_a_node_is_idle_since_it_was_seen_idle_without_a_break(make_world: Any) -> None:
    world = make_world(FLAT)
    node_id, roster = world.cluster.add("gpu-west"), Roster(world.ledger, world.cluster)

    def look(minute: int) -> datetime | None:
        roster.observe(now=T0, wall_at=T0 + timedelta(minutes=minute))
        return roster.idle_since_at.get(node_id)

    assert [look(0), look(1)] == [T0, T0]
    world.cluster.busy.add(node_id)
    assert look(2) is None
    world.cluster.busy.clear()
    assert [look(3), look(4)] == [T0 + timedelta(minutes=3)] * 2
    world.cluster.lose(node_id)
    assert look(5) is None


# Plans and drains


def test_an_idle_node_that_nobody_planned_for_goes_after_its_grace(make_world: Any) -> None:
    world = make_world(FLAT)
    world.cluster.add("gpu-west")
    world.cluster.add("gpu-east")
    world.controller.step()
    assert world.cluster.drained == []
    world.wall.advance(timedelta(seconds=1))
    world.controller.step()
    assert world.cluster.drained == [], "they have only just come"
    world.clock.advance(timedelta(minutes=5))
    world.controller.step()
    assert len(world.cluster.drained) == 1
    world.wall.advance(timedelta(seconds=1))
    world.controller.step()
    assert len(world.cluster.drained) == 1, "while one node leaves, no other is asked to"
    world.cluster.advance()
    world.controller.step()
    assert len(world.cluster.drained) == 2


def test_a_drain_is_refused_when_the_node_is_busy_again(make_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(FLAT)
    node_id = world.cluster.add("gpu-west")
    world.controller.step()
    world.wall.advance(timedelta(seconds=5))
    world.clock.advance(timedelta(minutes=5))
    publish = world.cluster.publish

    def publish_and_get_busy(plan: CapacityPlan) -> None:
        publish(plan)
        world.cluster.busy.add(node_id)

    monkeypatch.setattr(world.cluster, "publish", publish_and_get_busy)
    world.controller.step()
    assert (world.cluster.drained, world.cluster.refused) == ([], [node_id])
    world.cluster.advance()
    world.controller.step()
    assert world.cluster.alive("gpu-west") == (node_id,)
    assert world.cluster.refused == [node_id], "a busy node is not asked again"


def test_a_version_stands_for_one_content_also_over_a_restart(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.submit(make_workload())
    for _ in range(8):
        world.round()
        world.restart()
    contents: dict[int, set[str]] = {}
    for plan in world.cluster.plans:
        contents.setdefault(plan.version, set()).add(str(plan.types))
    assert all(len(one) == 1 for one in contents.values())
    versions = [plan.version for plan in world.cluster.plans]
    assert versions == sorted(versions)
    assert len(contents) < len(versions)
    newest = world.ledger.newest_plan()
    assert newest is not None
    assert (newest.version, newest.types) == (versions[-1], world.cluster.plans[-1].types)
    assert all(plan.valid_until > plan.issued_at for plan in world.cluster.plans)


def test_minimum_follows_the_directives_and_priority_the_intensity(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.submit(make_workload())
    world.round()
    types = world.cluster.plans[-1].types
    assert {name: one.min_nodes for name, one in types.items()} == {"gpu-west": 1, "gpu-east": 0, "gpu-south": 0}
    assert types["gpu-west"].reason.startswith("run: start in west")
    assert types["gpu-west"].priority > types["gpu-east"].priority > types["gpu-south"].priority
    world.controller.finish("run", WorkloadStatus.CANCELLED)
    world.drivers[0].die()
    world.round()
    assert {one.min_nodes for one in world.cluster.plans[-1].types.values()} == {0}


def test_a_region_that_left_the_configuration_harms_nobody_else(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(FLAT)
    first = world.submit(make_workload("a"))
    world.run_until(lambda: first.step > 0)
    first.die()
    regions = {name: region for name, region in world.config.regions.items() if name != "west"}
    world.config = type(world.config)(name="test", carbon=world.config.carbon, regions=regions)
    world.restart()
    second = world.submit(make_workload("b", home_region="east", regions=("east", "south")))
    world.run_until(lambda: second.is_done)
    world.run_until(lambda: world.controller.is_settled("b"), at_most=10)


# Full regions


def test_full_regions_are_remembered_and_reopened(make_world: Any) -> None:
    world = make_world(FLAT)
    full = FullRegions(world.ledger, block_s=3600.0)
    full.leave_out("west", "no node", T0)
    remembered = FullRegions(world.ledger, block_s=3600.0)
    assert "west" in remembered
    assert (remembered.until_at, remembered.reasons) == ({"west": T0 + timedelta(hours=1)}, {"west": "no node"})
    remembered.reopen(T0 + timedelta(minutes=59))
    assert "west" in remembered
    remembered.reopen(T0 + timedelta(hours=1))
    assert "west" not in remembered
    assert FullRegions(world.ledger, block_s=3600.0).until_at == {}


def test_a_spoilt_note_of_full_regions_is_no_obstacle(make_world: Any) -> None:
    world = make_world(FLAT)
    world.ledger.put_meta(NOTE, '{"regions": 5}')
    assert FullRegions(world.ledger, block_s=3600.0).until_at == {}
