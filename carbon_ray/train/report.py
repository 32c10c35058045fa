"""`report`: the one changed import in a training function."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import ray.train

from carbon_ray.train.session import current


def report(metrics: Mapping[str, Any], checkpoint: ray.train.Checkpoint | Callable[[str], object] | None = None, **options: Any) -> None:
    """Report a step as `ray.train.report` does, and let the segment end here if the plan wants it to.

    With a checkpoint or none, this is Ray's `report`, and the segment may end at calls that carry a checkpoint. With a
    callable, it may be called at every step at next to no cost: the callable writes a checkpoint into the directory it is
    given, and is called (and the report handed to Ray) only when a checkpoint is due: before a suspend or move, at regular
    intervals, and at the end. All ranks must call `report` equally often and in the same form.

    When the segment ends, `report` does not return: it unwinds the training function (`finally` blocks run), after the
    checkpoint is safe. The next segment finds it in `ray.train.get_checkpoint()`.

    Args:
        metrics: As for Ray. `step`, where given, counts finished steps.
        checkpoint: A checkpoint, a callable that writes one, or None.
        options: Passed on to `ray.train.report`.
    """
    session = current()
    if session is not None:
        session.report(metrics, checkpoint, options)
    elif callable(checkpoint):
        _save_at_once(metrics, checkpoint, options)
    else:
        ray.train.report(dict(metrics), checkpoint=checkpoint, **options)


def _save_at_once(metrics: Mapping[str, Any], save: Callable[[str], object], options: Mapping[str, Any]) -> None:
    """Outside a CarbonAwareTrainer nobody decides when a checkpoint is due: every one is taken."""
    directory = tempfile.mkdtemp(prefix="carbon-ray-checkpoint-")
    try:
        save(directory)
        ray.train.report(dict(metrics), checkpoint=ray.train.Checkpoint.from_directory(directory), **options)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
