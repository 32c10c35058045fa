"""Rules of the controller: what it refuses, how it degrades, one disruption a round, orphans."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.actors.workload_state import ORPHANED
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.core.decision import Change
from carbon_ray.core.errors import (
    DeadlinePassed,
    DeadlineTooShort,
    ForecastError,
    NoCapacityError,
    UnknownRegionError,
    WorkloadRejected,
)
from carbon_ray.core.ledger import Outcome

T0 = datetime(2022, 5, 2, tzinfo=UTC)
FLAT = {"west": [300.0] * 24, "east": [400.0] * 24, "south": [500.0] * 24}
"""West is the best at any time, and there is nothing to wait for."""
EAST_SOON = {"west": [400.0] * 24, "east": [500.0] * 3 + [50.0] * 21, "south": [500.0] * 24}


NO_TIME_TO_WAIT_AT = T0 + timedelta(hours=10)
"""A deadline that leaves no time to wait for a region that is left out for two hours."""


def in_order(world: Any, *regions: str | None) -> bool:
    return [segment.region for segment in world.ledger.segments("run")] == list(regions)


# Submitting


def test_a_workload_that_is_submitted_twice_is_one(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    first = world.controller.submit(make_workload())
    world.round()
    again = world.controller.submit(make_workload(work_h=1.0, deadline_at=T0 + timedelta(hours=9)))
    assert again == first, "it goes on as it was first submitted"
    world.restart()
    assert world.controller.submit(make_workload()) == first
    assert [record.workload for record in world.ledger.workloads()] == [first]


def test_an_ended_workload_is_not_taken_again(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.submit(make_workload())
    world.controller.finish("run", WorkloadStatus.COMPLETED)
    world.controller.finish("run", WorkloadStatus.COMPLETED)
    with pytest.raises(WorkloadRejected, match="already completed; submit it under another name"):
        world.controller.submit(make_workload())
    with pytest.raises(WorkloadRejected, match="not live on this cluster; submit it first"):
        world.controller.directive("run")


def test_after_a_failure_or_a_cancellation_the_same_name_begins_a_new_run(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 50)
    driver._close(Outcome.FAILED)
    driver.die()
    world.controller.finish("run", WorkloadStatus.FAILED, "broken")
    changed = make_workload(deadline_at=T0 + timedelta(hours=18))
    second = world.controller.submit(changed)
    assert second == replace(changed, workload_id="run-attempt-2"), "as asked for now, and from its own start"
    assert world.ledger.segments("run-attempt-2") == ()
    world.restart()
    assert world.controller.submit(make_workload()) == second, "a live attempt goes on as first submitted"
    world.controller.finish("run-attempt-2", WorkloadStatus.CANCELLED, "interrupted")
    third = world.submit(world.controller.submit(make_workload()))
    assert third.workload_id == "run-attempt-3"
    world.run_until(lambda: third.is_done)
    with pytest.raises(WorkloadRejected, match="'run-attempt-3' has already completed"):
        world.controller.submit(make_workload())
    assert [(one.workload.workload_id, one.status) for one in world.ledger.workloads()] == [
        ("run", WorkloadStatus.FAILED),
        ("run-attempt-2", WorkloadStatus.CANCELLED),
        ("run-attempt-3", WorkloadStatus.COMPLETED),
    ]
    assert [segment.outcome for segment in world.ledger.segments("run")] == [Outcome.FAILED]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"deadline_at": T0}, DeadlinePassed, "choose a later deadline"),
        ({"deadline_at": T0 - timedelta(hours=1)}, DeadlinePassed, "choose a later deadline"),
        ({"deadline_at": T0 + timedelta(hours=7)}, DeadlineTooShort, "2022-05-02T07:15Z"),
        ({"deadline_at": T0 + timedelta(hours=8), "safety_margin_s": 3600.0}, DeadlineTooShort, "2022-05-02T08:15Z"),
        ({"work_h": 0.2, "deadline_at": T0 + timedelta(minutes=10)}, DeadlineTooShort, "choose a deadline at or after"),
        ({"workers": 100}, NoCapacityError, "ask for fewer or smaller workers"),
        ({"resources_per_worker": {"TPU": 1.0}}, NoCapacityError, "1 TPU"),
        ({"regions": ("west", "nowhere")}, UnknownRegionError, "nowhere"),
        ({"home_region": "wset"}, UnknownRegionError, "did you mean west"),
        ({"deadline_at": T0 + timedelta(days=400)}, ForecastError, "truth"),
    ],
)
def test_a_bad_submission_says_what_is_wrong_and_leaves_nothing_behind(
    make_world: Any, make_workload: Any, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    world = make_world(FLAT)
    with pytest.raises(error, match=says):
        world.controller.submit(make_workload(**changes))
    assert world.ledger.workloads() == ()
    with pytest.raises(WorkloadRejected):
        world.controller.directive("run")
    world.round()
    assert all(limits.min_nodes == 0 for limits in world.cluster.plans[-1].types.values())
    world.controller.submit(make_workload())  # the name is not spoilt


def test_the_deadline_that_a_refusal_names_is_accepted(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    short = make_workload(deadline_at=T0 + timedelta(hours=3), safety_margin_s=600.0)
    with pytest.raises(DeadlineTooShort) as refusal:
        world.controller.submit(short)
    world.controller.submit(replace(short, deadline_at=refusal.value.earliest_finish_at))


def test_an_ending_that_nobody_submitted_is_refused(make_world: Any) -> None:
    world = make_world(FLAT)
    with pytest.raises(WorkloadRejected, match="submit it first"):
        world.controller.finish("run", WorkloadStatus.COMPLETED)
    with pytest.raises(WorkloadRejected, match="carbon-ray status"):
        world.controller.books("run")
    assert world.ledger.workloads() == ()


# Forecasts


def test_without_any_forecast_the_work_runs(make_world: Any, make_workload: Any) -> None:
    world = make_world(EAST_SOON)
    driver = world.submit(make_workload())
    world.round()
    assert world.target() is None, "with a forecast it waits for the clean east"
    world.forecasts.is_away = True
    world.round()
    assert world.target() == "west"
    assert "no usable forecast" in world.controller.views()[0].detail
    world.run_until(lambda: driver.is_done)
    assert in_order(world, "west")


def test_a_stale_forecast_is_none(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(EAST_SOON, config=make_config(max_forecast_age_s=3600.0))
    world.submit(make_workload())
    world.round()
    world.forecasts.is_frozen = True
    for _ in range(3):
        world.round()
        assert world.target() is None
    world.round()
    world.round()
    assert world.target() == "west"


def test_when_forecasts_come_back_the_plan_does_too(make_world: Any, make_workload: Any) -> None:
    world = make_world(EAST_SOON)
    driver = world.submit(make_workload())
    world.forecasts.is_away = True
    world.round()
    assert world.target() == "west"
    world.forecasts.is_away = False
    world.run_until(lambda: driver.is_done)
    assert in_order(world, "west", "east")


def test_a_forecast_that_does_not_reach_the_deadline_is_asked_to(make_world: Any, make_workload: Any) -> None:
    world = make_world(EAST_SOON)
    world.forecasts._horizon = timedelta(hours=6)
    world.submit(make_workload())
    world.forecasts._until_at = None  # as after a loss of its state
    world.clock.advance(timedelta(hours=1))
    world.controller.step()
    assert world.target() == "west", "for want of a forecast to its deadline it runs"
    world.run_until(lambda: world.target() == "east", at_most=16)


# Several workloads


def test_one_disruptive_action_a_round(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(EAST_SOON, config=make_config(max_nodes=4))
    names = [f"run-{number}" for number in range(3)]
    for name in names:
        world.submit(make_workload(name, deadline_at=T0 + timedelta(hours=24)))
    world.forecasts.is_away = True
    world.round()
    assert [world.target(name) for name in names] == ["west"] * 3, "starts disturb nobody"
    for _ in range(3):
        world.round()
    world.forecasts.is_away = False
    for count in (1, 2, 3):
        drains = len(world.cluster.drained)
        world.round()
        assert [world.target(name) for name in names].count("west") == 3 - count
        assert len(world.cluster.drained) == drains, "a drain would be a second disruption"


def test_whoever_was_told_first_gets_the_nodes(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(FLAT, config=make_config(max_nodes=1))
    first = world.submit(make_workload("a", regions=("west", "east")))
    world.round()
    second = world.submit(make_workload("b", regions=("west", "east"), deadline_at=NO_TIME_TO_WAIT_AT))
    world.run_until(lambda: first.is_done and second.is_done)
    (only,) = world.ledger.segments("a")
    assert only.region == "west"
    assert [segment.region for segment in world.ledger.segments("b") if segment.running_at is not None] == ["east"]
    assert max(plan.types["gpu-west"].min_nodes for plan in world.cluster.plans) == 1, "never above the type's maximum"


# Stock-out


def test_a_region_that_gives_no_node_is_left_out_and_the_work_goes_elsewhere(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.cluster.full = {"west"}
    driver = world.submit(make_workload(deadline_at=NO_TIME_TO_WAIT_AT))
    world.round()
    assert world.target() == "west"
    for _ in range(6):
        world.round()
        assert world.target() == "west", "30 s of wall time have not passed yet"
    world.round()
    assert world.target() == "east"
    assert world.cluster.plans[-1].types["gpu-west"].reason == "west gave no node within 30 s"
    assert world.ledger.decisions("run")[-1].is_forced
    world.restart()
    world.run_until(lambda: driver.is_done)
    assert [segment.region for segment in world.ledger.segments("run") if segment.running_at] == ["east"]
    assert world.ledger.segments("run")[0].running_at is None


def test_a_full_region_is_tried_again_after_a_while(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.cluster.full = {"west"}
    world.submit(make_workload("run", regions=("west",), deadline_at=T0 + timedelta(hours=24)))
    world.run_until(lambda: world.target() is None and world.rounds > 3)
    assert world.status() is WorkloadStatus.SUSPENDED
    world.cluster.full = set()
    world.run_until(lambda: world.target() == "west", at_most=10)
    world.run_until(lambda: world.drivers[0].is_done)


def test_who_has_nodes_in_a_full_region_stays_there(make_world: Any, make_workload: Any, make_config: Any) -> None:
    world = make_world(FLAT, config=make_config(max_nodes=4))
    first = world.submit(make_workload("a"))
    world.run_until(lambda: first.step > 0)
    world.cluster.full = {"west"}
    second = world.submit(make_workload("b"))
    world.run_until(lambda: first.is_done and second.is_done)
    assert [segment.region for segment in world.ledger.segments("a")] == ["west"]
    assert [segment.region for segment in world.ledger.segments("b") if segment.running_at] == ["east"]


def test_work_whose_node_is_lost_and_not_replaced_goes_elsewhere(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload(deadline_at=NO_TIME_TO_WAIT_AT))
    world.run_until(lambda: driver.step > 0)
    (node_id,) = driver.held
    world.cluster.lose(node_id, "hardware")
    world.cluster.full = {"west"}
    driver._close(Outcome.LOST)
    world.run_until(lambda: world.target() == "east", at_most=10)
    world.run_until(lambda: driver.is_done)
    assert [event.reason for event in world.ledger.node_events() if event.node_id == node_id][-1] == "hardware"


def test_a_lost_segment_is_booked_with_what_its_workers_last_reported(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 50)
    (known,) = world.ledger.segments("run")
    unsaved = replace(driver._beat(), step=70)  # twenty steps on, and no newer checkpoint: the ledger is behind
    world.controller.beat(unsaved)
    assert world.ledger.segments("run") == (known,)
    closing = replace(known, end_at=world.clock.now(), outcome=Outcome.LOST)
    for _ in range(2):
        world.controller.put_segment(closing)
        (lost,) = world.ledger.segments("run")
        assert (lost.end_step, lost.reached_step, lost.outcome) == (50, 70, Outcome.LOST)


def test_without_forecast_a_full_region_is_avoided_too(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.cluster.full = {"west"}
    driver = world.submit(make_workload())
    world.forecasts.is_away = True
    world.run_until(lambda: driver.step > 0)
    assert world.target() == "east"


# Trouble with the cluster


def test_while_the_cluster_cannot_be_seen_no_plan_is_published_and_the_books_go_on(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step > 0)
    published = len(world.cluster.plans)
    world.cluster.is_away = True
    world.clock.advance(timedelta(minutes=15))
    world.controller.step()
    assert len(world.cluster.plans) == published, "limits by an old view could end busy nodes"
    assert world.controller.has_nodes("run"), "as last observed"
    world.cluster.is_away = False
    world.run_until(lambda: driver.is_done)
    assert in_order(world, "west")


def test_one_workload_in_trouble_leaves_the_others_alone(make_world: Any, make_workload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(FLAT)
    world.submit(make_workload("a"))
    world.submit(make_workload("b"))
    decide = type(world.controller._planner).decide

    def picky(self: Any, workload: Any, *arguments: Any, **options: Any) -> Any:
        if workload.workload_id == "a":
            raise NoCapacityError("nothing for a")
        return decide(self, workload, *arguments, **options)

    monkeypatch.setattr(type(world.controller._planner), "decide", picky)
    world.round()
    assert (world.target("a"), world.target("b")) == (None, "west")


# Orphans


def silence(world: Any, rounds: int) -> None:
    for _ in range(rounds):
        world.round()


def test_a_workload_whose_driver_died_is_let_go_and_goes_on_when_submitted_again(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 100)
    heard_at = world.clock.now()
    driver.die()
    silence(world, 24)
    assert world.target() == "west", "120 s of wall time have not passed yet"
    silence(world, 1)
    assert world.target() is None
    record = world.ledger.workload("run")
    assert (record.status, record.detail) == (WorkloadStatus.SUSPENDED, ORPHANED)
    (segment,) = world.ledger.segments("run")
    assert (segment.end_at, segment.outcome, segment.end_step) == (heard_at, Outcome.LOST, 100)
    assert segment.stopped_at == heard_at
    world.run_until(lambda: not world.cluster.alive("gpu-west"), at_most=5)
    silence(world, 8)
    assert len(world.ledger.segments("run")) == 1
    assert world.target() is None, "nothing happens to it meanwhile"

    again = world.submit(make_workload())
    assert again.step == 100
    world.round()
    assert world.target() == "west", "no cool-down is to be waited out"
    world.run_until(lambda: again.is_done)
    assert world.status() is WorkloadStatus.COMPLETED
    assert [decision.change for decision in world.ledger.decisions("run")] == [Change.START, Change.SUSPEND, Change.START]
    segments = world.ledger.segments("run")
    assert [segment.outcome for segment in segments] == [Outcome.LOST, Outcome.COMPLETED]
    assert segments[1].start_step == 100
    world.run_until(lambda: world.controller.is_settled("run"))


def test_an_orphan_stays_one_over_a_restart_of_the_controller(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 50)
    driver.die()
    silence(world, 25)
    world.restart()
    directive = world.ledger.directive("run")
    silence(world, 30)
    assert world.ledger.directive("run") == directive
    assert world.ledger.workload("run").detail == ORPHANED
    world.restart()
    again = world.submit(make_workload())
    world.run_until(lambda: again.is_done)
    assert world.status() is WorkloadStatus.COMPLETED


def test_a_waiting_workload_can_be_an_orphan_too(make_world: Any, make_workload: Any) -> None:
    world = make_world({**FLAT, "east": [400.0] * 12 + [50.0] * 12})
    driver = world.submit(make_workload(deadline_at=T0 + timedelta(hours=23)))
    world.round()
    driver.die()
    silence(world, 40)
    assert world.status() is WorkloadStatus.SUSPENDED
    assert world.ledger.workload("run").detail == ORPHANED
    assert world.ledger.directive("run") is None
    assert all(plan.types["gpu-east"].min_nodes == 0 for plan in world.cluster.plans[27:])
    world.restart()
    again = world.submit(make_workload())
    world.run_until(lambda: again.is_done)


def test_a_restarted_controller_gives_everybody_time_to_be_heard(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step > 0)
    world.wall.advance(timedelta(hours=1))  # the head was down
    world.restart()
    world.run_until(lambda: driver.is_done)
    assert in_order(world, "west")


def test_any_word_of_a_driver_makes_an_orphan_an_ordinary_workload(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    world.submit(make_workload())
    signs = (
        lambda: world.controller.directive("run"),
        lambda: world.controller.has_nodes("run"),
        lambda: world.controller.segments("run"),
        lambda: world.controller.put_segment(world.ledger.segments("run")[-1]),
    )
    driver = world.drivers[0]
    world.run_until(lambda: driver.step > 0)
    driver.die()
    for sign in signs:
        silence(world, 26)
        assert world.ledger.workload("run").detail == ORPHANED
        sign()
        assert world.ledger.workload("run").detail != ORPHANED
        world.round()
        assert world.target() == "west"
        assert len(world.ledger.segments("run")) == 1


def test_a_driver_that_says_it_goes_is_let_go_at_once_and_its_workers_do_not_call_it_back(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 100)
    last_beat = driver._beat()
    driver.die()
    world.controller.leave("run")
    record = world.ledger.workload("run")
    assert (record.status, record.detail) == (WorkloadStatus.SUSPENDED, ORPHANED)
    assert world.target() is None
    (segment,) = world.ledger.segments("run")
    assert (segment.end_at, segment.outcome, segment.end_step) == (world.clock.now(), Outcome.LOST, 100)
    epoch = world.ledger.directive("run").epoch
    for _ in range(3):  # Ray needs a moment to end the workers of a job
        assert world.controller.beat(last_beat).target is None
        world.round()
    world.controller.leave("run")  # twice is once
    assert world.ledger.directive("run").epoch == epoch
    assert world.ledger.workload("run").detail == ORPHANED
    assert not world.cluster.alive("gpu-west")

    again = world.submit(make_workload())
    assert again.step == 100
    world.run_until(lambda: again.is_done)
    assert world.status() is WorkloadStatus.COMPLETED
    world.controller.leave("run")
    world.controller.leave("unheard of")
    assert world.status() is WorkloadStatus.COMPLETED


def test_a_worker_that_was_only_cut_off_is_told_to_stop_and_goes_on_later(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step == 50)
    world.drivers.remove(driver)
    silence(world, 26)
    world.drivers.append(driver)
    driver.tick()
    assert driver.segment is None, "its beat was answered by a stop"
    (segment,) = world.ledger.segments("run")
    assert segment.outcome is Outcome.LOST
    assert segment.end_step == 75, "what it had saved counts"
    world.run_until(lambda: driver.is_done)
    assert world.ledger.segments("run")[1].start_step == 75


def test_views_and_books_are_no_sign_of_life(make_world: Any, make_workload: Any) -> None:
    world = make_world(FLAT)
    driver = world.submit(make_workload())
    world.run_until(lambda: driver.step > 0)
    driver.die()
    for _ in range(26):
        world.round()
        world.controller.views()
        world.controller.books("run")
    assert world.ledger.workload("run").detail == ORPHANED
