"""What a trial still promises: the chance that it beats the best score, from its learning curve and its rank in its rung."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.sweeps.state import TrialView

POINTS = 8
"""Latest points of a curve that are extrapolated: what came long before tells little of the end."""
LEAST_POINTS = 3
"""Points below which a curve says nothing by itself, and the rank in the rung has to do."""
WIDENING = 0.5
"""Error of an extrapolation as a share of the change that it foretells. Of the recorded curves, two thirds of the errors were less."""
TRIAL_H = 1.0
"""Hours of an iteration where no trial has finished one yet; only ratios of it count then."""


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
    """Expected score at iteration `last` and the standard deviation of its error.

    Fits a - b / sqrt(iteration) by least squares to the latest points: between a power law and an exponential, it has two unknowns and no
    iteration. A curve that falls is not expected to rise again.

    Args:
        scores: (iteration, score), ascending, at least `LEAST_POINTS` of them.
        last: Iteration asked for.
    """
    points = scores[-POINTS:]
    count = len(points)
    xs = [1.0 / math.sqrt(iteration) for iteration, _ in points]
    ys = [score for _, score in points]
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    across = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / across if across > 0 else 0.0
    residual = math.sqrt(sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True)) / max(1, count - 2))
    here = ys[-1]
    gain = max(0.0, -slope * (xs[-1] - 1.0 / math.sqrt(max(last, points[-1][0]))))
    return here + gain, math.hypot(residual, WIDENING * gain)
