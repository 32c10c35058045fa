"""What a sweep may not exceed: its deadline, which always wins, and its budget of carbon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.sweeps.state import SweepView, TrialView

_GUESSED_ITERATION_S = 60.0
"""Where no trial has ended an iteration yet."""


def iteration_s_of(sweep: SweepView) -> float:
    """Mean seconds of an iteration; a guess where no trial has ended one."""
    return _GUESSED_ITERATION_S if sweep.iteration_s is None else sweep.iteration_s


def chain_s(trial: TrialView, sweep: SweepView, iteration_s: float) -> float:
    """Seconds that a trial runs if nobody stops it; those of one iteration where its end is not known."""
    own_s = iteration_s if trial.seconds_per_iteration is None else trial.seconds_per_iteration
    return own_s * max(1, (sweep.max_iterations or 0) - trial.iterations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much time and how many lanes there are.

    Attributes:
        lanes: Trials that can run at once: as many as are allowed and as there are.
        work_h: Hours of running that are left, all trials together.
        window_s: Seconds in which the bulk of the work has to be placed; what a trial started last takes is kept free behind it.
        urgent: Trials that miss the deadline if they wait any longer.
        late: Trials whose next iteration would end after the deadline.
        is_forced: The work fits only if everything runs from now on.
        is_past: The deadline leaves no time for one more iteration of any trial.
    """

    lanes: int
    work_h: float
    window_s: float
    urgent: frozenset[str]
    late: frozenset[str]
    is_forced: bool
    is_past: bool


def room_of(sweep: SweepView, *, now: datetime, patience_s: float, safety_margin_s: float) -> Room:
    """Time and lanes of a sweep.

    The end of a list schedule on m lanes is at most work / m + (1 - 1 / m) * longest chain after its start.

    Source: Graham, "Bounds on multiprocessing timing anomalies", 1969, doi:10.1137/0117039.

    Args:
        sweep: Its state.
        now: Aware UTC.
        patience_s: Beyond running at once, for a sweep without a deadline.
        safety_margin_s: Before the deadline.
    """
    iteration_s = iteration_s_of(sweep)
    waiting = len(sweep.trials) + sweep.unstarted if sweep.unstarted is not None else sweep.max_concurrency
    lanes = max(1, min(sweep.max_concurrency, waiting))
    work_s = max(sweep.remaining_trial_s, 0.0)
    chains = {trial.trial_id: chain_s(trial, sweep, iteration_s) for trial in sweep.trials}
    longest_s = max(chains.values(), default=0.0)
    if sweep.unstarted != 0:
        longest_s = max(longest_s, iteration_s * (sweep.max_iterations or 1))
    least_s = work_s / lanes + longest_s * (1.0 - 1.0 / lanes)
    if sweep.deadline_at is None:
        # What has run is not known, so the patience counts from the start and what is left to run from now.
        end_at = max(sweep.started_at + timedelta(seconds=patience_s), now) + timedelta(seconds=least_s)
        left_s = (end_at - now).total_seconds()
        urgent, late, is_past = frozenset[str](), frozenset[str](), False
    else:
        until_s = (sweep.deadline_at - now).total_seconds()
        left_s = until_s - safety_margin_s
        urgent = frozenset(name for name, span_s in chains.items() if span_s >= left_s)
        late = frozenset(trial.trial_id for trial in sweep.trials if (trial.seconds_per_iteration or 0.0) > until_s)
        is_past = until_s <= 0 or (len(late) == len(sweep.trials) and iteration_s > until_s)
    return Room(
        lanes=lanes,
        work_h=work_s / S_PER_H,
        window_s=left_s - longest_s * (1.0 - 1.0 / lanes),
        urgent=urgent,
        late=late,
        is_forced=sweep.deadline_at is not None and least_s >= left_s,
        is_past=is_past,
    )


def affordable(sweep: SweepView, gco2_per_h: float, *, check_s: float) -> int | None:
    """Trials that the rest of the budget pays for until they can be stopped; None where there is no budget.

    Until then each finishes the iteration that it is in, or those that end before the next check and one more. The last trial may have
    what is left for a single iteration.

    Args:
        sweep: Its state.
        gco2_per_h: Emissions of one running trial now, g per hour.
        check_s: Seconds until the next decision.
    """
    if sweep.budget_gco2 is None:
        return None
    left = sweep.budget_gco2 - sweep.emitted_gco2
    iteration_h = iteration_s_of(sweep) / S_PER_H
    each = gco2_per_h * (iteration_h + check_s / S_PER_H)
    if each <= 0:
        return sweep.max_concurrency if left >= 0 else 0
    count = math.floor(left / each)
    return count if count >= 1 else int(left >= gco2_per_h * iteration_h)
