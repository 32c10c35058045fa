"""The user's own scheduler behind ours: it sees every trial and result as it would alone, and a held trial as one that is slow.

A trial that carbon_ray holds is PAUSED for Tune. Were the base scheduler to see that, it would resume the trial, yield to it, or count it
as waiting. So it is shown RUNNING while the base scheduler thinks, and is what it is again as soon as that acts on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.tune.remaining import Rungs


class ShownController:
    """Tune's controller as the base scheduler is shown it: acting on a held trial first makes it what it is.

    Args:
        tune_controller: What our scheduler was handed.
        masked: Held trials that are shown as running, by id.
    """

    def __init__(self, tune_controller: Any, masked: dict[str, Trial]) -> None:
        self._tune_controller, self._masked = tune_controller, masked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tune_controller, name)

    def stop_trial(self, trial: Trial, *arguments: Any, **named: Any) -> Any:
        """Stop a trial, be it held."""
        self._unmask(trial)
        return self._tune_controller.stop_trial(trial, *arguments, **named)

    def pause_trial(self, trial: Trial, *arguments: Any, **named: Any) -> Any:
        """Pause a trial, be it held."""
        self._unmask(trial)
        return self._tune_controller.pause_trial(trial, *arguments, **named)

    def _set_trial_status(self, trial: Trial, status: str) -> Any:
        self._unmask(trial)
        return self._tune_controller._set_trial_status(trial, status)

    def _schedule_trial_save(self, trial: Trial, *arguments: Any, **named: Any) -> Any:
        self._unmask(trial)
        return self._tune_controller._schedule_trial_save(trial, *arguments, **named)

    def _unmask(self, trial: Trial) -> None:
        if self._masked.pop(trial.trial_id, None) is not None:
            trial.status = Trial.PAUSED


class BaseScheduler:
    """Calls the base scheduler.

    Attributes:
        scheduler: The user's.
        seen: Iterations that it has seen, by trial.
        done: Trials of which it was told that they ended.
        stopped: Trials that it ended, and at which iteration.
        replayed: Trials of a restored sweep that do iterations again which it has seen before the kill.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self.scheduler = scheduler
        self.seen: dict[str, int] = {}
        self.done: set[str] = set()
        self.stopped: dict[str, int] = {}
        self.replayed: dict[str, int] = {}

    def add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial was added."""
        self.scheduler.on_trial_add(tune_controller, trial)
        self.seen.setdefault(trial.trial_id, 0)

    def result(self, tune_controller: Any, trial: Trial, result: dict[str, Any], held: Mapping[str, Trial]) -> str:
        """The base scheduler's own decision about a result."""
        iteration = int(result.get("training_iteration", self.seen.get(trial.trial_id, 0) + 1))
        if trial.trial_id in self.done:  # it ended before the kill, and does its last iterations again
            return str(TrialScheduler.STOP if iteration >= self.stopped.get(trial.trial_id, iteration + 1) else TrialScheduler.CONTINUE)
        before = self.replayed.get(trial.trial_id)
        if before is not None:
            if iteration <= before:
                return str(TrialScheduler.CONTINUE)  # decided before the kill: it went on
            del self.replayed[trial.trial_id]
        with self._showing(tune_controller, held) as shown:
            decision = str(self.scheduler.on_trial_result(shown, trial, result))
        self.seen[trial.trial_id] = iteration
        if decision == TrialScheduler.STOP:
            self.stopped[trial.trial_id] = iteration
        return decision

    def choose(self, tune_controller: Any, held: Mapping[str, Trial]) -> Trial | None:
        """The base scheduler's own choice of what to run; never one that carbon_ray holds."""
        with self._showing(tune_controller, held) as shown:
            chosen = self.scheduler.choose_trial_to_run(shown)
        return None if chosen is None or chosen.trial_id in held else chosen

    def complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any], held: Mapping[str, Trial]) -> None:
        """A running trial has ended."""
        if self._ends_anew(trial):
            with self._showing(tune_controller, held) as shown:
                self.scheduler.on_trial_complete(shown, trial, result)

    def remove(self, tune_controller: Any, trial: Trial, held: Mapping[str, Trial]) -> None:
        """A waiting trial has been ended."""
        if self._ends_anew(trial):
            with self._showing(tune_controller, held) as shown:
                self.scheduler.on_trial_remove(shown, trial)

    def error(self, tune_controller: Any, trial: Trial, held: Mapping[str, Trial]) -> None:
        """A running trial has failed."""
        if trial.trial_id not in self.done:
            with self._showing(tune_controller, held) as shown:
                self.scheduler.on_trial_error(shown, trial)

    def _ends_anew(self, trial: Trial) -> bool:
        """True unless the base scheduler was told of this end before the kill."""
        if trial.trial_id in self.done:
            return False
        self.done.add(trial.trial_id)
        self.seen.pop(trial.trial_id, None)
        return True

    @contextmanager
    def _showing(self, tune_controller: Any, held: Mapping[str, Trial]) -> Iterator[Any]:
        if not held:
            yield tune_controller
            return
        masked = {trial_id: trial for trial_id, trial in held.items() if trial.status == Trial.PAUSED}
        for trial in masked.values():
            trial.status = Trial.RUNNING
        try:
            yield ShownController(tune_controller, masked) if masked else tune_controller
        finally:
            for trial in masked.values():
                trial.status = Trial.PAUSED


_HALVING = ("AsyncHyperBandScheduler", "HyperBandScheduler", "HyperBandForBOHB")
_POPULATION = ("PopulationBasedTraining", "PB2")


def kinds_of(scheduler: TrialScheduler) -> Collection[str]:
    """Names of the scheduler's classes, and of those of a scheduler that it wraps."""
    names = {one.__name__ for one in type(scheduler).__mro__}
    inner = getattr(scheduler, "_base_scheduler", None)
    return names | set(kinds_of(inner)) if inner is not None else names


def rungs_of(scheduler: TrialScheduler, stop: object) -> Rungs:
    """What a base scheduler says of itself: its milestones, and how long a trial may run.

    Args:
        scheduler: The base scheduler.
        stop: What `RunConfig(stop=...)` says; only a number of iterations is used.
    """
    inner = getattr(scheduler, "_base_scheduler", None)
    if inner is not None:
        return rungs_of(inner, stop)
    limit = stop.get("training_iteration") if isinstance(stop, Mapping) else None
    counts_iterations = getattr(scheduler, "_time_attr", "training_iteration") == "training_iteration"
    longest = getattr(scheduler, "_max_t", None) or getattr(scheduler, "_max_t_attr", None)
    limits = [int(one) for one in (limit, longest if counts_iterations else None) if one]
    halves = counts_iterations and any(name in _HALVING for name in kinds_of(scheduler))
    reduction = float(getattr(scheduler, "_reduction_factor", 0) or getattr(scheduler, "_eta", 0) or 1.0)
    return Rungs.of(first_milestone(scheduler), reduction, min(limits) if limits else None, halves=halves)


def first_milestone(scheduler: TrialScheduler) -> int:
    """Iterations before which the scheduler ends no trial."""
    brackets = getattr(scheduler, "_brackets", None)
    if brackets:
        rungs = getattr(brackets[0], "_rungs", ())
        return max(1, round(min(milestone for milestone, _ in rungs))) if rungs else 1
    make = getattr(scheduler, "_get_r0", None)
    steps = getattr(scheduler, "_s_max_1", None)
    return max(1, int(make(steps - 1))) if callable(make) and steps else 1


def is_population(scheduler: TrialScheduler) -> bool:
    """Whether the scheduler copies one trial's checkpoint to another."""
    return any(name in _POPULATION for name in kinds_of(scheduler))
