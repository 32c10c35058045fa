"""How forecasts of several models become one: weights by their errors, which are corrected by the errors made lately.

The members' errors are compared together and not one by one: two models that err alike share a weight, one that errs differently earns more
than its own error says. Source: Bates & Granger (1969), doi:10.1057/jors.1969.103, with weights that are not negative and sum to one.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from carbon_ray.core.intensity import FloatArray

_RIDGE = 0.02
"""Share of the mean squared error that is added to each member's own: without it nearly equal members get wild weights."""
_TINY = 1e-12


def weights_of(products: FloatArray) -> FloatArray:
    """Weights that make the mean squared error of the weighted mean smallest.

    Every choice of members is tried, because there are few: the best one whose own optimum needs no negative weight is the answer.

    Args:
        products: Mean products of the members' errors, shape (..., members, members).

    Returns:
        Shape (..., members), not negative, with the sum 1.
    """
    members = products.shape[-1]
    own = np.trace(products, axis1=-2, axis2=-1)[..., np.newaxis, np.newaxis] / members
    matrix = products + np.eye(members) * (_RIDGE * own + _TINY)
    best, weights = np.full(products.shape[:-2], np.inf), np.zeros(products.shape[:-1])
    for count in range(1, members + 1):
        for chosen in combinations(range(members), count):
            part = matrix[..., np.array(chosen)[:, np.newaxis], np.array(chosen)]
            solved = np.linalg.solve(part, np.ones((*part.shape[:-2], count, 1)))[..., 0]
            total = solved.sum(axis=-1)
            # At the optimum the mean squared error is one over the sum.
            is_better = (solved >= 0).all(axis=-1) & (1 / total < best)
            best = np.where(is_better, 1 / total, best)
            found = np.zeros(products.shape[:-1])
            found[..., list(chosen)] = solved / total[..., np.newaxis]
            weights = np.where(is_better[..., np.newaxis], found, weights)
    return weights


def products_of(errors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sums of the products of the members' errors over issues and hours, and their number.

    Args:
        errors: Shape (issues, hours, members); NaN where a truth or a member is not known, which leaves the hour out.

    Returns:
        Shapes (members, members) and ().
    """
    flat = errors.reshape(-1, errors.shape[-1])
    known = flat[np.isfinite(flat).all(axis=1)]
    return known.T @ known, np.asarray(float(len(known)))
