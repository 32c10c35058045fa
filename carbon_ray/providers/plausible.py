"""What no grid can emit, and no source may answer: the checks that an answer passes before anything is made of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.errors import ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries

MOST_GCO2_PER_KWH = 4000.0
"""Lignite (101,000 kg CO2/TJ, which is 364 g per kWh of heat) at an efficiency of 9 %, which no grid's plants fall below.

Source: IPCC 2006 Guidelines for National Greenhouse Gas Inventories, volume 2, table 2.2 (emission factor of lignite)."""

_COMPARED = 24
"""Intervals seen before that an answer must have in common with the known ones, to be judged by them."""
_CHANGED_FRACTION = 0.75
_FACTOR = 2.0
_LEAST_GCO2_PER_KWH = 20.0
"""An interval counts as another one if it changed by more than the factor, and by more than so much."""


def require_answer(series: IntensitySeries, *, provider: str, kind: IntensityKind, zone: str, start_at: datetime, end_at: datetime) -> None:
    """Refuse an answer that is not what was asked for, or cannot be true.

    Raises:
        ProviderResponseError: Another kind, another zone, not all of the window, far more than it, or values above what is possible.
    """
    problem = ""
    step = timedelta(seconds=series.step_s)
    if series.kind is not kind:
        problem = f"answered with {series.kind} when asked for {kind}; kinds are never mixed"
    elif series.zone != zone:
        problem = f"answered with zone {series.zone}"
    elif series.start_at > start_at or series.end_at < end_at:
        problem = (
            f"answered with [{series.start_at:%Y-%m-%dT%H:%MZ}, {series.end_at:%Y-%m-%dT%H:%MZ}) when asked for "
            f"[{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ})"
        )
    elif series.start_at <= start_at - step or series.end_at >= end_at + step:
        problem = "answered with intervals outside of what was asked for"
    elif (highest := float(series.values_gco2_per_kwh.max())) > MOST_GCO2_PER_KWH:
        problem = f"answered with {highest:.4g} gCO2e/kWh; no grid emits more than {MOST_GCO2_PER_KWH:g}"
    if problem:
        raise ProviderResponseError(provider, zone, problem)


def require_forecast(forecast: Forecast, *, provider: str, kind: IntensityKind, zone: str, now: datetime) -> None:
    """Refuse a source's forecast that is not what was asked for, or cannot be.

    Raises:
        ProviderResponseError: Another kind, another zone, issued in the future, over already, or values above what is possible.
    """
    problem = ""
    if forecast.kind is not kind:
        problem = f"forecast {forecast.kind} when asked for {kind}; kinds are never mixed"
    elif forecast.zone != zone:
        problem = f"forecast zone {forecast.zone}"
    elif forecast.issued_at > now:
        problem = f"issued its forecast at {forecast.issued_at:%Y-%m-%dT%H:%M:%SZ}, which is still to come"
    elif forecast.end_at <= now:
        problem = f"forecast what was over at {forecast.end_at:%Y-%m-%dT%H:%MZ}"
    elif (highest := max(float(one.max()) for one in forecast.quantiles_gco2_per_kwh.values())) > MOST_GCO2_PER_KWH:
        problem = f"forecast {highest:.4g} gCO2e/kWh; no grid emits more than {MOST_GCO2_PER_KWH:g}"
    if problem:
        raise ProviderResponseError(provider, zone, problem)


def is_another_series(known: IntensitySeries, answer: IntensitySeries) -> bool:
    """True if an answer contradicts most of what the same source said before, where both have at least a day in common.

    Sources revise: single hours, or all of them by some percent. Most hours halved or doubled is no revision. Both must have the
    same step and grid.
    """
    step = timedelta(seconds=known.step_s)
    start_at, end_at = max(known.start_at, answer.start_at), min(known.end_at, answer.end_at)
    if known.step_s != answer.step_s or (answer.start_at - known.start_at) % step or end_at - start_at < _COMPARED * step:
        return False
    before = known.window(start_at, end_at).values_gco2_per_kwh
    after = answer.window(start_at, end_at).values_gco2_per_kwh
    is_far = np.abs(after - before) > _LEAST_GCO2_PER_KWH
    is_multiple = np.maximum(before, after) > _FACTOR * np.minimum(before, after)
    return float((is_far & is_multiple).mean()) > _CHANGED_FRACTION
