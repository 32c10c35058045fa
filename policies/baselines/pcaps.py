"""The threshold rules of the PCAPS study: CAP, a quota of workers by intensity, and PCAPS, a threshold by importance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import TIE, slots_of
from carbon_ray.policies.outlook import Outlook, Run

LOOK_AHEAD_H = 48.0
"""Hours over which the least and the highest intensity are taken. Source: the PCAPS artefact."""

MARGIN = 0.95
"""PCAPS takes the least intensity ahead a little lower than it is. Source: the PCAPS artefact."""


def competitive_ratio(low: float, high: float) -> float:
    """Ratio of the threshold rule against the optimum in hindsight, 1 / (1 + W0((low / high - 1) / e)), W0 being Lambert's function.

    Args:
        low: Least intensity, >= 0.
        high: Highest intensity, > 0.
    """
    # y = 1 / ratio solves (1 - y) e^y = 1 - low / high; the left side falls from 1 to 0 over 0..1, so that bisection is safe.
    target, below, above = 1.0 - low / high, 0.0, 1.0
    for _ in range(100):
        middle = (below + above) / 2
        if (1.0 - middle) * math.exp(middle) > target:
            below = middle
        else:
            above = middle
    return 1.0 / above


def cap_thresholds(low: float, high: float, steps: int) -> FloatArray:
    """Intensity up to which 1, 2, ... workers above the base may be used, falling, shape (steps,).

    Phi_i = high (1 - (1 - 1/a) (1 + 1/(a k))^(i - 1)), i = 1..k, with a = `competitive_ratio`. All lie between low and high.

    Args:
        low: Least intensity ahead, >= 0.
        high: Highest intensity ahead, >= low.
        steps: k, workers above the base.
    """
    if high <= low:
        return np.full(steps, high)
    ratio = competitive_ratio(low, high)
    powers = np.power(1.0 + 1.0 / (ratio * max(1, steps)), np.arange(steps, dtype=np.float64))
    thresholds: FloatArray = high * (1.0 - (1.0 - 1.0 / ratio) * powers)
    return thresholds


def cap_quota(now: float, low: float, high: float, executors: int, base: int) -> int:
    """Workers that may run now: `executors` at the lowest intensity ahead, `base` at the highest, never growing in between.

    Args:
        now: Intensity, in the unit of low and high.
        low: Least intensity ahead.
        high: Highest intensity ahead.
        executors: M, at least `base`.
        base: B, workers that always run.
    """
    thresholds = cap_thresholds(low, high, executors - base)
    return base + int(np.count_nonzero(now <= thresholds + TIE * abs(high)))


def pcaps_threshold(importance: float, low: float, high: float, gamma: float) -> float:
    """Intensity up to which a task of that importance runs; `high` for the most important one.

    Psi(r) = m + (high - m) (e^(gamma r) - 1) / (e^gamma - 1), m = gamma low + (1 - gamma) high.

    Args:
        importance: r, 0 to 1.
        low: Least intensity ahead, less the margin.
        high: Highest intensity ahead.
        gamma: How much carbon counts, 0 (runs always) to 1.
    """
    least = gamma * low + (1.0 - gamma) * high
    rise = math.expm1(gamma * importance) / math.expm1(gamma) if gamma > 0 else importance
    return least + (high - least) * rise


def _extremes(outlook: Outlook, ahead_h: float) -> tuple[float, float, float]:
    """Now, and the least and the highest finite value of the hours ahead."""
    ahead = outlook.gco2[: slots_of(ahead_h, outlook.slot_h), outlook.at]
    usable = ahead[np.isfinite(ahead)]
    return float(ahead[0]), float(usable.min(initial=np.inf)), float(usable.max(initial=-np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap(Punctual):
    """A quota of workers that falls as the intensity rises within what the next two days hold.

    Formula: `cap_thresholds` and `cap_quota`. A workload of one worker runs if the quota is at least 1.

    Source: Lechowicz, Shenoy, Bashir, Hajiesmaili, Wierman and Delimitrou, "Carbon- and Precedence-Aware Scheduling for Data
    Processing Clusters", 2025, arXiv:2502.09717. The thresholds are those of k-search.

    Attributes:
        executors: M, workers at most.
        base: B, workers that always run; the study needs at least one so that work never stands still, a single workload may pause.
        ahead_h: Hours over which the least and the highest intensity are taken.
    """

    name: ClassVar[str] = "cap"
    executors: int = 1
    base: int = 0
    ahead_h: float = LOOK_AHEAD_H

    def __post_init__(self) -> None:
        if not 0 <= self.base <= self.executors or self.executors < 1:
            raise ValueError(f"need 0 <= base <= executors and executors >= 1, got {self.base} and {self.executors}")

    @property
    def interrupts(self) -> bool:
        """True."""
        return True

    @property
    def most_workers(self) -> int:
        """As the parameter says."""
        return self.executors

    def wish(self, outlook: Outlook) -> Run | None:
        """Run with as many workers as the quota allows."""
        now, low, high = _extremes(outlook, self.ahead_h)
        if not math.isfinite(now):
            return None
        workers = cap_quota(now, low, high, self.executors, self.base)
        return Run(region=outlook.at, workers=workers) if workers else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pcaps(Punctual):
    """Run if the intensity is at most what the work's importance is worth.

    Formula: run if Psi(r) >= p[0], see `pcaps_threshold`; low = 0.95 of the least, high = the highest of the next two days.

    Source: as `Cap`.

    Attributes:
        gamma: How much carbon counts, 0 (runs always) to 1.
        importance: r, 0 to 1; at 1 it runs always.
        ahead_h: Hours over which the least and the highest intensity are taken.
    """

    name: ClassVar[str] = "pcaps"
    gamma: float = 0.5
    importance: float = 0.5
    ahead_h: float = LOOK_AHEAD_H

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1 or not 0 <= self.importance <= 1:
            raise ValueError(f"gamma and importance must be within 0..1, got {self.gamma} and {self.importance}")

    @property
    def interrupts(self) -> bool:
        """True."""
        return True

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if now is at or below the threshold."""
        now, low, high = _extremes(outlook, self.ahead_h)
        if not math.isfinite(now):
            return None
        limit = pcaps_threshold(self.importance, MARGIN * low, high, self.gamma)
        return Run(region=outlook.at) if now <= limit + TIE * abs(high) else None
