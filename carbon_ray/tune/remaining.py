"""How much running a sweep still needs, estimated from how its trials have ended and from what its base scheduler says of itself.

Iterations that a trial will still do are counted with the chance that it does them. Of each milestone that chance is the share of the
trials that went on from it; as long as few have come there, what the base scheduler says of itself: one that halves keeps one trial in
`reduction`, one that does not keeps all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PRIOR_TRIALS = 4.0
"""Trials at a milestone from which on what they did says more than the theory."""
LENIENCE = 1.3
"""Trials that an asynchronous halving lets go on, as a multiple of one in `reduction`: it judges the first by few others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """What a base scheduler does with trials on their way.

    Attributes:
        milestones: Iterations at which it compares trials, ascending; empty where it does not halve.
        reduction: One trial in so many goes on from each.
        max_iterations: Iterations of a trial that nobody stops; None: not known.
    """

    milestones: tuple[int, ...] = ()
    reduction: float = 1.0
    max_iterations: int | None = None

    @classmethod
    def of(cls, first: int, reduction: float, max_iterations: int | None, *, halves: bool) -> Rungs:
        """Milestones in a geometric series up to the last iteration."""
        if not halves or reduction <= 1 or max_iterations is None:
            return cls(max_iterations=max_iterations)
        milestones, at = [], float(max(1, first))
        while round(at) < max_iterations:
            milestones.append(round(at))
            at *= reduction
        return cls(milestones=tuple(dict.fromkeys(milestones)), reduction=reduction, max_iterations=max_iterations)

    def expected(self, done: int, last: int, passing: Mapping[int, float]) -> float:
        """Iterations that a trial which has done `done` will still do.

        Args:
            done: Iterations that it has done.
            last: Where it ends at the latest.
            passing: Chance to go on from a milestone.
        """
        chance, at, total = 1.0, done, 0.0
        for milestone in self.milestones:
            if milestone <= done:
                continue
            total += chance * (min(milestone, last) - at)
            at, chance = min(milestone, last), chance * passing[milestone]
        return total + chance * max(0, last - at)


@dataclass(slots=True, kw_only=True)
class Remaining:
    """Keeps count of how trials ended.

    Attributes:
        rungs: What the base scheduler does.
        ended_at: Trials that ended, by the iterations that they had done.
        longest: Most iterations that any trial has done.
    """

    rungs: Rungs = field(default_factory=Rungs)
    ended_at: dict[int, int] = field(default_factory=dict)
    longest: int = 0

    def note_end(self, iterations: int) -> None:
        """A trial has ended."""
        self.ended_at[iterations] = self.ended_at.get(iterations, 0) + 1
        self.longest = max(self.longest, iterations)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(self.ended_at.values())

    def passing(self, reached: Mapping[int, int]) -> dict[int, float]:
        """Chance to go on from each milestone.

        Args:
            reached: Trials that have come to it.
        """
        theory = min(1.0, LENIENCE / self.rungs.reduction)
        chances = {}
        for milestone in self.rungs.milestones:
            came = reached.get(milestone, 0)
            went_on = max(0, came - self.ended_at.get(milestone, 0))
            chances[milestone] = (went_on + PRIOR_TRIALS * theory) / (came + PRIOR_TRIALS)
        return chances

    def seconds(self, live_done: Sequence[int], unstarted: int, reached: Mapping[int, int], iteration_s: float) -> float:
        """Seconds of running that are still needed, all trials together.

        Args:
            live_done: Iterations that each begun trial has done.
            unstarted: Trials that have done none.
            reached: Trials that have come to a milestone, by milestone.
            iteration_s: Mean seconds of an iteration.
        """
        passing = self.passing(reached)
        to_do = sum(self._iterations(done, passing) for done in live_done) + unstarted * self._iterations(0, passing)
        return to_do * iteration_s

    def _iterations(self, done: int, passing: Mapping[int, float]) -> float:
        last = self.rungs.max_iterations or max(self.longest, 2 * done, 1)
        return max(1.0, self.rungs.expected(done, last, passing))
