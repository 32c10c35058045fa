"""The companion callback: it opens and closes the accounts of trials, and writes the carbon columns into every result.

The scheduler installs it before all other callbacks, so that loggers, progress.csv and the result grid have the columns.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial

from carbon_ray.cluster.once import OncePerCause
from carbon_ray.tune.logged_rows import keep_rows

log = logging.getLogger(__name__)

ENERGY, CARBON, INTENSITY, INTENSITY_SHORT, HELD, SOURCE = (
    "energy_kwh",
    "carbon_gco2",
    "carbon_intensity_gco2_per_kwh",
    "carbon_intensity",
    "held_s",
    "carbon_source",
)
COLUMNS = (ENERGY, CARBON, INTENSITY, INTENSITY_SHORT, HELD, SOURCE)
"""Columns of every result: what the trial has drawn (PUE included) and emitted so far, the intensity now, for how long it was held,
and where the intensity comes from. `carbon_intensity` is the same number under a short name."""


class Accounting(Protocol):
    """Keeps the books of a sweep; the scheduler does."""

    def note_started(self, trial: Trial) -> None:
        """A trial has its place."""
        ...

    def columns(self, trial: Trial, result: dict[str, Any]) -> dict[str, float | str]:
        """Account for a result that may not have been seen before, and tell the columns."""
        ...

    def note_gone(self, trial: Trial) -> None:
        """A trial has ended or lost its node."""
        ...

    def tick(self) -> None:
        """A step of Tune's loop is over."""
        ...

    def close(self) -> None:
        """The sweep is over."""
        ...


class CarbonColumns(Callback):  # type: ignore[misc]  # ray is untyped
    """Writes the columns. Whatever fails here is logged and leaves the sweep alone.

    Args:
        accounting: Keeps the books.
    """

    def __init__(self, accounting: Accounting) -> None:
        self._accounting = accounting
        self._once = OncePerCause(log)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial's actor is there; its loggers are told next."""
        self._attempt(lambda: self._accounting.note_started(trial))
        self._attempt(lambda: keep_rows(trial))

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any) -> None:
        """A result is about to be logged."""
        self._attempt(lambda: result.update(self._accounting.columns(trial, result)))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has ended."""
        self._attempt(lambda: self._accounting.note_gone(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has failed for good."""
        self._attempt(lambda: self._accounting.note_gone(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has failed and goes on from its checkpoint."""
        self._attempt(lambda: self._accounting.note_gone(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """A step of Tune's loop is over."""
        self._attempt(self._accounting.tick)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """The sweep is over."""
        self._attempt(self._accounting.close)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except Exception as error:  # the sweep is worth more than its books
            self._once.warn(type(error).__name__, f"the carbon columns are not complete: {type(error).__name__}: {error}")
