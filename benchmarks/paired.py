"""Paired tests of a cell: carbon_ray against the policy of each row on the same jobs, by start day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.hourly import Outcomes
from carbon_ray.sim.statistics import holm, paired_by_day, wilcoxon_p

FIELDS = ("paired_median_fraction", "paired_p", "paired_p_holm")


def add_pairs(
    rows: Sequence[dict[str, Any]], outcomes: Sequence[Outcomes], days: NDArray[np.int64], *, ours: int, block_days: int = 1
) -> None:
    """Fill in, for every row of a cell but carbon_ray's own, how it compares with that one.

    `paired_median_fraction` is the median over start days of carbon_ray's saving less the row's: positive where carbon_ray saves more.
    `paired_p` is Wilcoxon's two-sided p of these differences; `paired_p_holm` is adjusted for all rows of the cell.

    Args:
        rows: Of one cell.
        outcomes: One a row, all of the same jobs.
        days: Start day of each row of an outcome, shape (starts,).
        ours: Position of carbon_ray's row.
        block_days: Days that count as one, because jobs of neighbouring days fare alike.
    """
    others = [index for index in range(len(rows)) if index != ours]
    best = outcomes[ours]
    each = np.repeat(days, best.gco2.shape[1])
    daily = {
        index: paired_by_day(best.gco2.ravel(), outcomes[index].gco2.ravel(), best.run_now_gco2.ravel(), each, block_days=block_days)
        for index in others
    }
    p_values = [wilcoxon_p(daily[index]) for index in others]
    rows[ours].update(dict.fromkeys(FIELDS))
    for index, p, adjusted in zip(others, p_values, holm(p_values), strict=True):
        rows[index].update(zip(FIELDS, (float(np.median(daily[index])), p, adjusted), strict=True))
