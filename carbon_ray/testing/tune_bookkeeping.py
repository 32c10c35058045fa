"""The side of a virtual Tune loop that schedulers see: trials, their states, and the calls that change them, under Tune's names."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from ray.train._internal.session import _TrainingResult
from ray.tune import Callback, Checkpoint
from ray.tune.callback import CallbackList
from ray.tune.execution.tune_controller import TrialRunnerWrapper
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.tune_events import LoopEvent, LoopStretch, LoopTiming, Slot
from carbon_ray.testing.tune_trials import ListedTrials, SavedAtOnce, VirtualTrainable
from carbon_ray.tune.columns import COLUMNS

DEFAULT_MAX_PENDING = 200
"""What Tune takes for its own variant generator; custom searchers have 1 or their limit."""


class LoopController:
    """What a trial scheduler sees of Tune's controller, and what the loop needs to keep its books. Arguments: see `TuneLoop`."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        trainable: VirtualTrainable,
        searcher: ListedTrials,
        *,
        clock: ManualClock,
        slots: int | Mapping[str, int],
        metric: str = "score",
        mode: str = "max",
        callbacks: Sequence[Callback] = (),
        timing: LoopTiming | None = None,
        stopper: Any = None,
        fail_at: Mapping[str, int] | None = None,
        directory: str | None = None,
        end_at: datetime | None = None,
        max_pending: int = DEFAULT_MAX_PENDING,
        reuse_actors: bool = False,
    ) -> None:
        self._scheduler_alg, self._trainable, self._search_alg, self._clock = scheduler, trainable, searcher, clock
        self._room: dict[str, int] = dict(slots) if isinstance(slots, Mapping) else {"": slots}
        self._timing = timing or LoopTiming()
        self._callbacks = CallbackList(list(callbacks))
        self._stopper, self._fail_at = stopper, dict(fail_at or {})
        self._end_at = end_at or clock.now() + timedelta(days=365)
        self._default_max_pending = self._max_pending_trials = max_pending
        self._reuse_actors, self._metric = reuse_actors, metric
        self._storage = (
            None if directory is None else SimpleNamespace(experiment_fs_path=directory, experiment_driver_staging_path=directory)
        )
        self._trials: list[Trial] = []
        self._live_trials: set[Trial] = set()
        self._pending_trials_list: list[Trial] = []
        self._staged_trials: set[Trial] = set()
        self._trial_to_actor: dict[Trial, Slot] = {}
        self._actor_to_trial: dict[Any, Trial] = {}
        self._waiting: list[Trial] = []
        self._by_status: dict[str, set[Trial]] = {
            status: set() for status in (Trial.PENDING, Trial.RUNNING, Trial.PAUSED, Trial.TERMINATED, Trial.ERROR)
        }
        self._heap: list[tuple[float, int, str, Trial, int]] = []
        self._serial = self._iteration = self._epochs = 0
        self._changed = False
        self._trained_s: dict[str, float] = {}
        self._queue_start_at = clock.now()
        self.events: list[LoopEvent] = []
        self.stretches: list[LoopStretch] = []
        self._executor = SimpleNamespace(
            has_resources_for_trial=lambda trial: True,
            pause_trial=self.pause_trial,
            save=self._schedule_trial_save,
            _resource_updater=SimpleNamespace(get_num_cpus=lambda: float(sum(self._room.values())), get_num_gpus=lambda: 0.0),
        )
        if not scheduler.set_search_properties(metric, mode, total_num_samples=searcher.total_samples):
            raise ValueError("the scheduler has a metric of its own; leave it out there")
        self._callbacks.setup(total_num_samples=searcher.total_samples)

    # What schedulers see of Tune's controller, by its names

    @property
    def search_alg(self) -> ListedTrials:
        """The searcher."""
        return self._search_alg

    @property
    def _pending_trials(self) -> set[Trial]:
        return self._by_status[Trial.PENDING]

    @property
    def _actor_manager(self) -> LoopController:
        return self

    @property
    def _live_actors_to_ray_actors_resources(self) -> list[Slot]:
        return [slot for slot in self._trial_to_actor.values() if slot.stretch is not None]

    @property
    def _actor_cache(self) -> SimpleNamespace:
        return SimpleNamespace(decrease_max=lambda request: None)

    def get_trials(self) -> list[Trial]:
        """All trials."""
        return self._trials

    def get_live_trials(self) -> set[Trial]:
        """Those that have not ended."""
        return self._live_trials

    def update_max_pending_trials(self, max_pending_trials: int | None = None) -> None:
        """How many trials may wait for a slot; None: as Tune sets it."""
        most = max_pending_trials or self._default_max_pending
        self._changed |= most != self._max_pending_trials  # Tune's loop comes round again in a tenth of a second: no time passes
        self._max_pending_trials = most

    def remove_actor(self, tracked_actor: Slot) -> bool:
        """Cancel what a staged trial has asked for."""
        self._waiting.remove(tracked_actor.trial)
        return False

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:
        """Pause, with a checkpoint where the trial makes one."""
        if trial not in self._trial_to_actor:
            return
        if should_checkpoint and trial.status == Trial.RUNNING:
            self._save(trial)
        self._release(trial)
        self._set_trial_status(trial, Trial.PAUSED)
        self._note("paused", trial)

    def stop_trial(self, trial: Trial) -> None:
        """End a trial for good."""
        if trial.status in (Trial.ERROR, Trial.TERMINATED):
            return
        if trial.status == Trial.RUNNING:
            self._scheduler_alg.on_trial_complete(self, trial, dict(trial.last_result))
            self._search_alg.on_trial_complete(trial.trial_id, result=dict(trial.last_result))
        else:
            self._scheduler_alg.on_trial_remove(self, trial)
            self._search_alg.on_trial_complete(trial.trial_id)
        self._callbacks.on_trial_complete(iteration=self._iteration, trials=self._trials, trial=trial)
        self._release(trial)
        self._set_trial_status(trial, Trial.TERMINATED)
        self._live_trials.discard(trial)
        self._note("ended" if trial.last_result.get("done") else "stopped", trial)

    def _schedule_trial_save(self, trial: Trial, result: Mapping[str, Any] | None = None) -> SavedAtOnce:
        return SavedAtOnce(self._save(trial, result))

    def _set_trial_status(self, trial: Trial, status: str) -> None:
        if trial.status == status:
            return
        self._by_status[trial.status].remove(trial)
        self._by_status[status].add(trial)
        if status == Trial.PENDING:
            self._pending_trials_list.append(trial)
        trial.status = status
        self._changed = True

    def _wrapped(self) -> TrialRunnerWrapper:
        return TrialRunnerWrapper(
            self,
            trial_executor=self._executor,
            runner_whitelist_attr={
                "search_alg",
                "get_trials",
                "get_live_trials",
                "_set_trial_status",
                "pause_trial",
                "stop_trial",
                "_schedule_trial_save",
            },
            executor_whitelist_attr={"has_resources_for_trial", "pause_trial", "save", "_resource_updater"},
        )

    def _save(self, trial: Trial, result: Mapping[str, Any] | None = None) -> _TrainingResult | None:
        """A function trainable has the checkpoint that it reported last."""
        every = self._timing.save_every
        last = dict(result or trial.last_result)
        iteration = int(last.get("training_iteration", 0))
        manager = trial.run_metadata.checkpoint_manager
        if not every or iteration == 0 or iteration % every:
            return manager.latest_checkpoint_result
        reported = {name: value for name, value in last.items() if name not in COLUMNS}  # the worker saves, which knows no columns
        manager._latest_checkpoint_result = _TrainingResult(
            checkpoint=Checkpoint(path=f"/virtual/{trial.trial_id}/{iteration:06d}"), metrics=reported
        )
        return manager._latest_checkpoint_result

    def _release(self, trial: Trial) -> None:
        self._staged_trials.discard(trial)
        slot = self._trial_to_actor.pop(trial, None)
        if slot is None:
            return
        if slot.stretch is None:
            self._waiting.remove(trial)
            return
        slot.stretch.end_at = self._clock.now() + timedelta(seconds=self._timing.stop_s)
        self.stretches.append(slot.stretch)
        if self._timing.stop_s:
            self._serial += 1
            due_s = (slot.stretch.end_at - self._queue_start_at).total_seconds()
            heapq.heappush(self._heap, (due_s, self._serial, "free", slot, 0))
        else:
            self._room[slot.region] += 1
        self._changed = True

    def _note(self, kind: str, trial: Trial) -> None:
        slot = self._trial_to_actor.get(trial)
        self.events.append(
            LoopEvent(
                at=self._clock.now(),
                kind=kind,
                trial_id=trial.trial_id,
                iteration=int(trial.last_result.get("training_iteration", 0)),
                region=slot.region if slot else "",
            )
        )
