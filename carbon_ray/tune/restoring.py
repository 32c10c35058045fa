"""Taking up a sweep after its driver was killed: accounts from the journal, held trials, and the base scheduler where it fits."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from ray.tune.experiment import Trial

from carbon_ray.tune.accounting import SweepAccounting
from carbon_ray.tune.base_scheduler import BaseScheduler
from carbon_ray.tune.book import SweepBook
from carbon_ray.tune.saving import SavedSweep

log = logging.getLogger(__name__)


class Restoring:
    """Takes up a sweep while Tune adds its trials again.

    Attributes:
        is_over: All trials are there, and the base scheduler is taken up or begun anew.

    Args:
        saved: What was saved; None where only the journal is there.
    """

    def __init__(self, saved: SavedSweep | None) -> None:
        self._saved = saved
        self._added: list[Trial] = []
        self.is_over = False

    @classmethod
    def begin(cls, accounting: SweepAccounting, now: datetime) -> Restoring | None:
        """Read what an earlier driver left in the experiment directory; None where there was none."""
        alive_at = accounting.replay()
        if alive_at is None and not accounting.ledger.accounts:
            return None
        for trial_id in accounting.ledger.running():  # they ran on until the driver was gone
            until_at = accounting.ledger.account(trial_id).until_at
            accounting.ledger.end(trial_id, max(until_at or now, min(alive_at or now, now)))
        log.info(
            "the sweep is taken up: %.1f gCO2e and %.3f kWh of %d trials are in its books",
            accounting.ledger.total_gco2,
            accounting.ledger.total_kwh,
            len(accounting.ledger.accounts),
        )
        return cls(accounting.saved())

    def fill(self, book: SweepBook) -> None:
        """What is known of how trials went."""
        if self._saved is not None:
            book.take_up(self._saved.past)

    def add(self, trial: Trial, book: SweepBook, now: datetime) -> None:
        """A trial was added: one that waited for clean hours, or for the base scheduler, waits on."""
        self._added.append(trial)
        if self._saved is None or trial.status != Trial.PENDING:
            return
        if trial.trial_id in self._saved.held:
            trial.set_status(Trial.PAUSED)
            book.held[trial.trial_id] = now
        elif trial.trial_id in self._saved.paused:
            trial.set_status(Trial.PAUSED)

    def finish(self, tune_controller: Any, fresh: BaseScheduler) -> BaseScheduler:
        """All trials are there: the base scheduler as it was, or the fresh one with all trials added."""
        self.is_over = True
        trials = {trial.trial_id: trial for trial in self._added}
        problem = "its state was not saved" if self._saved is None else self._saved.inconsistency(trials)
        if self._saved is not None and not problem:
            try:
                base = self._saved.restored(trials)
            except Exception as error:  # whatever a base scheduler does when it is unpickled
                problem = f"its state cannot be read ({type(error).__name__}: {error})"
            else:
                for trial in self._added:
                    if trial.trial_id not in base.seen and trial.trial_id not in base.done:
                        base.add(tune_controller, trial)
                log.info("%s goes on where it was, with %d trials", type(base.scheduler).__name__, len(base.seen))
                return base
        log.warning(
            "%s begins anew: %s. Lost are its comparisons of trials so far (rungs, brackets, populations); trials, checkpoints and carbon "
            "are not",
            type(fresh.scheduler).__name__,
            problem,
        )
        for trial in self._added:
            if self._saved is not None and trial.trial_id in self._saved.paused and trial.status == Trial.PAUSED:
                tune_controller._set_trial_status(trial, Trial.PENDING)  # who would have let it go on is gone
            fresh.add(tune_controller, trial)
        return fresh
