"""`CarbonAwareTrainer`: any Ray Train V2 trainer, run where and when the grid is clean."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import ray
from ray.train import Result

from carbon_ray.actors.handles import ControllerClient
from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError, UnknownRegionError
from carbon_ray.core.objective import Objective, objective_named
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Overheads, ScalingProfile, Workload
from carbon_ray.train.driver import SegmentLoop, SegmentSettings
from carbon_ray.train.segment_trainer import require_supported, resources_per_worker, segment_trainer
from carbon_ray.train.session import SegmentInfo

log = logging.getLogger(__name__)

_QUICK_RETURN_S = "0.5"
"""Ray Train looks at its workers every 2 s by default, which is time that nodes are held for nothing at each segment's end."""

_STARTUP_WALL_S = 20.0
"""Start of a node, Ray Train's controller and workers until the first step, before it was measured; on two cores about 15 s."""

_MARGIN_FRACTION = 0.05
"""Safety margin before the deadline where none is given, as a share of the run time; the step rate is only an estimate."""


class CarbonAwareTrainer:
    """Runs a Ray Train V2 trainer in segments, where and when the cluster's controller says.

    The training function changes one import (`from carbon_ray.train import report`) and, as for any restartable training,
    begins from `ray.train.get_checkpoint()`.

    Args:
        trainer: A Ray Train V2 trainer instance with a fixed `num_workers`.
        deadline: When the work must be done, hard: an aware UTC instant of the cluster's clock, or a span from submission.
        objective: A preset ("carbon", "balanced", "cost", "deadline") or an `Objective`.
        regions: Regions it may run in; all of the cluster's by default.
        home_region: Where it would run otherwise; the first of `regions` by default.
        run_time: Expected time of the uninterrupted training. Half of the time to the deadline by default. It is replaced
            by what is measured as soon as steps are made, if `total_steps` is given.
        total_steps: Steps of the whole training, as counted by `metrics["step"]`.
        name: Name of the workload; `run_config.name` by default. The same name again goes on with the same run; after one that failed
            or was cancelled it begins a new run from the start, named `<name>-attempt-2` and so on.
        overheads: What suspending and moving cost; measured start-up times replace the given one.
        utilisation_fraction: Utilisation of the nodes while steps are made, for the power model.
        safety_margin: The plan ends this long before the deadline; a twentieth of `run_time` by default.
        worker_counts: Worker counts that it may be run with, `num_workers` among them; only that one by default. The training function
            must go on from a checkpoint of another count, and do the same steps with any.
        profile: Throughput by worker count; n workers count as n times as fast by default.
        run_time_high: Time that the uninterrupted training will hardly exceed, where `run_time` is an estimate; the deadline is
            met even then.
        max_moves: Most changes of region after the first start; any number by default.
        min_segment: A segment that has begun works at least so long.
        carbon_budget_gco2: Most emissions of the whole training, g; the expected ones are kept within it.
        cost_budget_usd: Most money for nodes and transfers of the whole training, likewise.
        checkpoint_every: Wall time between checkpoints that `report` takes by a callable.
        step_key: Metric that counts finished steps.

    Raises:
        ConfigError: An argument is wrong; says which.
    """

    def __init__(
        self,
        trainer: object,
        *,
        deadline: datetime | timedelta,
        objective: str | Objective = "balanced",
        regions: Sequence[str] | None = None,
        home_region: str | None = None,
        run_time: timedelta | None = None,
        total_steps: int | None = None,
        name: str | None = None,
        overheads: Overheads | None = None,
        utilisation_fraction: float = 0.9,
        safety_margin: timedelta | None = None,
        worker_counts: Sequence[int] = (),
        profile: ScalingProfile | None = None,
        run_time_high: timedelta | None = None,
        max_moves: int | None = None,
        min_segment: timedelta = timedelta(0),
        carbon_budget_gco2: float | None = None,
        cost_budget_usd: float | None = None,
        checkpoint_every: timedelta = timedelta(minutes=5),
        step_key: str = "step",
    ) -> None:
        self._trainer = require_supported(trainer)
        if isinstance(deadline, datetime):
            try:
                require_utc(deadline, "deadline")
            except ValueError as error:
                raise ConfigError(f"{error}; write datetime(..., tzinfo=UTC), or a timedelta from submission") from None
        elif not isinstance(deadline, timedelta):
            raise ConfigError(f"deadline must be a datetime or a timedelta, got {type(deadline).__name__}")
        if not isinstance(objective, (str, Objective)):
            raise ConfigError(f"objective must be a preset's name or an Objective(...), got {type(objective).__name__}")
        if regions is not None and not regions:
            raise ConfigError("regions is empty; name at least one region, or leave it out for all")
        if isinstance(regions, str):
            raise ConfigError(f"regions must be a list of names, got the text {regions!r}")
        self._deadline, self._regions, self._home_region = deadline, regions, home_region
        self._objective = objective_named(objective) if isinstance(objective, str) else objective
        self._run_time, self._total_steps, self._name = run_time, total_steps, name or self._trainer.run_config.name
        self._overheads, self._utilisation_fraction, self._safety_margin = overheads, utilisation_fraction, safety_margin
        if run_time_high is not None and run_time is None:
            raise ConfigError("run_time_high says how long the training may take at most; give run_time, the estimate, as well")
        counts = tuple(worker_counts)
        self._wishes: dict[str, Any] = {
            "worker_counts": counts,
            "profile": profile or (ScalingProfile.linear(max(counts)) if counts else ScalingProfile()),
            "work_h_high": None if run_time_high is None else hours(run_time_high),
            "max_moves": max_moves,
            "min_segment_s": min_segment.total_seconds(),
            "carbon_budget_gco2": carbon_budget_gco2,
            "cost_budget_usd": cost_budget_usd,
        }
        failure = self._trainer.run_config.failure_config
        self._settings = SegmentSettings(
            step_key=step_key,
            checkpoint_every_s=checkpoint_every.total_seconds(),
            max_failures=failure.max_failures if failure is not None else 0,
        )

    def fit(self) -> Result:
        """Train to the end, wherever and whenever that is, and return Ray's result of the last segment.

        Raises:
            DeadlinePassed, DeadlineTooShort, NoCapacityError, UnknownRegionError: The workload cannot be accepted as asked.
            ControllerUnavailable: The cluster has no carbon_ray controller.
            ray.train.TrainingFailedError: The training code failed more often than `FailureConfig.max_failures` allows.
        """
        if not ray.is_initialized():
            ray.init(address=os.environ.get("RAY_ADDRESS", "auto"))
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", _QUICK_RETURN_S)
        controller = ControllerClient()
        workload = controller.submit(self._workload(controller))
        log.info("workload %s accepted: deadline %s", workload.workload_id, workload.deadline_at)

        def fit(info: SegmentInfo) -> Result:
            return segment_trainer(self._trainer, info, workload.workload_id).fit()

        result, returned = SegmentLoop(workload, fit, controller, self._settings).run()
        return replace(result, return_value=returned["value"])

    def _workload(self, controller: ControllerClient) -> Workload:
        known = controller.config().regions
        regions = tuple(self._regions or known)
        home = self._home_region or regions[0]
        for region in (*regions, home):
            if region not in known:
                raise UnknownRegionError(region, tuple(known))
        now = controller.begin()
        deadline_at = now + self._deadline if isinstance(self._deadline, timedelta) else self._deadline
        if self._run_time is None:
            run_time = max(timedelta(minutes=1), (deadline_at - now) / 2)
            log.warning("run_time is not given: assuming %s, half of the time to the deadline, until steps are measured", run_time)
        else:
            run_time = self._run_time
        margin = run_time * _MARGIN_FRACTION if self._safety_margin is None else self._safety_margin
        speedup = controller.clock().speedup
        overheads = self._overheads or Overheads(startup_s=_STARTUP_WALL_S * speedup)
        if overheads.checkpoint_every_s is None:
            overheads = dataclasses.replace(overheads, checkpoint_every_s=max(1.0, self._settings.checkpoint_every_s) * speedup)
        try:
            return Workload(
                workload_id=self._name,
                work_h=hours(run_time),
                workers=self._trainer.scaling_config.num_workers,
                resources_per_worker=resources_per_worker(self._trainer),
                home_region=home,
                regions=regions,
                submitted_at=now,
                deadline_at=deadline_at,
                objective=self._objective,
                overheads=overheads,
                utilisation_fraction=self._utilisation_fraction,
                total_steps=self._total_steps,
                safety_margin_s=margin.total_seconds(),
                **self._wishes,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
