"""A zone without history: its typical year, moved by what its siblings' forecasts say of this season and this week.

Siblings share weather and fuel prices. By how much their forecasts differ from their own typical years is carried over, the more the better
they agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from carbon_ray.core.errors import ForecastError
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.forecasting.base import QUANTILES

NAME = "cold_start"
_LEAST_GCO2_PER_KWH = 1.0
_SCATTER_PRIOR = 0.15
"""Scatter between siblings at which half of their common deviation is carried over, as logarithm."""
_SPREAD = {0.1: -1.2816, 0.9: 1.2816}
"""Standard deviations of a normal distribution at the outer levels."""
TYPICAL_ERROR = 0.25
"""Standard deviation of a zone's hour around its typical year that is assumed where nobody has measured one, as logarithm."""


def cold_start(
    typical: IntensitySeries,
    siblings: Mapping[str, Forecast],
    typical_of_siblings: Mapping[str, IntensitySeries],
    *,
    now: datetime,
    deviation_log: float = TYPICAL_ERROR,
) -> Forecast:
    """Forecast a zone that has no history.

    Args:
        typical: Its typical year over the hours to be forecast, such as the embedded profile's.
        siblings: Forecasts of zones of the same kind of intensity; may be none.
        typical_of_siblings: The typical years of these zones, over the same hours.
        now: Aware UTC.
        deviation_log: Standard deviation of the zone's hours around its typical year, as logarithm.

    Returns:
        A forecast whose provenance is that of the typical year.

    Raises:
        ForecastError: A sibling counts something else, or its typical year is not there.
    """
    usual = np.maximum(typical.values_gco2_per_kwh, _LEAST_GCO2_PER_KWH)
    moves = []
    for zone, forecast in siblings.items():
        if forecast.kind != typical.kind:
            raise ForecastError(f"zone {zone} counts {forecast.kind}, not {typical.kind}: it says nothing about {typical.zone}")
        if zone not in typical_of_siblings:
            raise ForecastError(f"the typical year of zone {zone} is needed to tell how its forecast differs from it")
        moves.append(_move(forecast, typical_of_siblings[zone], typical))
    shift, spread = np.zeros(len(usual)), np.full(len(usual), deviation_log)
    if moves:
        common, scatter = np.mean(moves, axis=0), np.std(moves, axis=0) if len(moves) > 1 else np.full(len(usual), deviation_log)
        share = _SCATTER_PRIOR**2 / (_SCATTER_PRIOR**2 + scatter**2)
        shift, spread = share * common, np.hypot(spread, scatter)
    values = {MEDIAN: usual * np.exp(shift)}
    for level in QUANTILES:
        if level != MEDIAN:
            values[level] = usual * np.exp(shift + _SPREAD[level] * spread)
    return Forecast(
        zone=typical.zone,
        kind=typical.kind,
        issued_at=now,
        start_at=typical.start_at,
        step_s=typical.step_s,
        quantiles_gco2_per_kwh=values,
        forecaster=NAME,
        provenance=typical.provenance,
    )


def _move(forecast: Forecast, typical: IntensitySeries, like: IntensitySeries) -> FloatArray:
    """Logarithm of a sibling's forecast over its typical year, on the hours of the zone; 0 beyond the forecast."""
    ratio = np.zeros(len(like))
    usual = typical.resample(like.start_at, like.step_s, len(like))
    step = (like.end_at - like.start_at) / len(like)
    begin = max(0, -((like.start_at - forecast.start_at) // step))
    end = min(len(like), (forecast.end_at - like.start_at) // step)
    if begin < end:
        said = forecast.resample(like.start_at + begin * step, like.step_s, end - begin)
        ratio[begin:end] = np.log(np.maximum(said, _LEAST_GCO2_PER_KWH) / np.maximum(usual[begin:end], _LEAST_GCO2_PER_KWH))
    return ratio
