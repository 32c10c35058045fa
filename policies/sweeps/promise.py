"""What a trial still promises: the chance that it beats the best score, from its learning curve and its rank in its rung."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.sweeps.state import TrialView

POINTS = 8
"""Latest points of a curve that are extrapolated: what came long before tells little of the end."""
LEAST_POINTS = 3
"""Points below which a curve says nothing by itself, and the rank in the rung has to do."""
WIDENING = 1.0
"""Error of an extrapolation as a share of the change that it foretells."""
FLOOR = 0.05
"""Least error of an extrapolation, as a share of all that the trial has gained so far."""
EARLY_PLACE = 0.2
"""Mean place of the eventual winner at the first iteration, as a share of the rung."""
_TAIL, _ZETA = 3, 1.2020569
"""Power with which a chance falls with the place, and the sum of all of them at scale 1."""
_LOGISTIC = 1.702
"""Makes a logistic distribution as wide as a normal one, with heavier tails."""
_MOST = 700.0
_LEAST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What may come of a trial.

    Attributes:
        chance: That it beats the best score of all trials, 0..1.
        remaining_h: Hours of running until the end that nobody stops it before.
    """

    chance: float
    remaining_h: float

    @property
    def chance_per_h(self) -> float:
        """What an hour of running, and so a gram, is expected to bring."""
        return self.chance / max(self.remaining_h, 1e-9)


def extrapolated(scores: Sequence[tuple[int, float]], last: int) -> tuple[float, float]:
    """Expected best score until iteration `last` and the standard deviation of its error.

    Fits a - b / sqrt(iteration) by least squares to the latest points: between a power law and an exponential, it has two unknowns and
    needs no search. What the fit still gains is added to the best that the trial has been, because the checkpoint of that is kept: a dip
    says nothing but how far the scores scatter, and a curve that falls is not expected to rise again.

    Args:
        scores: (iteration, score), ascending, at least `LEAST_POINTS` of them.
        last: Iteration asked for.
    """
    points = scores[-POINTS:]
    count = len(points)
    xs = [1.0 / math.sqrt(iteration) for iteration, _ in points]
    mean_x, mean_y = sum(xs) / count, sum(score for _, score in points) / count
    across = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (score - mean_y) for x, (_, score) in zip(xs, points, strict=True)) / across if across > 0 else 0.0
    off = sum((score - mean_y - slope * (x - mean_x)) ** 2 for x, (_, score) in zip(xs, points, strict=True))
    gain = max(0.0, -slope * (xs[-1] - 1.0 / math.sqrt(max(last, points[-1][0]))))
    return max(score for _, score in scores) + gain, math.hypot(math.sqrt(off / max(1, count - 2)), WIDENING * gain)


def milestone_of(iterations: int, milestones: Sequence[int]) -> int | None:
    """The last milestone that was reached; None before the first."""
    reached = [one for one in milestones if one <= iterations]
    return max(reached) if reached else None


def ranked_chance(better: int, count: int, milestone: int, last: int) -> float:
    """Chance that a trial ends as the best, from how many of its rung are better.

    The mean place of the eventual winner is a share of the rung that shrinks to nothing towards the last iteration. Beyond it the chance
    falls with the third power of the place: winners come from far behind now and then, and an exponential would rule that out.

    Args:
        better: Trials of the rung with a better score at the milestone.
        count: Trials of the rung.
        milestone: Its iteration.
        last: Last iteration of a trial that nobody stops.
    """
    ahead = 1.0 - math.log(max(1, milestone)) / math.log(max(2, last)) if milestone < last else 0.0
    scale = 1.0 + EARLY_PLACE * count * ahead
    return float((1.0 + better / scale) ** -_TAIL / (scale * _ZETA))


def promise_of(trial: TrialView, best: float | None, rungs: Mapping[int, Sequence[float]], last: int | None, iteration_s: float) -> Promise:
    """What may come of a trial, from its curve where that is long enough, and from its rank.

    Args:
        trial: A live one.
        best: Best score of any trial; None before the first.
        rungs: Scores by milestone, ascending within each.
        last: Last iteration of a trial that nobody stops; None where it is not known.
        iteration_s: Seconds of an iteration of a trial that has ended none.
    """
    own_s = iteration_s if trial.seconds_per_iteration is None else trial.seconds_per_iteration
    end = last if last is not None else max(2 * trial.iterations, 2)
    chances = []
    milestone = milestone_of(trial.iterations, tuple(rungs))
    if milestone is not None and trial.scores:
        rung, top = rungs[milestone], max(score for _, score in trial.scores)
        chances.append(ranked_chance(len(rung) - bisect_right(rung, top), len(rung), milestone, end))
    if best is not None and len(trial.scores) >= LEAST_POINTS:
        expected, error = extrapolated(trial.scores, end)
        floor = FLOOR * abs(expected - trial.scores[0][1]) + _LEAST
        chances.append(1.0 / (1.0 + math.exp(min(_MOST, _LOGISTIC * (best - expected) / max(error, floor)))))
    chance = math.prod(chances) ** (1.0 / len(chances)) if chances else 0.0
    following = min((one for one in (*rungs, end) if one > trial.iterations), default=trial.iterations + 1)
    steps = (following - trial.iterations) + chance * max(0, end - following)
    return Promise(chance=chance, remaining_h=steps * own_s / S_PER_H)


def fresh_promise(trials: int, rungs: Mapping[int, Sequence[float]], last: int | None, iteration_s: float) -> Promise:
    """What may come of a trial that has not begun.

    Of n draws of one search each is the best with chance 1 / n; how long it runs is how long those before did.

    Args:
        trials: Of the whole sweep: ended, live and still to come.
        rungs: Scores by milestone.
        last: Last iteration of a trial that nobody stops; None where it is not known.
        iteration_s: Seconds of an iteration.
    """
    milestones = sorted(rungs)
    begun = len(rungs[milestones[0]]) if milestones else 0
    end = last if last is not None else 2 * milestones[-1] if milestones else 1
    steps = float(milestones[0]) if milestones else float(end)
    for milestone, following in zip(milestones, (*milestones[1:], end), strict=False):
        # Where nobody has come so far, a new one is not expected to; where few have, those who were stopped are not among them.
        steps += len(rungs[milestone]) / (begun + 1) * max(0, following - milestone)
    return Promise(chance=1.0 / max(1, trials), remaining_h=steps * iteration_s / S_PER_H)
