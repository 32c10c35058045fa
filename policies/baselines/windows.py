"""Arithmetic on slots that the published rules have in common: window sums, first lowest, cheapest slots, percentiles.

Time is always the first axis; whatever follows it (regions, or draws of a noisy forecast) is carried along. Pure functions: the
rules use them slot by slot under a controller, and the replications of published studies use them on whole traces.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray

TIE = 1e-9
"""Relative difference below which two sums are equal: sums over the same values in another order differ by less."""

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]


def whole_slots(length: float) -> int:
    """Slots that a length fills at least in part."""
    return math.ceil(length - TIE)


def window_sums(values: FloatArray, length: float) -> FloatArray:
    """Sum over [s, s + length) for every start s whose window lies within the data; the last slot counts by its part.

    Args:
        values: Shape (T, ...); infinite where a slot cannot be used, which makes every window over it infinite.
        length: Slots, > 0, perhaps not whole.

    Returns:
        Shape (T - whole_slots(length) + 1, ...), with no starts where the window is longer than the data.
    """
    touched = whole_slots(length)
    whole = min(touched, math.floor(length + TIE))
    starts = max(0, len(values) - touched + 1)
    is_open = np.isfinite(values)
    usable = np.where(is_open, values, 0.0)
    nothing = np.zeros_like(usable[:1], shape=(1, *usable.shape[1:]))
    integral = np.concatenate([nothing, np.cumsum(usable, axis=0)])
    sums: FloatArray = integral[whole : whole + starts] - integral[:starts]
    if touched > whole:
        sums = sums + (length - whole) * usable[whole : whole + starts]
    if not is_open.all():
        shut = np.concatenate([nothing, np.cumsum(~is_open, axis=0)])
        sums = np.where(shut[touched : touched + starts] > shut[:starts], np.inf, sums)
    return sums


def first_lowest(values: FloatArray) -> IndexArray:
    """Index of the first value along time that none is below; ties within `TIE` go to the earliest. Shape (...)."""
    lowest = values.min(axis=0)
    first: IndexArray = np.argmax(values <= lowest + TIE * np.abs(lowest), axis=0)
    return first


def first_best_rate(reference: float, sums: FloatArray, until_done: FloatArray) -> int:
    """First start with the highest saving per slot until done, (reference - sums) / until_done.

    Args:
        reference: What the window would emit that is compared with; where it is not finite, the mean of the finite sums.
        sums: Emissions of the window from each start, shape (S,).
        until_done: Slots from submission to the end of the window, shape (S,), > 0.
    """
    is_open = np.isfinite(sums)
    if not is_open.any():
        return 0
    if not math.isfinite(reference):
        reference = float(sums[is_open].mean())
    saved = reference - np.where(is_open, sums, 0.0)
    saved[np.abs(saved) <= TIE * abs(reference)] = 0.0  # rounding must not pass for a saving
    rate = np.where(is_open, saved / until_done, -np.inf)
    highest = rate.max()
    return int(np.argmax(rate >= highest - TIE * abs(highest)))


def cheapest_slots(values: FloatArray, count: int, *, with_ties: bool = False) -> BoolArray:
    """Whether a slot is among the `count` lowest along time; shape of `values`.

    Args:
        values: Shape (T, ...).
        count: Slots to choose, at least 1; all of them where there are no more.
        with_ties: Take every slot as low as the last one chosen, perhaps more than `count`; else the earliest of equals.
    """
    if count >= len(values):
        return np.ones_like(values, dtype=np.bool_)
    if with_ties:
        chosen: BoolArray = values <= np.partition(values, count - 1, axis=0)[count - 1]
        return chosen
    chosen = np.zeros_like(values, dtype=np.bool_)
    np.put_along_axis(chosen, np.argsort(values, axis=0, kind="stable")[:count], True, axis=0)
    return chosen


def percentile(values: FloatArray, percent: float) -> float:
    """Percentile of the finite values, interpolated linearly; infinite where there are none.

    Args:
        values: Shape (T,).
        percent: 0 to 100.
    """
    usable = values[np.isfinite(values)]
    return float(np.percentile(usable, percent)) if len(usable) else math.inf


def slots_of(span_h: float, slot_h: float) -> int:
    """Whole slots next to a span of hours, at least one."""
    return max(1, round(span_h / slot_h))
