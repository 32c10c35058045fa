"""Weather as it was forecast: runs of a weather model over one zone, hour by hour, and which of them was known when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import FloatArray

WEATHER = ("wind_speed_m_per_s", "temperature_k", "dewpoint_k", "radiation_w_per_m2", "precipitation_kg_per_m2")
"""The last axis of `WeatherRuns.values`; radiation and precipitation are those of the hour."""
WIND, TEMPERATURE, DEWPOINT, SUN, RAIN = range(len(WEATHER))
RUN_HOURS = 24
"""Hours between runs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeatherRuns:
    """Daily runs of a weather model, as means over a zone.

    Attributes:
        first_run_at: Start of the first run, on the hour, aware UTC; one run follows a day later than the other.
        values: Shape (runs, hours ahead of the run's start, `WEATHER`); NaN where nothing is known.
        delay_h: Hours between a run's start and the moment when it can be used. That of the GFS is about five; 0 assumes
            that it is there at once.
    """

    first_run_at: datetime
    values: FloatArray
    delay_h: int

    def __post_init__(self) -> None:
        require_utc(self.first_run_at, "first_run_at")
        if self.values.ndim != 3 or self.values.shape[2] != len(WEATHER) or self.delay_h < 0:
            raise ValueError(f"weather needs values of shape (runs, hours, {len(WEATHER)}) and a delay of at least 0 h")

    def ahead(self, issue: NDArray[np.intp], start_at: datetime, hours: int) -> FloatArray:
        """What the newest run that was known at each issue says of the next hours.

        Args:
            issue: Positions of hours, counted from `start_at`; shape (n,).
            start_at: Start of the hour 0, aware UTC.
            hours: Hours ahead.

        Returns:
            Shape (n, hours, `WEATHER`); NaN before the first run, after the last one and beyond a run's end.
        """
        run, begin = self._newest(issue, start_at)
        lead = (issue - begin)[:, np.newaxis] + np.arange(hours)
        return self._take(np.broadcast_to(run[:, np.newaxis], lead.shape), lead)

    def lately(self, start_at: datetime, hours: int) -> FloatArray:
        """For every hour what the newest run known at its start says of it, shape (hours, `WEATHER`)."""
        position = np.arange(hours)
        run, begin = self._newest(position, start_at)
        return self._take(run, position - begin)

    def _newest(self, position: NDArray[np.intp], start_at: datetime) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The newest run known at each hour, and the position at which it starts."""
        first = (self.first_run_at - start_at) // timedelta(hours=1)
        run = (position - first - self.delay_h) // RUN_HOURS
        return run, first + run * RUN_HOURS

    def _take(self, run: NDArray[np.intp], lead: NDArray[np.intp]) -> FloatArray:
        runs, hours, _ = self.values.shape
        is_there = (run >= 0) & (run < runs) & (lead >= 0) & (lead < hours)
        taken = self.values[np.clip(run, 0, runs - 1), np.clip(lead, 0, hours - 1)]
        return np.where(is_there[..., np.newaxis], taken, np.nan)
