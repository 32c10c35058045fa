"""A whole life of a workload under the controller, and the same life with the controller restarted at every round."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from carbon_ray.books.records import NodeEventKind, WorkloadStatus
from carbon_ray.core.decision import Change, Decision
from carbon_ray.core.ledger import Outcome, Phase
from carbon_ray.core.units import hours

DAY = {  # dirty | east is clean | dirty | west is clean | south is clean, west is not
    "west": [500, 500, 500, 500, 500, 500, 500, 500, 90, 90, 500, 500, 500, 500],
    "east": [480, 480, 480, 100, 100, 100, 480, 480, 480, 480, 480, 480, 480, 480],
    "south": [520, 520, 520, 520, 520, 520, 520, 520, 520, 520, 20, 20, 20, 20],
}


STEP = timedelta(seconds=36)
"""A training step; every mark of a segment is a whole number of them after its start."""


def live(world: Any, workload: Any, restart_at: frozenset[int] = frozenset()) -> None:
    if not world.drivers:
        world.submit(workload)

    def is_over() -> bool:
        if world.rounds in restart_at:
            world.restart()
        return world.controller.is_settled("run") and not any(world.cluster.alive(f"gpu-{name}") for name in world.config.regions)

    world.run_until(is_over)
    world.restart()
    world.round()


def test_it_waits_starts_suspends_resumes_elsewhere_moves_and_ends_in_time(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    workload = make_workload()
    world.submit(workload)
    for _ in range(11):
        world.round()
        assert world.status() is WorkloadStatus.WAITING
        assert world.ledger.segments("run") == ()
    live(world, workload)

    books = world.controller.books("run")
    assert books.record.status is WorkloadStatus.COMPLETED
    assert books.record.status_at <= workload.deadline_at
    assert [segment.region for segment in books.segments] == ["east", "west", "south"]
    assert [segment.outcome for segment in books.segments] == [Outcome.SUSPENDED, Outcome.SUSPENDED, Outcome.COMPLETED]
    assert [decision.change for decision in books.decisions] == [Change.START, Change.SUSPEND, Change.START, Change.MOVE]
    assert [segment.index for segment in books.segments] == [0, 1, 2]
    assert books.segments[-1].end_step == 700
    for before, after in zip(books.segments, books.segments[1:], strict=False):
        assert after.start_step == before.end_step == before.reached_step, "no step was lost or done twice"
        assert before.end_at is not None
        assert before.end_at <= after.start_at
    assert world.cluster.killed == []


def test_the_directives_epochs_grow_with_every_decision(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    live(world, make_workload())
    directive = world.ledger.directive("run")
    assert directive is not None
    assert directive.epoch == len(world.ledger.decisions("run")) == 4
    assert directive.target is not None
    assert directive.target.region == "south"
    assert [decision.reason for decision in world.ledger.decisions("run")][-1] == directive.reason


def test_the_books_are_priced_at_what_came_true(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    live(world, make_workload())
    books = world.controller.books("run")
    gco2 = energy_kwh = held_h = 0.0
    for segment in books.segments:
        assert segment.running_at is not None
        assert segment.stopped_at is not None
        instant = segment.start_at
        while instant < segment.end_at:  # by the stated power model: 1000 W at full load, a fifth of it idle
            is_running = segment.running_at <= instant < segment.stopped_at
            kwh = 1.0 * (0.2 + 0.8 * (0.9 if is_running else 0.0)) * 1.25 * hours(STEP)
            energy_kwh += kwh
            gco2 += kwh * world.truth[segment.region.upper()].at(instant)
            held_h += hours(STEP)
            instant += STEP
    assert books.totals.energy_kwh == pytest.approx(energy_kwh)
    assert books.totals.gco2 == pytest.approx(gco2)
    assert books.totals.held_h == pytest.approx(held_h)
    assert books.totals.usd == pytest.approx(held_h * 2.0)
    for index, segment in enumerate(books.segments):
        lines = books.emissions[index]
        assert lines[0].start_at == segment.start_at
        assert lines[-1].end_at == segment.end_at
        assert {line.phase for line in lines} <= set(Phase)
        assert sum(hours(line.end_at - line.start_at) for line in lines) == pytest.approx(hours(segment.end_at - segment.start_at))


def test_every_node_comes_and_goes_once_and_says_why(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    live(world, make_workload())
    events = world.ledger.node_events()
    counts = Counter((event.node_id, event.kind) for event in events)
    assert set(counts.values()) == {1}
    assert {event.region for event in events} == {"west", "east", "south"}
    assert all(event.reason for event in events)
    added = [event for event in events if event.kind is NodeEventKind.ADDED]
    assert all(event.reason.startswith("launched: run: ") for event in added)
    assert [event.reason for event in events if event.kind is NodeEventKind.REMOVED] == [
        "drained: nothing is planned here; idle nodes go"
    ] * 3


def test_no_node_is_drained_with_work_on_it_nor_two_in_a_round(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    world.submit(make_workload())
    for _ in range(90):
        before, busy = len(world.cluster.drained), set(world.cluster.busy)
        world.round()
        drained = [node_id for node_id, _ in world.cluster.drained[before:]]
        assert len(drained) <= 1
        assert not busy & set(drained)
    assert len(world.cluster.drained) == 3


def everything(world: Any) -> dict[str, Any]:
    books = world.controller.books("run")
    return {
        "record": books.record,
        "segments": books.segments,
        "emissions": books.emissions,
        "totals": books.totals,
        "revisions": [world.ledger.revision("run", segment.index) for segment in books.segments],
        "directive": world.ledger.directive("run"),
        "decisions": [(one.at, one.current, one.target, one.reason, one.is_forced, pytest.approx(one.gain_usd)) for one in books.decisions],
        # Since when a node is idle is not remembered, so it may go a round later.
        "nodes": {(event.node_id, event.kind, event.reason) for event in books.node_events},
    }


def test_a_controller_that_is_restarted_at_any_round_writes_the_same_books(make_world: Any, make_workload: Any) -> None:
    undisturbed = make_world(DAY)
    live(undisturbed, make_workload())
    expected, rounds = everything(undisturbed), undisturbed.rounds
    assert rounds > 50
    # At all rounds of one life, and at a single one of many lives (each third round, to be quick).
    for restart_at in [frozenset(range(rounds + 10)), *(frozenset({number}) for number in range(0, rounds, 3))]:
        world = make_world(DAY)
        live(world, make_workload(), restart_at)
        assert everything(world) == expected, f"restarted at {sorted(restart_at)}"


def test_a_crash_between_decision_and_directive_only_repeats_the_decision(
    make_world: Any, make_workload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(DAY)
    world.submit(make_workload())
    with monkeypatch.context() as patch:
        patch.setattr(type(world.ledger), "put_directive", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
        with pytest.raises(RuntimeError, match="power cut"):
            world.run_until(lambda: False)
    assert world.ledger.directive("run") is None
    world.restart()
    live(world, make_workload())
    books = world.controller.books("run")
    assert [segment.region for segment in books.segments] == ["east", "west", "south"]
    starts = [decision for decision in books.decisions if decision.change is Change.START]
    assert [start.target.region for start in starts if start.target] == ["east", "east", "west"]


def test_views_tell_plan_progress_and_status(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    world.submit(make_workload())
    world.round()
    (view,) = world.controller.views()
    assert (view.status, view.step, view.directive.epoch) == (WorkloadStatus.WAITING, 0, 0)
    assert view.plan_reason.startswith("wait: ")
    assert view.plan_finish_at is not None
    world.run_until(lambda: world.drivers[0].step >= 100)
    (view,) = world.controller.views()
    assert (view.status, view.step) == (WorkloadStatus.RUNNING, 100)
    assert view.progress.region == "east"
    assert view.progress.remaining_h == pytest.approx(6.0)
    live(world, make_workload())
    (view,) = world.controller.views()
    assert (view.status, view.step) == (WorkloadStatus.COMPLETED, 700)


def test_a_decision_is_never_recorded_for_keeping(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    live(world, make_workload())
    decisions: tuple[Decision, ...] = world.ledger.decisions("run")
    assert Change.KEEP not in {decision.change for decision in decisions}
