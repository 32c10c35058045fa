"""Columns for hours that lie after the end of a weather run: what its last hours said, which fades slowly enough to tell of the next day.

A run of four days that is a day old says nothing of the fourth day ahead. Wind and warmth last, so the last day that the run does say
something of is to that day what the last measured day is to the next one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.signals import DAY

SOURCES = {
    "clean": "clean_log_change",
    "wind_share": "wind_change",
    "demand": "expected_demand",
    "wind": "wind_speed_m_per_s_over_usual",
    "temperature": "temperature_k_over_usual",
}
"""What is carried over the end, by its name here: columns of the same issue and earlier hours ahead."""
LAST_HOURS = 3
"""Hours that a run's very end is the mean of."""
COLUMNS = (
    *(f"{name}_{what}" for name in SOURCES for what in ("at_end", "of_end_day", "at_hour_of_end_day")),
    "hours_after_end",
)
"""Names of what `columns` returns at most."""
_WEATHER = "temperature_k"
"""Known where the run is."""


def columns(found: Mapping[str, FloatArray], leads: int) -> dict[str, FloatArray]:
    """What the end of each issue's run says of the hours after it.

    Args:
        found: Columns of the weather and of the curves by name, each of shape (n, leads).
        leads: Hours ahead.

    Returns:
        By name of `COLUMNS`, shape (n, leads); NaN within the run, and for issues whose run covers less than a day.
    """
    count = np.isfinite(found[_WEATHER]).sum(axis=1)
    after = np.arange(leads) - count[:, np.newaxis]
    is_after = (after >= 0) & (count >= DAY)[:, np.newaxis]
    if not is_after.any():
        return {}
    of_end_day = np.maximum(count[:, np.newaxis] - DAY + np.arange(DAY), 0)
    at_hour = np.take_along_axis(of_end_day, np.maximum(after, 0) % DAY, axis=1)
    out = {"hours_after_end": np.where(is_after, after, np.nan)}
    for name, source in SOURCES.items():
        if source not in found:
            continue
        values = np.asarray(found[source], dtype=np.float64)
        day = np.take_along_axis(values, of_end_day, axis=1)
        at_end, mean = day[:, -LAST_HOURS:].mean(axis=1, keepdims=True), day.mean(axis=1, keepdims=True)
        out[f"{name}_at_end"] = np.where(is_after, at_end, np.nan)
        out[f"{name}_of_end_day"] = np.where(is_after, mean, np.nan)
        out[f"{name}_at_hour_of_end_day"] = np.where(is_after, np.take_along_axis(values, at_hour, axis=1), np.nan)
    return out
