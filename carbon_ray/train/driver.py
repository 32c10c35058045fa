"""The segment loop in the job's driver: wait for a place, run one segment there, book it, until the work is done.

Nothing is held between segments. A node that dies takes no more than the steps since its last checkpoint with it: the
segment is booked as lost and the next one goes on from that checkpoint.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ray.train import Result, TrainingFailedError, WorkerGroupError

from carbon_ray.actors.handles import ControllerClient
from carbon_ray.actors.progress import Beat
from carbon_ray.actors.timekeeping import SharedReplayClock
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.core.clock import Clock, ReplayClock, SystemClock
from carbon_ray.core.decision import Directive
from carbon_ray.core.errors import ClusterError, NoCapacityError
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.workload import Workload
from carbon_ray.train.session import SegmentInfo

log = logging.getLogger(__name__)

_LOOK_S = 0.25
"""Wall seconds between looks at the directive."""

_IN_TOUCH_S = 10.0
"""Wall seconds between the driver's signs of life while a segment runs; well below `controller.orphan_after_s`."""

_USER_ERROR = "UserExceptionWithTraceback"
"""Class in which Ray Train 2.60 wraps an exception of the training code; pinned by a contract test."""

_MAX_FRUITLESS_LOSSES = 5
"""Lost segments in a row without a new checkpoint, after which the training code is to blame (a worker that always crashes)."""

Fit = Callable[[SegmentInfo], Result]
"""Runs one segment to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings:
    """How segments are run.

    Attributes:
        step_key: Metric that counts finished steps.
        checkpoint_every_s: Wall seconds between checkpoints that are taken by a callable.
        max_failures: Failures of the training code itself before giving up; -1 = any number. Lost nodes do not count.
    """

    step_key: str = "step"
    checkpoint_every_s: float = 300.0
    max_failures: int = 0


def frozen_clock(clock: Clock) -> SystemClock | ReplayClock:
    """The cluster's clock as a value that workers can be sent.

    Raises:
        ClusterError: A replay was not started.
    """
    running = clock.running() if isinstance(clock, SharedReplayClock) else clock
    if isinstance(running, (SystemClock, ReplayClock)):
        return running
    raise ClusterError("the replay of this cluster has not been started")


class SegmentLoop:
    """Runs one workload.

    Args:
        workload: As the controller accepted it.
        fit: Runs one segment.
        controller: The cluster's controller.
        settings: How segments are run.
    """

    def __init__(self, workload: Workload, fit: Fit, controller: ControllerClient, settings: SegmentSettings) -> None:
        self._workload, self._fit, self._controller, self._settings = workload, fit, controller, settings
        self._clock = frozen_clock(controller.clock())
        self._failures = 0
        self._fruitless_losses = 0

    def run(self) -> tuple[Result, dict[str, Any]]:
        """Run to the end of the work.

        Returns:
            Ray's result of the last segment, and what that segment returned.

        Raises:
            TrainingFailedError: The training code failed more often than allowed.
            SystemExit: The process was told to end; the workload is let go at once and can be submitted again.
        """
        workload_id = self._workload.workload_id
        segments = self._controller.segments(workload_id)
        if segments and segments[-1].end_at is None:  # a former driver of this run died
            self._close(segments[-1], Outcome.LOST)
        index = len(segments)
        try:
            while True:
                done = self._one_segment(index)
                index += 1
                if done is not None:
                    self._controller.finish(workload_id, WorkloadStatus.COMPLETED)
                    return done
        except KeyboardInterrupt:
            self._controller.finish(workload_id, WorkloadStatus.CANCELLED, "interrupted")
            raise
        except SystemExit:  # `ray job stop` sends SIGTERM, which Ray turns into this, and kills three seconds later
            self._controller.leave(workload_id)
            raise
        except Exception as error:
            self._controller.finish(workload_id, WorkloadStatus.FAILED, f"{type(error).__name__}: {str(error)[:300]}")
            raise

    def _one_segment(self, index: int) -> tuple[Result, dict[str, Any]] | None:
        directive = self._wait_for_target()
        segment = self._open(index, directive)
        outcome, beat, done = Outcome.SUSPENDED, None, None
        try:
            if self._wait_for_nodes(directive):
                info = SegmentInfo(
                    workload_id=segment.workload_id,
                    segment_index=index,
                    epoch=directive.epoch,
                    placement=directive.target,  # type: ignore[arg-type]  # waited for
                    clock=self._clock,
                    start_step=max((one.end_step for one in self._controller.segments(segment.workload_id)), default=0),
                    step_key=self._settings.step_key,
                    checkpoint_every_s=self._settings.checkpoint_every_s,
                )
                with self._staying_in_touch():
                    result = self._fit(info)
                self._fruitless_losses = 0
                returned: dict[str, Any] = result.return_value
                beat = returned["beat"]
                if returned["outcome"] == "completed":
                    outcome, done = Outcome.COMPLETED, (result, returned)
        except TrainingFailedError as error:
            if is_node_loss(error) and self._fruitless_losses < _MAX_FRUITLESS_LOSSES:
                outcome = Outcome.LOST
                self._fruitless_losses += 1
                log.warning("segment %d was lost with its node; going on from its last checkpoint", index)
            else:
                outcome = Outcome.FAILED
                self._failures += 1
                if 0 <= self._settings.max_failures < self._failures:
                    raise
                log.warning("the training code failed (%d of %d allowed): %s", self._failures, self._settings.max_failures, error)
        except SystemExit:
            outcome = Outcome.LOST
            raise
        except BaseException:
            outcome = Outcome.FAILED
            raise
        finally:
            self._close(segment, outcome, beat)
        return done

    @contextmanager
    def _staying_in_touch(self) -> Iterator[None]:
        """Let the controller hear the driver while Ray Train starts workers and ends them, which speak only in between."""
        over = threading.Event()

        def talk() -> None:
            while not over.wait(_IN_TOUCH_S):
                try:
                    self._controller.directive(self._workload.workload_id)
                except Exception as error:  # a controller that is away hears the next word
                    log.info("the controller does not hear the driver (%s)", type(error).__name__)

        threading.Thread(target=talk, name="carbon-ray-in-touch", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _wait_for_target(self) -> Directive:
        pause = threading.Event()
        while (directive := self._controller.directive(self._workload.workload_id)).target is None:
            pause.wait(_LOOK_S)
        return directive

    def _wait_for_nodes(self, directive: Directive) -> bool:
        """Wait until the nodes are there; False if the plan changed first."""
        pause = threading.Event()
        while not self._controller.has_nodes(directive.workload_id):
            if self._controller.directive(directive.workload_id).epoch != directive.epoch:
                return False
            pause.wait(_LOOK_S)
        return True

    def _open(self, index: int, directive: Directive) -> Segment:
        """Book the segment from the instant on at which nodes are asked for."""
        target = directive.target
        assert target is not None  # waited for
        offer = self._controller.config().regions[target.region].node_type_for(target.workers, self._workload.resources_per_worker)
        if offer is None:
            raise NoCapacityError(f"region {target.region} cannot hold {target.workers} workers of {self._workload.workload_id}")
        node_type, nodes = offer
        segment = Segment(
            workload_id=self._workload.workload_id,
            index=index,
            region=target.region,
            workers=target.workers,
            node_type=node_type.name,
            nodes=nodes,
            start_at=self._clock.now(),
            reason=directive.reason,
        )
        self._controller.put_segment(segment)
        return segment

    def _close(self, segment: Segment, outcome: Outcome, beat: Beat | None = None) -> None:
        """Book the end: with the workers' own last word where they could give it, else with what they had reported."""
        known = next((one for one in self._controller.segments(segment.workload_id) if one.index == segment.index), segment)
        ended = beat.onto(known) if beat is not None else known
        stopped_at = beat.step_at if beat is not None else None
        self._controller.put_segment(replace(ended, stopped_at=stopped_at, end_at=self._clock.now(), outcome=outcome))


def is_node_loss(error: TrainingFailedError) -> bool:
    """True where Ray lost a worker or could not start one; False where the training code itself raised."""
    if isinstance(error, WorkerGroupError):
        # Ray wraps what the training code raises; anything else is its own word for a worker that is gone. Where one worker
        # dies, the others often raise too, out of a collective call that it left.
        return any(type(failure).__name__ != _USER_ERROR for failure in error.worker_failures.values())
    return True
