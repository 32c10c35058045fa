"""How good forecasts were, once the truth is known: level, spread, order within the day, and what decisions made on them keep.

All of them take issues in rows and the hours of one day ahead in columns.
"""

from __future__ import annotations

import numpy as np

from carbon_ray.core.intensity import FloatArray

RUN_HOURS = 6
"""Hours of the job that decisions are judged by."""
_TINY = 1e-12


def mape(truth: FloatArray, said: FloatArray) -> float:
    """Mean absolute error as a share of the truth; hours without emissions are left out. NaN where no hour has any."""
    is_share = truth > 0
    return float(np.mean(np.abs(said - truth)[is_share] / truth[is_share])) if is_share.any() else float("nan")


def pinball(truth: FloatArray, said: FloatArray, level: float) -> float:
    """Mean loss of a quantile, in the unit of the truth.

    Source: Koenker & Bassett (1978), doi:10.2307/1913643.
    """
    gap = truth - said
    return float(np.mean(np.maximum(level * gap, (level - 1) * gap)))


def rank_correlation(truth: FloatArray, said: FloatArray) -> float:
    """Mean over issues of Spearman's correlation within the day; days that are constant in either are left out, NaN where all are."""
    ours, theirs = _ranks(said), _ranks(truth)
    ours -= ours.mean(axis=1, keepdims=True)
    theirs -= theirs.mean(axis=1, keepdims=True)
    scale = np.sqrt((ours**2).sum(axis=1) * (theirs**2).sum(axis=1))
    has_order = scale > _TINY
    return float(np.mean((ours * theirs).sum(axis=1)[has_order] / scale[has_order])) if has_order.any() else float("nan")


def decision_value(truth: FloatArray, said: FloatArray, run_hours: int = RUN_HOURS) -> float:
    """Share of the clairvoyant saving that is kept by running in the hours of the day that are forecast to be the cleanest.

    The saving is that against the mean of the day's hours, which is what a start at a random hour costs.

    Args:
        truth, said: Shape (issues, hours).
        run_hours: Hours that the job takes; it may pause between them.

    Returns:
        1 for the right hours, 0 for none better than any; NaN where nothing can be saved.
    """
    usual = truth.mean() * run_hours
    chosen = np.take_along_axis(truth, np.argsort(said, axis=1, kind="stable")[:, :run_hours], axis=1).sum(axis=1).mean()
    best = np.sort(truth, axis=1)[:, :run_hours].sum(axis=1).mean()
    return float((usual - chosen) / (usual - best)) if usual - best > _TINY else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks within each row; equal values share their mean rank."""
    below = (values[:, :, np.newaxis] > values[:, np.newaxis, :]).sum(axis=2)
    equal = (values[:, :, np.newaxis] == values[:, np.newaxis, :]).sum(axis=2)
    ranks: FloatArray = below + (equal - 1) / 2
    return ranks
