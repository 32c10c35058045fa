"""How much running a sweep still needs, estimated from how its trials have ended and from what its base scheduler says of itself.

Iterations that a trial will still do are counted with the chance that it does them: a scheduler that halves keeps one trial in
`reduction` at each milestone, one that does not keeps all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MIN_ENDED = 5
"""Ended trials from which on their mean says more than the theory of the rungs."""


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

    def expected(self, done: int, last: int) -> float:
        """Iterations that a trial which has done `done` will still do, `last` being where it ends at the latest."""
        chance, at, total = 1.0, done, 0.0
        for milestone in self.milestones:
            if milestone <= done:
                continue
            total += chance * (min(milestone, last) - at)
            at, chance = min(milestone, last), chance / self.reduction
        return total + chance * max(0, last - at)


@dataclass(slots=True, kw_only=True)
class Remaining:
    """Keeps count of how trials ended.

    Attributes:
        rungs: What the base scheduler does.
        ended: Trials that ended.
        ended_iterations: Iterations of those, together.
        longest: Most iterations that any trial has done.
    """

    rungs: Rungs = field(default_factory=Rungs)
    ended: int = 0
    ended_iterations: int = 0
    longest: int = 0

    def note_end(self, iterations: int) -> None:
        """A trial has ended."""
        self.ended += 1
        self.ended_iterations += iterations
        self.longest = max(self.longest, iterations)

    def trial_iterations(self, done: int) -> float:
        """Iterations that a live trial will still do."""
        last = self.rungs.max_iterations or max(self.longest, 2 * done, 1)
        return max(1.0, self.rungs.expected(done, last))

    def new_iterations(self) -> float:
        """Iterations that a trial which has not begun will do."""
        theory = self.trial_iterations(0)
        if self.ended < MIN_ENDED:
            return theory
        # Those that end first have done the least: the mean of the ended is a floor as long as few have.
        mean = self.ended_iterations / self.ended
        weight = self.ended / (self.ended + MIN_ENDED)
        return weight * mean + (1 - weight) * theory

    def seconds(self, live_done: Sequence[int], unstarted: int, iteration_s: float) -> float:
        """Seconds of running that are still needed, all trials together."""
        to_do = sum(self.trial_iterations(done) for done in live_done) + unstarted * self.new_iterations()
        return to_do * iteration_s
