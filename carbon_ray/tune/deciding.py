"""Asking the policy: only when something has changed and some time has passed, or when it asked to be asked; and noting what it said.

A policy that fails, or a grid of which nothing is known, holds nobody: everything runs, and the reason is in the log and in the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from carbon_ray.cluster.once import OncePerCause
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.state import SweepDecision, SweepPolicy, SweepView
from carbon_ray.tune.journal import text_of
from carbon_ray.tune.ledger import Appendable

log = logging.getLogger(__name__)

LEAST_GAP_S = 60.0
"""Seconds of the clock between two questions that are asked because something has changed."""
LEAST_WALL_GAP_S = 1.0
"""Wall seconds between any two questions, so that a fast replay, or a policy that wants to be asked at once, does not ask all the time."""
AFTER_FAILURE_S = 600.0
"""Seconds until a policy that failed is asked again."""
LONGEST_GAP_S = 3600.0
"""A decision is looked at again at least so often, whatever its `check_at` says."""


class Decider:
    """Keeps the current decision.

    Attributes:
        decision: What may run now.
        asked: How often the policy was asked.

    Args:
        policy: Decides.
        regions: Where trials may run.
        speedup: Seconds of the clock in a wall second.
        decisions: Takes a line for every decision that says something else than the one before.
    """

    def __init__(self, policy: SweepPolicy, regions: Sequence[Region], speedup: float, decisions: Appendable | None) -> None:
        self._policy, self._regions, self._decisions = policy, tuple(regions), decisions
        self._floor = timedelta(seconds=LEAST_WALL_GAP_S * speedup)
        self._gap = max(timedelta(seconds=LEAST_GAP_S), self._floor)
        self._once = OncePerCause(log)
        self._is_stale = True
        self._asked_at: datetime | None = None
        self._said: tuple[object, ...] = ()
        self._wakes_at: datetime | None = None
        self.decision: SweepDecision | None = None
        self.asked = 0

    def note_change(self) -> None:
        """Something has changed that a decision may hang on."""
        if not self._is_stale:
            self._is_stale = True
            self._wakes_at = self._next()

    @property
    def wakes_at(self) -> datetime | None:
        """When the policy is to be asked at the latest; None: now."""
        return self._wakes_at

    def _next(self) -> datetime | None:
        if self.decision is None or self._asked_at is None:
            return None
        check_at = min(self.decision.check_at, self._asked_at + timedelta(seconds=LONGEST_GAP_S))
        wakes_at = max(check_at, self._asked_at + self._floor)
        return min(wakes_at, self._asked_at + self._gap) if self._is_stale else wakes_at

    def is_due(self, now: datetime) -> bool:
        """Whether the policy is to be asked now."""
        return self._wakes_at is None or now >= self._wakes_at

    def ask(
        self, view: Callable[[], SweepView], snapshot: ForecastSnapshot | None, now: datetime, context: Mapping[str, Any]
    ) -> SweepDecision:
        """Ask, whether due or not.

        Args:
            view: Makes the view.
            snapshot: Forecasts; None where there are none.
            now: The present instant.
            context: Further fields of the line in the decisions file.
        """
        seen = view()
        self.asked += 1
        self._asked_at, self._is_stale = now, False
        if snapshot is None:
            decision = self._everything(seen, now, "no forecast: everything runs")
        else:
            try:
                decision = self._policy.decide(seen, self._regions, snapshot, now=now)
                self._once.clear()
            except Exception as error:  # a plug-in may raise anything; the sweep goes on
                reason = f"the policy failed ({type(error).__name__}: {error}): everything runs"
                self._once.warn(type(error).__name__, reason)
                decision = self._everything(seen, now, reason)
        self.decision = self._at_least(decision, seen)
        self._wakes_at = self._next()
        self._note(self.decision, now, context)
        return self.decision

    def _everything(self, view: SweepView, now: datetime, reason: str) -> SweepDecision:
        left, slots = view.max_concurrency, {}
        for region in self._regions:
            slots[region.name] = min(left, view.room.get(region.name, left))
            left -= slots[region.name]
        return SweepDecision(slots=slots, check_at=now + timedelta(seconds=AFTER_FAILURE_S), reason=reason)

    def _at_least(self, decision: SweepDecision, view: SweepView) -> SweepDecision:
        """The user's `min_concurrency` holds whatever a policy says."""
        missing = min(view.min_concurrency, view.max_concurrency) - decision.concurrency
        if missing <= 0 or decision.is_over:
            return decision
        slots = dict(decision.slots)
        first = next(iter(slots), self._regions[0].name)
        slots[first] = slots.get(first, 0) + missing
        return replace(decision, slots=slots, reason=f"{decision.reason}; {view.min_concurrency} run at least, as asked")

    def _note(self, decision: SweepDecision, now: datetime, context: Mapping[str, Any]) -> None:
        says = (tuple(sorted(decision.slots.items())), tuple(sorted(decision.stop)), decision.is_over)
        if says == self._said:
            return
        self._said = says
        places = ", ".join(f"{count} in {region}" for region, count in decision.slots.items() if count) or "none"
        log.info("sweep at %s: %s may run: %s", text_of(now), places, decision.reason)
        if self._decisions is not None:
            self._decisions.append(
                {
                    "at": text_of(now),
                    "slots": dict(decision.slots),
                    "stop": dict(decision.stop),
                    "region_of": dict(decision.region_of),
                    "is_over": decision.is_over,
                    "reason": decision.reason,
                    "forecaster": decision.forecaster,
                    "check_at": text_of(decision.check_at),
                    **context,
                }
            )
