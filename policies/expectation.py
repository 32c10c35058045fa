"""What a snapshot says of many zones on a policy's slots, as matrices: made once for all workloads that ask at one instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from carbon_ray.core.forecast import MEDIAN, Forecast, ForecastSnapshot
from carbon_ray.core.intensity import FloatArray, resampled
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.recent import Recent

LOW, HIGH = 0.1, 0.9
"""Quantiles that the spread of a forecast is read from."""

Expectation = tuple[FloatArray, FloatArray]
"""Median and standard deviation of the error, gCO2e per kWh, both of shape (slots, zones)."""

_recent: Recent[Expectation] = Recent(16)


def expectation(snapshot: ForecastSnapshot, zones: tuple[str, ...], start_at: datetime, slot_s: float, slots: int) -> Expectation:
    """Median and spread of every zone on the slots; not to be written to.

    Args:
        snapshot: Forecasts.
        zones: In the order of the columns.
        start_at: Start of the first slot, aware UTC.
        slot_s: Length of a slot, seconds.
        slots: How many.

    Raises:
        UnknownZoneError: The snapshot lacks a zone.
        ForecastHorizonError: A forecast does not reach so far.
    """
    median, spread = _recent.get(
        (id(snapshot), zones, start_at, slot_s),
        snapshot,
        lambda: _made([snapshot[zone] for zone in zones], start_at, slot_s, slots),
        fits=lambda known: len(known[0]) >= slots,
    )
    return median[:slots], spread[:slots]


def _made(forecasts: Sequence[Forecast], start_at: datetime, slot_s: float, slots: int) -> Expectation:
    """As far as asked for, and on to where the first forecast ends: the next workload may look further ahead."""
    for forecast in forecasts:
        forecast.position(start_at, slot_s, slots)  # refuses what lies outside
    reach_s = min((forecast.end_at - start_at).total_seconds() for forecast in forecasts)
    slots = max(slots, int(reach_s // slot_s))
    first = forecasts[0]
    grid = (first.start_at, first.step_s, len(first.quantiles_gco2_per_kwh[MEDIAN]), first.quantiles_gco2_per_kwh.keys())
    if all(
        (one.start_at, one.step_s, len(one.quantiles_gco2_per_kwh[MEDIAN]), one.quantiles_gco2_per_kwh.keys()) == grid for one in forecasts
    ):
        position, ratio = first.position(start_at, slot_s, slots), slot_s / first.step_s

        def at(level: float) -> FloatArray:
            return resampled(np.stack([one.quantiles_gco2_per_kwh[level] for one in forecasts], axis=1), position, ratio, slots)

        median = at(MEDIAN)
        spread = (at(HIGH) - at(LOW)) / LEVELS_APART if {LOW, HIGH} <= first.quantiles_gco2_per_kwh.keys() else np.zeros_like(median)
        return median, spread
    return (
        np.stack([one.resample(start_at, slot_s, slots) for one in forecasts], axis=1),
        np.stack([spread_of(one, start_at, slot_s, slots) for one in forecasts], axis=1),
    )


def spread_of(forecast: Forecast, start_at: datetime, slot_s: float, slots: int) -> FloatArray:
    """Standard deviation of a forecast's error by slot, gCO2e per kWh, as if it were normal between the outer quantiles."""
    if not {LOW, HIGH} <= set(forecast.quantiles_gco2_per_kwh):
        return np.zeros(slots)
    apart = forecast.resample(start_at, slot_s, slots, HIGH) - forecast.resample(start_at, slot_s, slots, LOW)
    spread: FloatArray = apart / LEVELS_APART
    return spread
