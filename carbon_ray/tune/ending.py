"""Trials that end before their time: because the policy says so, or because the sweep's budget or time is used up."""

from __future__ import annotations

import logging
from typing import Any

from ray.tune.experiment import Trial

from carbon_ray.policies.sweeps.state import SweepDecision
from carbon_ray.tune.accounting import SweepAccounting
from carbon_ray.tune.book import SweepBook
from carbon_ray.tune.internals import TuneInternals

log = logging.getLogger(__name__)


class Ending:
    """Says which trials are to end, and ends those that do not run.

    Args:
        budget_gco2: Most that the sweep may emit; None: no budget.
        accounting: The books.
        book: The trials.
    """

    def __init__(self, budget_gco2: float | None, accounting: SweepAccounting, book: SweepBook) -> None:
        self._budget_gco2, self._accounting, self._book = budget_gco2, accounting, book

    def why(self, trial_id: str, decision: SweepDecision | None) -> str | None:
        """Why a running trial is to end at this result; None where it is not."""
        if self._budget_gco2 is not None:
            spent_gco2 = self._accounting.ledger.total_gco2
            if spent_gco2 + self._accounting.next_iterations_gco2(self._book.iteration_s) > self._budget_gco2:
                return f"the budget of {self._budget_gco2:.6g} gCO2e is used up but for {self._budget_gco2 - spent_gco2:.3g}"
        return decision.stop.get(trial_id) if decision is not None else None

    def end_waiting(self, tune_controller: Any, internals: TuneInternals, decision: SweepDecision) -> None:
        """End trials that do not run and are not to run any more."""
        is_over = decision.is_over or self._is_used_up()
        if is_over:
            tune_controller.search_alg.set_finished()
        if not (is_over or decision.stop):
            return
        for one in list(self._book.live.values()):
            if one.handle.status == Trial.RUNNING or not (is_over or one.trial_id in decision.stop):
                continue
            reason = decision.stop.get(one.trial_id) or "the budget or the time of the sweep is used up"
            log.info("trial %s ends before it goes on: %s", one.trial_id, reason)
            internals.unstage(one.handle)
            self._book.held.pop(one.trial_id, None)
            tune_controller.stop_trial(one.handle)

    def _is_used_up(self) -> bool:
        """Not one more iteration fits into the budget, and none is under way."""
        if self._budget_gco2 is None or not self._book.live or self._accounting.ledger.running():
            return False
        return self._accounting.ledger.total_gco2 + self._accounting.one_iteration_gco2(self._book.iteration_s) > self._budget_gco2
