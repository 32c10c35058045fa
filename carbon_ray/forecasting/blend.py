"""How forecasts of several models become one: weights by their errors, which are corrected by the errors made lately.

The members' errors are compared together and not one by one: two models that err alike share a weight, one that errs differently earns more
than its own error says. Source: Bates & Granger (1969), doi:10.1057/jors.1969.103, with weights that are not negative and sum to one.
"""

from __future__ import annotations

import numpy as np

from carbon_ray.core.intensity import FloatArray

_ROUNDS = 300
_RIDGE = 0.02
"""Share of the mean squared error that is added to each member's own: without it nearly equal members get wild weights."""


def weights_of(products: FloatArray) -> FloatArray:
    """Weights that make the mean squared error of the weighted mean smallest.

    Args:
        products: Mean products of the members' errors, shape (..., members, members).

    Returns:
        Shape (..., members), not negative, with the sum 1.
    """
    members = products.shape[-1]
    own = np.trace(products, axis1=-2, axis2=-1)[..., np.newaxis, np.newaxis] / members
    matrix = products + np.eye(members) * (_RIDGE * own + 1e-12)
    weights = np.full(products.shape[:-1], 1 / members)
    # Exponentiated gradient: stays within the simplex, and needs no solver for a handful of members.
    step = 2.0 / np.max(np.abs(matrix), axis=(-2, -1), keepdims=False)[..., np.newaxis]
    for _ in range(_ROUNDS):
        slope = np.einsum("...ij,...j->...i", matrix, weights)
        slope -= slope.min(axis=-1, keepdims=True)
        weights = weights * np.exp(-step * slope)
        weights /= weights.sum(axis=-1, keepdims=True)
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
