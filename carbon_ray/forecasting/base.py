"""What a forecaster must offer, and the two rules that all of them share: what is past, and which intervals are forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from carbon_ray.core.clock import require_utc
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import IntensitySeries

QUANTILES = (0.1, MEDIAN, 0.9)
"""Levels that every forecaster gives at least."""


@runtime_checkable
class Forecaster(Protocol):
    """Turns the history of all zones into their forecasts, in one call because a model may learn from all of them."""

    @property
    def name(self) -> str:
        """Name of the model, as forecasts and reports show it."""
        ...

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """Forecast every zone of `history`.

        Only intervals that end at or before `now` are used, whatever else the series hold. A forecast starts at `now`
        floored to the zone's own grid, reaches at least to `now + horizon_s`, and keeps the kind and provenance of its
        history.

        Args:
            history: By zone; steps may differ between zones.
            now: Aware UTC.
            horizon_s: Seconds, above zero.

        Raises:
            ForecastError: A zone has no interval that ended by `now`.
            ValueError: `now` is not in UTC, or the horizon is not above zero.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which intervals of a series are past and which are to be forecast, counted on the series' own grid.

    Attributes:
        past: Number of intervals that the series holds and that ended by `now`.
        first: Position of the interval that holds `now`; negative before the series.
        count: Number of intervals from there that reach the horizon.
        start_at: Start of the interval that holds `now`, aware UTC.
    """

    past: int
    first: int
    count: int
    start_at: datetime

    @classmethod
    def of(cls, series: IntensitySeries, *, now: datetime, horizon_s: float) -> Window:
        """The window of one zone.

        Raises:
            ValueError: `now` is not in UTC, or the horizon is not above zero and finite.
        """
        require_utc(now, "now")
        if not 0 < horizon_s < math.inf:
            raise ValueError(f"horizon_s must be above 0 and finite, got {horizon_s}")
        step = timedelta(seconds=series.step_s)
        first = (now - series.start_at) // step
        start_at = series.start_at + first * step
        count = -((start_at - now - timedelta(seconds=horizon_s)) // step)
        return cls(past=max(0, min(len(series), first)), first=first, count=count, start_at=start_at)
