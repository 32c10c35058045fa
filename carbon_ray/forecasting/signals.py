"""What the linear forecaster looks at: one zone's hourly past, turned into the numbers that one hour ahead is explained by.

Every number is known at the start of the hour of issue: nothing at or after it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray

DAY, WEEK = 24, 168
MIN_HOURS = 29 * DAY
"""Hours of past that the signals of an issue need: a month, and a day to measure deviations on."""
SMOOTH_DAYS, SMOOTH_DECAY = 14, 0.7
"""The daily profile that deviations are measured from has the weights of the `ewma` forecaster."""
RECENT_HOURS = 6
"""Deviations of so many last hours are looked at."""

Hours = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What is known at some issues, whatever hour is asked about; all of shape (n,).

    Attributes:
        issue: Positions of the hours that are issued at.
        newest: Deviation of the last known hour from the usual day.
        shift: Mean of the last day less that of the usual day.
        fixed: Signals that are the same for all hours ahead.
    """

    issue: Hours
    newest: FloatArray
    shift: FloatArray
    fixed: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """One zone's past, prepared; make it with `Signals.of`.

    Attributes:
        values: Hourly values, the oldest first, gCO2e per kWh.
        smooth: Weighted mean of the same hour on the last two weeks' days, for every hour up to a day after the values' end.
        monthly: The same over four weeks, all days alike.
        weekly: The same over one week.
        day, smooth_day, monthly_day: Means of `values`, `smooth` and `monthly` over the day before each hour.
        first_hour: Hour of the day of the first value, UTC.
        first_day: Days from Monday of the first value.
    """

    values: FloatArray
    smooth: FloatArray
    monthly: FloatArray
    weekly: FloatArray
    day: FloatArray
    smooth_day: FloatArray
    monthly_day: FloatArray
    first_hour: int
    first_day: int

    @classmethod
    def of(cls, values_gco2_per_kwh: FloatArray, start_at: datetime) -> Signals:
        """Prepare a past.

        Args:
            values_gco2_per_kwh: Hourly values, the oldest first.
            start_at: Start of the first one, aware UTC.
        """
        values = np.asarray(values_gco2_per_kwh, dtype=np.float64)
        decays = np.power(SMOOTH_DECAY, np.arange(SMOOTH_DAYS))
        smooth, monthly = _over_days(values, decays / decays.sum()), _over_days(values, np.full(28, 1 / 28))
        return cls(
            values=values,
            smooth=smooth,
            monthly=monthly,
            weekly=_over_days(values, np.full(7, 1 / 7)),
            day=_days_before(values),
            smooth_day=_days_before(smooth),
            monthly_day=_days_before(monthly),
            first_hour=start_at.hour,
            first_day=start_at.weekday(),
        )

    def known_at(self, issue: Hours) -> Known:
        """What is the same for all hours ahead.

        Args:
            issue: Positions in the values, each from `MIN_HOURS` to their number; shape (n,).
        """
        x = self.values
        recent = [x[issue - back] - self.smooth[issue - back + DAY] for back in range(1, RECENT_HOURS + 1)]
        today, usual = self.day[issue], self.smooth_day[issue + DAY]
        return Known(
            issue=issue,
            newest=recent[0],
            shift=today - usual,
            fixed=(
                *recent[:3],
                np.mean(recent, axis=0),
                today,
                usual,
                self.monthly_day[issue + DAY],
                today - self.day[issue - DAY],
            ),
        )

    def ahead(self, known: Known, lead: int) -> FloatArray:
        """Signals for the hour `lead` hours ahead, >= 0.

        Returns:
            Shape (n, signals); the last one is constant.
        """
        issue, target = known.issue, known.issue + lead
        same_hour = issue + lead % DAY  # the day that begins at the issue is known from its past days
        angle = 2 * np.pi * ((target + self.first_hour) % DAY) / DAY
        waves = (np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle))
        weekday = ((target + self.first_hour) // DAY + self.first_day) % 7
        columns = (
            self.smooth[same_hour],
            self.monthly[same_hour],
            self.values[same_hour - DAY],
            self.values[issue - WEEK + lead % WEEK],
            self.weekly[same_hour],
            *known.fixed,
            *waves,
            *(known.newest * wave for wave in waves),
            *(known.shift * wave for wave in waves),
            *((weekday == day).astype(np.float64) for day in (5, 6, 0)),
            np.ones(len(issue)),
        )
        return np.stack(columns, axis=-1)


def _over_days(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean of the same hour on the days before, the newest first; NaN where one of them is not known."""
    out = np.zeros(len(values) + DAY)
    for age, weight in enumerate(weights, start=1):
        shifted = np.full(len(out), np.nan)
        shifted[DAY * age :] = values[: max(0, len(out) - DAY * age)]
        out += weight * shifted
    return out


def _days_before(values: FloatArray) -> FloatArray:
    """Mean of the day before each position, one more than there are values; NaN in the first day."""
    means = np.full(len(values) + 1, np.nan)
    if len(values) >= DAY:
        means[DAY:] = np.lib.stride_tricks.sliding_window_view(values, DAY).mean(axis=1)
    return means
