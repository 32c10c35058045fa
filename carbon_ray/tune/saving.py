"""What has to outlive a killed driver and Tune does not keep: the base scheduler's state, and which trials were held or paused.

The base scheduler is pickled with names in the place of Tune's trial objects, because a restored sweep has other objects of the same
names. It is taken up again only if it knows no less than the restored sweep does; else it begins anew, and what is lost is said.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray import cloudpickle
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.tune.base_scheduler import BaseScheduler
from carbon_ray.tune.book import Past


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # ray is untyped
    def persistent_id(self, obj: object) -> str | None:
        return obj.trial_id if isinstance(obj, Trial) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, trials: Mapping[str, Trial]) -> None:
        super().__init__(file)
        self._trials = trials

    def persistent_load(self, pid: Any) -> Trial:
        return self._trials[pid]


def dumped(scheduler: TrialScheduler) -> bytes:
    """A base scheduler, trials by name."""
    file = io.BytesIO()
    _Pickler(file).dump(scheduler)
    return file.getvalue()


def loaded(content: bytes, trials: Mapping[str, Trial]) -> TrialScheduler:
    """A base scheduler with the trials of this sweep.

    Raises:
        KeyError: It knows a trial that is not there.
    """
    scheduler: TrialScheduler = _Unpickler(io.BytesIO(content), trials).load()
    return scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSweep:
    """State of a sweep at the instant at which Tune saved its own.

    Attributes:
        base: The base scheduler, pickled.
        seen: Iterations that it had seen, by trial.
        done: Trials that had ended for it.
        stopped: Trials that it ended, and at which iteration.
        held: Trials that carbon_ray held.
        paused: Trials that the base scheduler had paused.
        past: How trials had gone.
    """

    base: bytes
    seen: Mapping[str, int]
    done: frozenset[str]
    stopped: Mapping[str, int]
    held: frozenset[str]
    paused: frozenset[str]
    past: Past = field(default_factory=Past)

    def inconsistency(self, trials: Mapping[str, Trial]) -> str:
        """Why the base scheduler's state does not fit the restored trials; empty where it does."""
        missing = [trial_id for trial_id in self.seen if trial_id not in trials]
        if missing:
            return f"it knows {len(missing)} trials that the restored sweep does not have ({missing[0]}, ...)"
        for trial_id, trial in trials.items():
            if trial_id not in self.seen and trial_id not in self.done:
                continue
            resumed_at = checkpointed_iteration(trial)
            if trial_id in self.seen and self.seen[trial_id] < resumed_at:
                return f"it has seen trial {trial_id} up to iteration {self.seen[trial_id]}, and that goes on from {resumed_at}"
        return ""

    def restored(self, trials: Mapping[str, Trial]) -> BaseScheduler:
        """The base scheduler as it was, with the trials of this sweep.

        Raises:
            KeyError: It knows a trial that is not there.
        """
        base = BaseScheduler(loaded(self.base, trials))
        base.seen, base.done, base.stopped = dict(self.seen), set(self.done), dict(self.stopped)
        base.replayed = {
            trial_id: self.seen[trial_id] for trial_id, trial in trials.items() if self.seen.get(trial_id) and not trial.is_finished()
        }
        return base


def checkpointed_iteration(trial: Trial) -> int:
    """Iteration from which a restored trial goes on."""
    result = trial.latest_checkpoint_result
    return int(result.metrics.get("training_iteration", 0)) if result is not None and result.metrics else 0
