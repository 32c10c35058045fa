"""What a sweep knows of its trials, kept event by event, and the view of it that a policy decides from.

Nothing here grows with the number of ended trials but the scores at milestones, which are appended and never walked.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from carbon_ray.core.objective import Objective
from carbon_ray.policies.sweeps.state import SCORES_KEPT, SweepView, TrialState, TrialView
from carbon_ray.tune.checkpoints import checkpoint_bytes
from carbon_ray.tune.ledger import SweepLedger
from carbon_ray.tune.remaining import Remaining, Rungs

FIRST_GUESS_S = 60.0
"""Seconds of an iteration before one was measured."""

_MILESTONES = tuple(sorted({base * factor for base in (1, 2, 3, 5) for factor in (1, 10, 100, 1000, 10_000)}))
"""Iterations at which scores are kept where the base scheduler has no milestones of its own."""


@dataclass(slots=True, kw_only=True)
class LiveTrial:
    """A trial that has not ended.

    Attributes:
        trial_id: Its id.
        handle: Tune's own object.
        iterations: Results reported so far.
        scores: The last ones, greater is better.
        mean_iteration_s: Running mean, seconds of the clock.
        last_at: When its last result, or its start, was.
        can_hold: It would go on from a checkpoint if it were paused now.
        state_bytes: Size of its checkpoint; 0 before it was first held or paused.
        sized_at: Iterations at which that was looked up.
        fresh_view: How it is seen before its first start, which does not change.
    """

    trial_id: str
    handle: Any
    iterations: int = 0
    scores: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=SCORES_KEPT))
    mean_iteration_s: float | None = None
    timed: int = 0
    last_at: datetime | None = None
    can_hold: bool = True
    state_bytes: int = 0
    sized_at: int = 0
    fresh_view: TrialView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for.

    Attributes:
        deadline_at: End of the sweep, aware UTC; None: no deadline.
        budget_gco2: Most that it may emit; None: no budget.
        objective: Prices.
        min_concurrency: Trials that run whatever the grid says.
        max_concurrency: Trials that may run at once.
    """

    deadline_at: datetime | None = None
    budget_gco2: float | None = None
    objective: Objective = field(default_factory=Objective)
    min_concurrency: int = 0
    max_concurrency: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How the trials of a sweep had gone, for a restore.

    Attributes:
        iteration_s: Mean seconds of an iteration.
        timed: Iterations that were measured.
        ended_at, longest: How trials had ended.
        rung_scores: Scores at milestones.
        best_score: Of any trial.
        started_at: Start of the sweep, aware UTC.
    """

    iteration_s: float = 0.0
    timed: int = 0
    ended_at: Mapping[int, int] = field(default_factory=dict)
    longest: int = 0
    rung_scores: Mapping[int, list[float]] = field(default_factory=dict)
    best_score: float | None = None
    started_at: datetime | None = None


class SweepBook:
    """Keeps the trials of a sweep.

    Attributes:
        live: Trials that have not ended, by id, in the order in which they came.
        waiting: Those of them that wait for their place without having asked for one, in the order in which they are to get it.
        active: The others: they run, are about to, are held, or were paused by the base scheduler.
        held: Trials that carbon_ray paused, with the instant.
        best_score: Of any trial, greater is better.
        added: Trials that have been added so far.

    Args:
        ledger: What they draw.
        rungs: What the base scheduler does with them.
    """

    def __init__(self, ledger: SweepLedger, rungs: Rungs) -> None:
        self.ledger, self.remaining = ledger, Remaining(rungs=rungs)
        self.live: dict[str, LiveTrial] = {}
        self.waiting: dict[str, LiveTrial] = {}
        self.active: dict[str, LiveTrial] = {}
        self.held: dict[str, datetime] = {}
        self.best_score: float | None = None
        self.added = 0
        self.metric: str | None = None
        self.sign = 1.0
        self.started_at: datetime | None = None
        self._rungs: dict[int, list[float]] = {}
        self._iteration_s = 0.0
        self._timed = 0

    @property
    def milestones(self) -> tuple[int, ...]:
        """Iterations at which scores are kept for comparison."""
        return self.remaining.rungs.milestones or _MILESTONES

    @property
    def iteration_s(self) -> float:
        """Mean seconds of an iteration, over all trials."""
        return self._iteration_s if self._timed else FIRST_GUESS_S

    def add(self, trial_id: str, handle: Any, now: datetime) -> LiveTrial:
        """A trial takes part, or takes part again after a restore or a lost node."""
        self.started_at = self.started_at or now
        one = self.live.get(trial_id)
        if one is None:
            self.added += 1
            one = self.live[trial_id] = LiveTrial(trial_id=trial_id, handle=handle)
        one.handle = handle
        self.active.pop(trial_id, None)
        (self.waiting if handle.status == "PENDING" else self.active)[trial_id] = one
        return one

    def note_place(self, trial_id: str) -> None:
        """A trial has asked for its place."""
        if (one := self.waiting.pop(trial_id, None)) is not None:
            self.active[trial_id] = one

    def note_waiting(self, trial_id: str) -> None:
        """A trial that had asked for its place waits again, before all others."""
        if (one := self.active.pop(trial_id, None)) is not None:
            self.waiting = {trial_id: one, **self.waiting}

    def note_start(self, trial_id: str, now: datetime) -> None:
        """A trial begins to run: the time of its next iteration counts from here."""
        if (one := self.live.get(trial_id)) is not None:
            one.last_at = now
            self.note_place(trial_id)

    def note_result(self, trial_id: str, result: Mapping[str, Any], now: datetime) -> LiveTrial | None:
        """A trial has reported; None for one that is not known."""
        one = self.live.get(trial_id)
        if one is None:
            return None
        iteration = int(result.get("training_iteration", one.iterations + 1))
        if one.last_at is not None and iteration > one.iterations:
            self._time(one, (now - one.last_at).total_seconds() / (iteration - one.iterations))
        one.last_at, one.iterations = now, iteration
        score = result.get(self.metric) if self.metric else None
        if isinstance(score, (int, float)) and score == score:
            signed = self.sign * float(score)
            one.scores.append((iteration, signed))
            if self.best_score is None or signed > self.best_score:
                self.best_score = signed
            if iteration in self.milestones:
                insort(self._rungs.setdefault(iteration, []), signed)
        return one

    def end(self, trial_id: str) -> None:
        """A trial has ended."""
        one = self.live.pop(trial_id, None)
        for group in (self.held, self.waiting, self.active):
            group.pop(trial_id, None)
        if one is not None:
            self.remaining.note_end(one.iterations)

    def state_of(self, one: LiveTrial) -> TrialState:
        """Where a trial stands."""
        status = one.handle.status
        if one.trial_id in self.held:
            return TrialState.HELD
        if status == "RUNNING":
            return TrialState.RUNNING
        return TrialState.PAUSED if status == "PAUSED" else TrialState.PENDING

    def view(self, wishes: Wishes, unstarted: int | None, room: Mapping[str, int], power_w: float, now: datetime) -> SweepView:
        """The sweep as a policy sees it."""
        done = [one.iterations for one in self.active.values()]
        reached = {milestone: len(scores) for milestone, scores in self._rungs.items()}
        to_do_s = self.remaining.seconds(done, len(self.waiting) + (unstarted or 0), reached, self.iteration_s)
        return SweepView(
            started_at=self.started_at or now,
            deadline_at=wishes.deadline_at,
            budget_gco2=wishes.budget_gco2,
            emitted_gco2=self.ledger.total_gco2,
            objective=wishes.objective,
            min_concurrency=wishes.min_concurrency,
            max_concurrency=wishes.max_concurrency,
            power_w=power_w,
            trials=tuple(self._views()),
            ended=self.remaining.ended,
            unstarted=unstarted,
            remaining_trial_s=to_do_s,
            iteration_s=self._iteration_s if self._timed else None,
            max_iterations=self.remaining.rungs.max_iterations or (self.remaining.longest or None),
            best_score=self.best_score,
            rung_scores=self._rungs,
            room=room,
        )

    def past(self) -> Past:
        """How trials went so far, for a restore."""
        return Past(
            iteration_s=self._iteration_s,
            timed=self._timed,
            ended_at=dict(self.remaining.ended_at),
            longest=self.remaining.longest,
            rung_scores={milestone: list(scores) for milestone, scores in self._rungs.items()},
            best_score=self.best_score,
            started_at=self.started_at,
        )

    def take_up(self, past: Past) -> None:
        """How trials had gone before a restore."""
        self._iteration_s, self._timed = past.iteration_s, past.timed
        self.remaining.ended_at, self.remaining.longest = dict(past.ended_at), past.longest
        self._rungs = {milestone: list(scores) for milestone, scores in past.rung_scores.items()}
        self.best_score, self.started_at = past.best_score, past.started_at

    def _views(self) -> Iterable[TrialView]:
        for one in self.waiting.values():
            if one.iterations == 0:
                one.fresh_view = one.fresh_view or TrialView(trial_id=one.trial_id, state=TrialState.PENDING)
                yield one.fresh_view
            else:
                yield self._view_of(one)
        for one in self.active.values():
            yield self._view_of(one)

    def _view_of(self, one: LiveTrial) -> TrialView:
        account = self.ledger.account(one.trial_id)
        if one.sized_at != one.iterations and one.handle.status == "PAUSED":  # once a pause: the storage may be far away
            one.state_bytes, one.sized_at = checkpoint_bytes(one.handle), one.iterations
        return TrialView(
            trial_id=one.trial_id,
            state=self.state_of(one),
            region=account.region,
            iterations=one.iterations,
            scores=tuple(one.scores),
            seconds_per_iteration=one.mean_iteration_s,
            energy_kwh=account.energy_kwh,
            emitted_gco2=self.ledger.gco2(one.trial_id),
            can_hold=one.can_hold,
            state_bytes=one.state_bytes,
        )

    def _time(self, one: LiveTrial, span_s: float) -> None:
        one.timed += 1
        before = one.mean_iteration_s or 0.0
        one.mean_iteration_s = before + (span_s - before) / one.timed
        self._timed += 1
        # The mean of all, which forgets slowly, so that a sweep whose trials grow longer is followed.
        self._iteration_s += (span_s - self._iteration_s) / min(self._timed, 200)
