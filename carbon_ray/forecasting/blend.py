"""How forecasts of several models become one: weights by their errors, which are corrected by the errors made lately.

The members' errors are compared together and not one by one: two models that err alike share a weight, one that errs differently earns more
than its own error says. Source: Bates & Granger (1969), doi:10.1057/jors.1969.103, with weights that are not negative and sum to one.
"""

from __future__ import annotations

import functools

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
    chosen = _choices(members)
    # Members that are not chosen become equations of their own with the answer 0: all choices are solved in one call.
    both = chosen[:, :, np.newaxis] * chosen[:, np.newaxis, :]
    systems = matrix[..., np.newaxis, :, :] * both + np.eye(members) * (1 - chosen)[:, :, np.newaxis]
    solved = np.linalg.solve(systems, np.broadcast_to(chosen[..., np.newaxis], (*systems.shape[:-1], 1)))[..., 0]
    total = solved.sum(axis=-1)
    # At the optimum the mean squared error is one over the sum.
    is_allowed = (solved >= 0).all(axis=-1)
    best = np.argmin(np.where(is_allowed, 1 / total, np.inf), axis=-1)[..., np.newaxis, np.newaxis]
    found = np.take_along_axis(solved / total[..., np.newaxis], best, axis=-2)[..., 0, :]
    weights: FloatArray = np.maximum(found, 0.0)
    return weights


@functools.lru_cache(maxsize=8)
def _choices(members: int) -> FloatArray:
    """Every choice of at least one member, as rows of 0 and 1."""
    return np.array([[choice >> member & 1 for member in range(members)] for choice in range(1, 2**members)], dtype=np.float64)


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
