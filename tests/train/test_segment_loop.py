"""The segment loop against a scripted controller and a scripted Ray Train: what is booked, retried, raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from carbon_ray.actors.progress import Beat
from carbon_ray.actors.timekeeping import SharedReplayClock
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.core.clock import ReplayClock, SystemClock
from carbon_ray.core.decision import Directive, Placement
from carbon_ray.core.errors import ClusterError, ControllerUnavailable
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Workload
from carbon_ray.train import driver
from carbon_ray.train.driver import SegmentLoop, SegmentSettings, frozen_clock
from carbon_ray.train.session import SegmentInfo

T0 = datetime(2022, 5, 2, tzinfo=UTC)
WORKLOAD = Workload(
    workload_id="run",
    work_h=1.0,
    workers=2,
    resources_per_worker={"GPU": 1.0},
    home_region="east",
    regions=("east", "west"),
    submitted_at=T0,
    deadline_at=T0 + timedelta(hours=10),
)


def told(epoch: int, region: str | None) -> Directive:
    return Directive(workload_id="run", epoch=epoch, target=Placement(region=region, workers=2) if region else None, reason=f"to {region}")


class ScriptedController:
    """Gives the directives in turn, the last one for ever; keeps segments by index."""

    def __init__(self, *directives: Directive) -> None:
        self.directives = list(directives)
        self.without_nodes = 0
        self.known: dict[int, Segment] = {}
        self.finished: list[tuple[WorkloadStatus, str]] = []
        self.left: list[list[Outcome | None]] = []
        self.asked = 0
        self.is_away = False

    def config(self) -> Any:
        def region(name: str) -> Region:
            power = PowerModel(tdp_w=1.0, idle_fraction=0.0, source="test")
            kind = NodeType(name=f"gpu-{name}", resources={"GPU": 1.0}, max_nodes=4, usd_per_h=0.0, power=power)
            return Region(name=name, zone=name, pue=1.0, node_types=(kind,))

        return SimpleNamespace(regions={"east": region("east"), "west": region("west")})

    def clock(self) -> SystemClock:
        return SystemClock()

    def directive(self, workload_id: str) -> Directive:
        assert workload_id == "run"
        self.asked += 1
        if self.is_away:
            raise ControllerUnavailable("away")
        return self.directives.pop(0) if len(self.directives) > 1 else self.directives[0]

    def has_nodes(self, workload_id: str) -> bool:
        self.without_nodes -= 1
        return self.without_nodes < 0

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        return tuple(self.known[index] for index in sorted(self.known))

    def put_segment(self, segment: Segment) -> None:
        self.known[segment.index] = segment

    def finish(self, workload_id: str, status: WorkloadStatus, detail: str = "") -> None:
        self.finished.append((status, detail))

    def leave(self, workload_id: str) -> None:
        self.left.append([segment.outcome for segment in self.segments(workload_id)])


Step = Callable[[SegmentInfo], Any]


def ends(outcome: str, step: int = 10) -> Step:
    def fit(info: SegmentInfo) -> Any:
        now = info.clock.now()
        beat = Beat(
            workload_id="run",
            segment_index=info.segment_index,
            epoch=info.epoch,
            step=step,
            checkpoint_step=step,
            first_at=now,
            step_at=now,
        )
        return SimpleNamespace(return_value={"outcome": outcome, "beat": beat, "value": step})

    return fit


def fails(error: BaseException) -> Step:
    def fit(info: SegmentInfo) -> Any:
        raise error

    return fit


THEIR_ERROR = WorkerGroupError("raised", {0: UserExceptionWithTraceback(ValueError("theirs"), "trace")})
NODE_LOST = WorkerGroupError("gone", {0: RuntimeError("actor died")})


def run(controller: ScriptedController, *steps: Step, max_failures: int = 0) -> tuple[Any, list[SegmentInfo]]:
    script, infos = list(steps), list[SegmentInfo]()

    def fit(info: SegmentInfo) -> Any:
        infos.append(info)
        return script.pop(0)(info)

    loop = SegmentLoop(WORKLOAD, fit, controller, SegmentSettings(max_failures=max_failures))  # type: ignore[arg-type]
    return loop.run(), infos


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_LOOK_S", 0.001)


def outcomes(controller: ScriptedController) -> list[tuple[str, Outcome | None]]:
    return [(segment.region, segment.outcome) for segment in controller.segments("run")]


def test_one_segment_to_the_end() -> None:
    controller = ScriptedController(told(1, "east"))
    (result, returned), (info,) = run(controller, ends("completed"))
    assert returned["value"] == result.return_value["value"] == 10
    assert (info.segment_index, info.epoch, info.placement) == (0, 1, Placement(region="east", workers=2))
    (segment,) = controller.segments("run")
    assert (segment.node_type, segment.nodes, segment.workers, segment.reason) == ("gpu-east", 2, 2, "to east")
    assert (segment.outcome, segment.end_step, segment.reached_step) == (Outcome.COMPLETED, 10, 10)
    assert segment.start_at <= segment.running_at <= segment.stopped_at <= segment.end_at
    assert controller.finished == [(WorkloadStatus.COMPLETED, "")]


def test_it_waits_while_suspended_and_goes_on_elsewhere() -> None:
    controller = ScriptedController(told(0, None), told(0, None), told(1, "east"), told(2, None), told(3, "west"))
    _, infos = run(controller, ends("suspended", 5), ends("completed", 10))
    assert [(info.segment_index, info.epoch, info.placement.region) for info in infos] == [(0, 1, "east"), (1, 3, "west")]
    assert outcomes(controller) == [("east", Outcome.SUSPENDED), ("west", Outcome.COMPLETED)]


def test_a_place_that_is_withdrawn_before_its_nodes_come_is_booked_without_a_step() -> None:
    controller = ScriptedController(told(1, "east"), told(2, "west"))
    controller.without_nodes = 3
    run(controller, ends("completed"))
    assert outcomes(controller) == [("east", Outcome.SUSPENDED), ("west", Outcome.COMPLETED)]
    assert controller.known[0].running_at is None


def test_a_lost_node_is_no_failure_of_the_training_code() -> None:
    controller = ScriptedController(told(1, "east"))
    run(controller, fails(NODE_LOST), fails(NODE_LOST), ends("completed"))
    assert [outcome for _, outcome in outcomes(controller)] == [Outcome.LOST, Outcome.LOST, Outcome.COMPLETED]


def test_a_worker_that_always_dies_is_the_codes_fault_in_the_end() -> None:
    controller = ScriptedController(told(1, "east"))
    with pytest.raises(WorkerGroupError):
        run(controller, *[fails(NODE_LOST)] * 6)
    assert [outcome for _, outcome in outcomes(controller)] == [Outcome.LOST] * 5 + [Outcome.FAILED]
    assert controller.finished[0][0] is WorkloadStatus.FAILED


def test_the_training_codes_own_failures_are_counted() -> None:
    controller = ScriptedController(told(1, "east"))
    run(controller, fails(THEIR_ERROR), ends("completed"), max_failures=1)
    assert [outcome for _, outcome in outcomes(controller)] == [Outcome.FAILED, Outcome.COMPLETED]
    again = ScriptedController(told(1, "east"))
    with pytest.raises(WorkerGroupError, match="raised"):
        run(again, fails(THEIR_ERROR), fails(THEIR_ERROR), max_failures=1)
    ((status, detail),) = again.finished
    assert status is WorkloadStatus.FAILED
    assert detail.startswith("WorkerGroupError: ")


def test_an_interruption_cancels_and_closes_the_segment() -> None:
    controller = ScriptedController(told(1, "east"))
    with pytest.raises(KeyboardInterrupt):
        run(controller, fails(KeyboardInterrupt()))
    assert outcomes(controller) == [("east", Outcome.FAILED)]
    assert controller.finished == [(WorkloadStatus.CANCELLED, "interrupted")]


def test_a_process_that_is_told_to_end_closes_the_segment_and_then_says_so() -> None:
    controller = ScriptedController(told(1, "east"))
    with pytest.raises(SystemExit):
        run(controller, fails(SystemExit(15)))
    assert controller.left == [[Outcome.LOST]]
    assert controller.finished == []


def test_a_process_that_is_told_to_end_while_it_waits_says_so() -> None:
    controller = ScriptedController(told(1, None))
    controller.directive = fails(SystemExit(15))  # type: ignore[assignment]
    with pytest.raises(SystemExit):
        run(controller)
    assert controller.left == [[]]


def test_what_a_dead_driver_left_open_is_closed_first() -> None:
    controller = ScriptedController(told(4, "west"))
    controller.known[0] = Segment(
        workload_id="run", index=0, region="east", workers=2, node_type="gpu-east", nodes=2, start_at=T0, end_step=7
    )
    _, (info,) = run(controller, ends("completed"))
    assert info.segment_index == 1
    assert outcomes(controller) == [("east", Outcome.LOST), ("west", Outcome.COMPLETED)]
    assert controller.known[0].end_step == 7


@pytest.mark.parametrize("is_away", [False, True])
def test_the_driver_is_heard_while_ray_train_is_busy(monkeypatch: pytest.MonkeyPatch, is_away: bool) -> None:
    monkeypatch.setattr(driver, "_IN_TOUCH_S", 0.001)
    controller, pause = ScriptedController(told(1, "east")), threading.Event()

    def slow(info: SegmentInfo) -> Any:
        controller.is_away, before = is_away, controller.asked
        for _ in range(10_000):
            if controller.asked >= before + 3:
                break
            pause.wait(0.001)
        else:
            raise AssertionError("nothing was heard")
        controller.is_away = False
        return ends("completed")(info)

    run(controller, slow)
    assert outcomes(controller) == [("east", Outcome.COMPLETED)]


def test_workers_are_sent_a_clock_that_stands_on_its_own() -> None:
    assert frozen_clock(SystemClock()) == SystemClock()
    origin: list[str] = []
    replay = SharedReplayClock(T0, 60.0, lambda: origin[0] if origin else None, origin.append)
    with pytest.raises(ClusterError, match="has not been started"):
        frozen_clock(replay)
    replay.start()
    assert isinstance(frozen_clock(replay), ReplayClock)
