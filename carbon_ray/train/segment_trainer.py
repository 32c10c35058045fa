"""Making one segment's trainer out of the user's: same code and data, another region and name of the run. Public API of Ray only."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ray.train import FailureConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.train.session import SegmentInfo, run_segment


def require_supported(trainer: object) -> DataParallelTrainer:
    """The trainer itself, if it can be run in segments.

    Raises:
        ConfigError: It is no Ray Train V2 trainer, runs in local mode, or is elastic by itself.
    """
    if not isinstance(trainer, DataParallelTrainer):
        raise ConfigError(
            f"CarbonAwareTrainer takes a Ray Train V2 trainer instance (TorchTrainer(...), LightGBMTrainer(...)), "
            f"got {type(trainer).__name__}; the V2 data-parallel class is ray.train.v2.api.data_parallel_trainer.DataParallelTrainer"
        )
    workers = trainer.scaling_config.num_workers
    if not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"scaling_config.num_workers must be a number of at least 1, got {workers!r}; carbon_ray decides about rescaling")
    return trainer


def resources_per_worker(trainer: DataParallelTrainer) -> dict[str, float]:
    """Ray resources of one worker, with Ray Train's own defaults."""
    scaling = trainer.scaling_config
    resources = {name: float(amount) for name, amount in (scaling.resources_per_worker or {}).items()}
    if scaling.use_gpu:
        resources.setdefault("GPU", 1.0)
    elif not resources:
        resources["CPU"] = 1.0
    return {name: amount for name, amount in resources.items() if amount > 0}


def segment_trainer(trainer: DataParallelTrainer, info: SegmentInfo, run_name: str) -> DataParallelTrainer:
    """A trainer of the same class that runs one segment of `trainer`'s work where `info` says.

    Args:
        trainer: The user's trainer; left as it is.
        info: The segment.
        run_name: Name of the run; equal for all segments, so that each finds the checkpoints of the one before.
    """
    selector = trainer.scaling_config.label_selector
    region = {REGION_LABEL: info.placement.region}
    if isinstance(selector, list):
        placed: Any = [{**one, **region} for one in selector]
    else:
        placed = {**(selector or {}), **region}
    clone = copy.copy(trainer)
    DataParallelTrainer.__init__(
        clone,
        segment_loop(trainer.train_loop_per_worker, info),
        train_loop_config=trainer.train_loop_config,
        backend_config=trainer.backend_config,
        scaling_config=replace(trainer.scaling_config, num_workers=info.placement.workers, label_selector=placed),
        # A failed attempt comes back to the segment loop, which books it and may go on elsewhere.
        run_config=replace(trainer.run_config, name=run_name, failure_config=FailureConfig(max_failures=0, max_preemption_failures=0)),
        datasets=trainer.datasets,
        dataset_config=trainer.data_config,
        validation_config=trainer.validation_config,
    )
    return clone


def segment_loop(loop: Callable[..., Any], info: SegmentInfo) -> Callable[..., Any]:
    """The training function as one segment; takes a configuration exactly where the user's does."""
    if inspect.signature(loop).parameters:

        def configured(config: Mapping[str, Any]) -> dict[str, Any]:
            return run_segment(info, lambda: loop(config))

        return configured

    def plain() -> dict[str, Any]:
        return run_segment(info, loop)

    return plain
