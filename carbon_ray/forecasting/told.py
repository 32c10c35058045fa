"""What a model has learned to rely on, and whether a zone's past has it now: a regression must not read a gap as a zero."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.columns import LINEAR, MIX, SKY
from carbon_ray.forecasting.generation import USED
from carbon_ray.forecasting.model import ManyZoneModel
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.signals import DAY

_OF_MIX = [position for position, name in enumerate(LINEAR) if name in MIX]
_OF_SKY = [position for position, name in enumerate(LINEAR) if name in SKY]
MOST_UNKNOWN_HOURS = DAY
"""Hours ahead whose weather may be missing."""


def lacks(model: ManyZoneModel, past: ZonePast) -> bool:
    """True if the zone's part of the model was trained with generation or weather that its past does not have for the next hours.

    Args:
        model: Trained.
        past: Of one zone, up to the issue; of a zone that the model does not know nothing is lacking.
    """
    own = model.zones.get(past.zone)
    if own is None:
        return False
    if not past.generation and _uses(own.coefficients.values(), _OF_MIX):
        return True
    if not _uses(own.coefficients.values(), _OF_SKY):
        return False
    if past.weather is None:
        return True
    ahead = past.weather.ahead(np.array([len(past)]), past.start_at, model.recipe.leads)[0][:, USED]
    return int((~np.isfinite(ahead)).any(axis=1).sum()) > MOST_UNKNOWN_HOURS


def _uses(coefficients: Iterable[FloatArray], columns: list[int]) -> bool:
    return any(bool(one[:, columns].any()) for one in coefficients)
