"""`CarbonAwareTuneScheduler`: any Ray Tune scheduler, with its trials run when and where the grid is clean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from carbon_ray.core.clock import Clock
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.state import SweepPolicy
from carbon_ray.tune import checks
from carbon_ray.tune.columns import CarbonColumns
from carbon_ray.tune.grid import Forecasts
from carbon_ray.tune.running import SweepRun
from carbon_ray.tune.settings import SearchProperties, SweepSettings, default_policy


class CarbonAwareTuneScheduler(TrialScheduler):  # type: ignore[misc]  # ray is untyped
    """Wraps a Tune scheduler: `TuneConfig(scheduler=CarbonAwareTuneScheduler(ASHAScheduler(...)))`.

    The base scheduler's decisions keep their meaning and their order. Besides, trials are held in dirty hours (their resources are
    free meanwhile), the promising ones run in dirty ones too, the sweep keeps a carbon budget, and every result tells what it cost.

    Args:
        base: Any Tune scheduler; FIFO by default.
        carbon_budget_gco2: Most that the whole sweep may emit, g; it ends when that is used up.
        deadline: When the sweep has to be done: an aware UTC instant of the clock, or a span from its first trial.
        objective: A preset ("carbon", "balanced", "cost", "deadline") or an `Objective`.
        min_concurrency: Trials that run whatever the grid says.
        max_concurrency: Trials that may run at once; as many as the cluster holds by default.
        policy: Decides how many trials may run, and which; carbon_ray's own by default.
        regions: Where trials may run: regions of the cluster by name, `Region(...)`, or zones of the embedded profile. All regions of
            the cluster by default. Trials change regions only where there are several.
        forecasts: Where forecasts come from; the cluster's forecast actor by default, and where there is none the embedded profile,
            which the log and the results then say.
        power_w: What one running trial draws, W at the node; by default its share of the node by the node's power model.
        allow_restart_from_zero: Hold also trials that save no checkpoint to Tune: their function is called anew when they go on. Right
            where it finds its own checkpoint (a Ray Train run inside), a waste where it does not.
        clock: The sweep's time; the cluster's by default, else the system's.

    Raises:
        ConfigError: An argument is wrong; says which.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        base: TrialScheduler | None = None,
        *,
        carbon_budget_gco2: float | None = None,
        deadline: datetime | timedelta | None = None,
        objective: str | Objective = "carbon",
        min_concurrency: int = 0,
        max_concurrency: int | None = None,
        policy: SweepPolicy | None = None,
        regions: Sequence[Region | str] | None = None,
        forecasts: Forecasts | None = None,
        power_w: float | None = None,
        allow_restart_from_zero: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        checks.require_base(base)
        checks.require_counts(min_concurrency, max_concurrency)
        self._base = base or FIFOScheduler()
        self._settings = SweepSettings(
            budget_gco2=checks.require_positive("carbon_budget_gco2", carbon_budget_gco2),
            deadline=checks.require_deadline(deadline),
            objective=checks.objective_of(objective),
            min_concurrency=min_concurrency,
            max_concurrency=max_concurrency,
            policy=policy or default_policy(),
            regions=regions,
            forecasts=forecasts,
            power_w=checks.require_positive("power_w", power_w),
            allow_restart_from_zero=allow_restart_from_zero,
            clock=clock,
        )
        self._search = SearchProperties()
        self._run: SweepRun | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What Tune saves before the sweep begins: what was asked for, not what has happened."""
        return {**self.__dict__, "_run": None}

    @property
    def base(self) -> TrialScheduler:
        """The base scheduler."""
        return self._run.base.scheduler if self._run is not None else self._base

    @property
    def callback(self) -> Callback:
        """The companion callback, for a Tune in which the scheduler cannot install it: put it first in `RunConfig(callbacks=[...])`."""
        return CarbonColumns(_Late(self))

    @property
    def run(self) -> SweepRun | None:
        """The running sweep; None before its first trial."""
        return self._run

    @property
    def wakes_at(self) -> datetime | None:
        """When the policy wants to be asked again, by the sweep's clock; None: now."""
        return self._run.wakes_at if self._run is not None else None

    @property
    def metric(self) -> str | None:
        """The base scheduler's metric."""
        metric: str | None = self.base.metric
        return metric

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Hand metric and mode on, and note them.

        Raises:
            ConfigError: The sweep has a setting that does not go together with holding.
        """
        checks.require_spec(spec)
        if not self._base.set_search_properties(metric, mode, **spec):
            return False
        self._search = SearchProperties(
            metric=metric or getattr(self._base, "_metric", None),
            mode=mode or getattr(self._base, "_mode", None) or "max",
            stop=spec.get("stop"),
        )
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial was added; the first one begins the sweep.

        Raises:
            ConfigError: The sweep has a setting that does not go together with holding, or it is not said which grid feeds the nodes.
        """
        if self._run is None:
            self._run = SweepRun(self._settings, self._base, self._search, tune_controller, trial)
        self._run.add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """The base scheduler's decision; where that is to go on, whether the trial may."""
        return self._running().result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A running trial has ended."""
        self._running().complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """A waiting trial has been ended."""
        self._running().remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A running trial has failed."""
        self._running().error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next trial to run, if any may."""
        if self._run is None:
            return None
        return self._run.choose(tune_controller)

    def debug_string(self) -> str:
        """A line for the console."""
        return f"{self._run.debug_string() if self._run is not None else 'Carbon-aware'}\n{self.base.debug_string()}"

    def _running(self) -> SweepRun:
        if self._run is None:
            raise RuntimeError("a result of a trial that was never added")
        return self._run


class _Late:
    """Accounts for a sweep that may not have begun."""

    def __init__(self, scheduler: CarbonAwareTuneScheduler) -> None:
        self._scheduler = scheduler

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._scheduler.run, name, lambda *arguments: {})
