"""Ridge regression with standardised columns, and its errors on stretches of time that it had not seen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from carbon_ray.core.intensity import FloatArray

_TINY = 1e-9


def ridge(rows: FloatArray, truth: FloatArray, penalty: float, folds: int) -> tuple[FloatArray, FloatArray]:
    """Fit, and measure the errors.

    Args:
        rows: Shape (n, columns), in order of time; the last column is constant and not penalised.
        truth: Shape (n,).
        penalty: Weight of the squared coefficients of standardised columns, per row.
        folds: Stretches of the rows of which each in turn is left out to measure the errors; 0 or 1 measures none.

    Returns:
        Coefficients of shape (columns,), and the errors (truth less fit) of shape (n,): those of fits that had not seen the row,
        because a fit's own residuals are smaller than what it errs by later. NaN without folds.
    """
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    mean[-1], scale[-1] = 0.0, 1.0
    scale = np.where(scale > _TINY, scale, np.inf)  # what never varied explains nothing
    standard = (rows - mean) / scale
    edges = np.linspace(0, len(rows), max(folds, 1) + 1).astype(int)
    stretches = [slice(first, last) for first, last in pairwise(edges)]
    grams = np.stack([standard[one].T @ standard[one] for one in stretches])
    moments = np.stack([standard[one].T @ truth[one] for one in stretches])

    def solved(gram: FloatArray, moment: FloatArray, count: int) -> FloatArray:
        weights = np.full(len(gram), penalty * count + _TINY)
        weights[-1] = _TINY
        return np.asarray(np.linalg.solve(gram + np.diag(weights), moment), dtype=np.float64)

    gram, moment = grams.sum(axis=0), moments.sum(axis=0)
    errors = np.full(len(rows), np.nan)
    if folds > 1:
        for index, one in enumerate(stretches):
            without = solved(gram - grams[index], moment - moments[index], len(rows) - (one.stop - one.start))
            errors[one] = truth[one] - standard[one] @ without
    fitted = solved(gram, moment, len(rows))
    coefficients: FloatArray = fitted / scale
    coefficients[-1] = fitted[-1] - float((fitted[:-1] * (mean / scale)[:-1]).sum())
    return coefficients, errors
