"""A segment as its workers see it: counts steps, tells the controller, and ends the segment when all ranks agree.

The controller is asked in a thread of rank 0, never in a step, and fails open: no answer means that training goes on.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import ray
import ray.train
import ray.train.collective

from carbon_ray.actors.handles import CONTROLLER, NAMESPACE
from carbon_ray.actors.progress import Beat
from carbon_ray.core.clock import ReplayClock, SystemClock
from carbon_ray.core.decision import Placement
from carbon_ray.train.agreement import NOTHING, Agreement, Order

log = logging.getLogger(__name__)

BEAT_THREAD = "carbon-ray-beat"
"""Name of the thread in which rank 0 talks to the controller."""
Save = Callable[[str], object]
"""Writes a checkpoint into the directory it is given."""


class SegmentEnd(BaseException):
    """Raised in the training function once its checkpoint is safe; not an error, so `except Exception` lets it pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """What a worker must know of the segment it runs.

    Attributes:
        workload_id: Whose.
        segment_index: Which.
        epoch: Directive that it follows.
        placement: Where it runs.
        clock: The cluster's clock.
        start_step: Steps that the newest checkpoint holds; counted on from where the metrics name no step.
        step_key: Metric that counts finished steps.
        checkpoint_every_s: Wall seconds between checkpoints that are taken by a callable.
        beat_every_s: Wall seconds between reports to the controller.
        agree_every_s: Wall seconds between questions to rank 0, roughly.
    """

    workload_id: str
    segment_index: int
    epoch: int
    placement: Placement
    clock: SystemClock | ReplayClock
    start_step: int = 0
    step_key: str = "step"
    checkpoint_every_s: float = 300.0
    beat_every_s: float = 0.5
    agree_every_s: float = 2.0


class Session:
    """One worker's part of a segment.

    Args:
        info: The segment.
        rank: World rank.
        world_size: Number of ranks.
    """

    def __init__(self, info: SegmentInfo, rank: int, world_size: int) -> None:
        self._info, self._rank, self._world_size = info, rank, world_size
        self._agreement = Agreement(world_size, info.agree_every_s)
        self._beat = Beat(workload_id=info.workload_id, segment_index=info.segment_index, epoch=info.epoch)
        self._step = info.start_step
        self._step_at_s = time.monotonic()
        self._saved_step = 0  # handed to Ray, which takes one report at a time
        self._saved_at_s = time.monotonic()
        self._last: tuple[dict[str, Any], Save] | None = None
        self._wants_stop = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def beat(self) -> Beat:
        """What is to be told to the controller now."""
        if self._beat.first_at is None:
            return self._beat
        # Steps note the monotonic clock alone, which costs next to nothing; the cluster's clock is read here.
        step, ago = self._step, timedelta(seconds=(time.monotonic() - self._step_at_s) * self._info.clock.speedup)
        return replace(self._beat, step=step, step_at=max(self._beat.first_at, self._info.clock.now() - ago))

    @property
    def final_beat(self) -> Beat:
        """What is known at a clean end: everything handed to Ray is durable then."""
        return replace(self.beat, checkpoint_step=max(self._beat.checkpoint_step, self._saved_step))

    def __enter__(self) -> Session:
        if self._rank == 0:
            self._thread = threading.Thread(target=self._talk, name=BEAT_THREAD, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _talk(self) -> None:
        """Rank 0: report, and hear whether to stop. Any failure leaves training as it is."""
        controller = None
        while not self._ended.wait(self._info.beat_every_s):
            try:
                controller = controller or ray.get_actor(CONTROLLER, namespace=NAMESPACE)
                directive = ray.get(controller.beat.remote(self.beat), timeout=10 * self._info.beat_every_s)
            except Exception as error:
                controller = None
                log.info("the controller does not answer (%s); training goes on", type(error).__name__)
                continue
            self._wants_stop = directive.epoch > self._info.epoch and directive.target != self._info.placement

    def report(self, metrics: Mapping[str, Any], checkpoint: Any, options: Mapping[str, Any]) -> None:
        """See `carbon_ray.train.report`."""
        self._note_step(metrics)
        order = self._ask(can_save=checkpoint is not None) if self._agreement.is_due() else NOTHING
        if callable(checkpoint):
            self._last = (dict(metrics), checkpoint)
            if order.save:
                self._save(dict(metrics), checkpoint, options)
        else:
            self._hand_over(dict(metrics), checkpoint, options)
        if order.stop:
            raise SegmentEnd

    def complete(self) -> None:
        """After the training function has returned: make its last step durable, on all ranks alike."""
        if self._last is not None and self._saved_step < self._step:
            metrics, save = self._last
            self._save(metrics, save, {})

    def _note_step(self, metrics: Mapping[str, Any]) -> None:
        self._step_at_s = time.monotonic()
        self._step = int(metrics.get(self._info.step_key, self._step + 1))
        if self._beat.first_at is None:
            self._beat = replace(self._beat, first_step=max(0, self._step - 1), first_at=self._info.clock.now())

    def _ask(self, *, can_save: bool) -> Order:
        elapsed_s = time.monotonic()
        order = NOTHING
        if self._rank == 0:
            wants_save = elapsed_s - self._saved_at_s >= self._info.checkpoint_every_s
            order = self._agreement.order(wants_stop=self._wants_stop, wants_save=wants_save, can_save=can_save, elapsed_s=elapsed_s)
        if self._world_size > 1:
            order = ray.train.collective.broadcast_from_rank_zero(order)
        self._agreement.take(order)
        return order

    def _save(self, metrics: dict[str, Any], save: Save, options: Mapping[str, Any]) -> None:
        directory = tempfile.mkdtemp(prefix="carbon-ray-checkpoint-")
        try:
            save(directory)
            self._hand_over(metrics, ray.train.Checkpoint.from_directory(directory), options)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _hand_over(self, metrics: dict[str, Any], checkpoint: Any, options: Mapping[str, Any]) -> None:
        ray.train.report(metrics, checkpoint=checkpoint, **options)
        # Ray's queue holds one report: the one before is with Ray's controller now, and so durable.
        self._beat = replace(self._beat, checkpoint_step=max(self._beat.checkpoint_step, self._saved_step))
        if checkpoint is not None:
            self._saved_step, self._saved_at_s = self._step, time.monotonic()


_current: Session | None = None


def current() -> Session | None:
    """The session of this worker process; None outside a CarbonAwareTrainer."""
    return _current


def run_segment(info: SegmentInfo, loop: Callable[[], Any]) -> dict[str, Any]:
    """Run a training function as one segment; what every worker's train function becomes.

    Returns:
        `outcome` ("completed" or "suspended"), the final `beat`, and the training function's own `value`.
    """
    global _current
    context = ray.train.get_context()
    with Session(info, context.get_world_rank(), context.get_world_size()) as session:
        _current = session
        try:
            value = loop()
            session.complete()
            return {"outcome": "completed", "beat": session.final_beat, "value": value}
        except SegmentEnd:
            return {"outcome": "suspended", "beat": session.final_beat, "value": None}
        finally:
            _current = None
