"""Which trials may run by a decision: whether a running one keeps its place, and which one is started next. Pure; knows no Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from carbon_ray.policies.sweeps.state import SweepDecision, TrialState


@dataclass(frozen=True, slots=True)
class Standing:
    """A live trial, as the gate sees it.

    Attributes:
        trial_id: Its id.
        state: Where it stands.
        region: Where it runs or ran last; empty before its first start.
        is_staged: It has asked for its place and waits for it.
    """

    trial_id: str
    state: TrialState
    region: str
    is_staged: bool = False

    @property
    def holds_place(self) -> bool:
        """It runs, or is about to."""
        return self.state is TrialState.RUNNING or self.is_staged


@dataclass(frozen=True, slots=True)
class Start:
    """Start a trial that is held.

    Attributes:
        trial_id: Which.
        region: Where.
    """

    trial_id: str
    region: str


@dataclass(frozen=True, slots=True)
class StartNew:
    """Let the base scheduler choose a trial, or the searcher suggest one.

    Attributes:
        region: Where it is to run.
    """

    region: str


class Gate:
    """Applies one decision.

    Args:
        decision: What the policy said.
        home: Region of trials that have run nowhere yet and are asked for in none.
    """

    def __init__(self, decision: SweepDecision, home: str) -> None:
        self.decision, self._home = decision, home
        self._rank = {trial_id: place for place, trial_id in enumerate(decision.order) if trial_id is not None}
        named_new = [place for place, trial_id in enumerate(decision.order) if trial_id is None]
        self._new_rank = named_new[0] if named_new else len(decision.order)

    def where(self, trial: Standing) -> str:
        """Where the trial is to run."""
        return self.decision.region_of.get(trial.trial_id) or trial.region or self._home

    def may_stay(self, trial: Standing, others: Iterable[Standing], new_ones: int) -> bool:
        """Whether a running trial keeps its place.

        Args:
            trial: Which.
            others: All other live trials.
            new_ones: Trials that would start at once if they might.
        """
        region = self.where(trial)
        if trial.region and region != trial.region:
            return False
        slots = self.decision.slots.get(region, 0)
        rank = self._rank_of(trial)
        ahead = 0
        for other in others:
            claims = other.holds_place or other.state is TrialState.HELD
            if claims and self._rank_of(other) < rank and self.where(other) == region:
                ahead += 1
        if self._new_rank < rank[0]:
            ahead += new_ones
        return ahead < slots

    def free(self, trials: Iterable[Standing]) -> dict[str, int]:
        """Places that are not taken, by region; negative where too many are."""
        free = dict(self.decision.slots)
        for trial in trials:
            if trial.holds_place:
                region = trial.region or self._home
                free[region] = free.get(region, 0) - 1
        return free

    def next_start(self, trials: Mapping[str, Standing], *, new_ones: bool) -> Start | StartNew | None:
        """What to start next; None: nothing.

        Args:
            trials: All live ones by id.
            new_ones: Whether there is a trial besides the held ones, or one may come.
        """
        free = self.free(trials.values())
        if not any(count > 0 for count in free.values()):
            return None
        unnamed = sorted(one.trial_id for one in trials.values() if one.state is TrialState.HELD and one.trial_id not in self._rank)
        before = self.decision.order[: self._new_rank]
        for trial_id in (*before, *unnamed, None, *self.decision.order[self._new_rank + 1 :]):
            one = trials.get(trial_id) if trial_id is not None else None
            if one is not None and one.state is TrialState.HELD and not one.is_staged:
                region = self.where(one)
                if free.get(region, 0) > 0:
                    return Start(one.trial_id, region)
            elif new_ones and (trial_id is None or _is_new(one)):
                return StartNew(max(free, key=lambda region: free[region]))
        return None

    def in_order(self, trial_ids: Iterable[str]) -> list[str]:
        """The trials in the decision's order; those that it does not name stand where new ones do."""
        return sorted(trial_ids, key=lambda trial_id: (self._rank.get(trial_id, self._new_rank), trial_id))

    def _rank_of(self, trial: Standing) -> tuple[int, int, str]:
        """Those that the decision does not name came after it: they stand where new ones do, the running ones first."""
        if trial.trial_id in self._rank:
            return (self._rank[trial.trial_id], 0, "")
        return (self._new_rank, 0 if trial.holds_place else 1, trial.trial_id)


def _is_new(trial: Standing | None) -> bool:
    """Whether the base scheduler is to choose it: it waits for its first start, or was paused by that."""
    return trial is not None and trial.state in (TrialState.PENDING, TrialState.PAUSED) and not trial.is_staged
