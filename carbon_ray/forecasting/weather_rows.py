"""The columns of the power curves: bent lines in wind, sun and warmth, and waves of the day and the year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.profiles import EWMA_WEIGHTS, by_lead, usual_day
from carbon_ray.forecasting.signals import DAY, WEEK, Hours
from carbon_ray.forecasting.weather import SUN, TEMPERATURE, WIND

YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeatherRows:
    """Weather ahead of some issues, prepared for the curves.

    Attributes:
        ahead: Shape (n, leads, weather), NaN where not known.
        around: The same from 3 hours before to 3 hours after.
        issue: Shape (n,).
        hour, day, weekday: Of the target hours: hour of the day, day of the year, days from Monday; shape (n, leads).
    """

    ahead: FloatArray
    around: FloatArray
    issue: Hours
    hour: FloatArray
    day: FloatArray
    weekday: Hours

    @classmethod
    def of(cls, past: ZonePast, issue: Hours, leads: int) -> WeatherRows:
        """What the newest runs known at some issues say."""
        assert past.weather is not None
        ahead = past.weather.ahead(issue, past.start_at, leads)
        before = past.weather.lately(past.start_at, len(past))[issue[:, np.newaxis] + np.arange(-3, 0)]
        return cls._with(past, ahead, before, issue)

    @classmethod
    def of_days(cls, past: ZonePast) -> WeatherRows:
        """What was expected of every whole day of the past but the first, by the newest run known as it began."""
        return cls.of(past, np.arange(DAY, len(past) - DAY + 1, DAY), DAY)

    @classmethod
    def _with(cls, past: ZonePast, ahead: FloatArray, before: FloatArray, issue: Hours) -> WeatherRows:
        target = issue[:, np.newaxis] + np.arange(ahead.shape[1])
        start = past.start_at
        before = np.where(np.isfinite(before), before, ahead[:, :1])
        # A run's last known hour stands for the hours after it, which only smooth what is before.
        padded = np.concatenate([before, ahead, np.repeat(ahead[:, -1:], 3, axis=1)], axis=1)
        return cls(
            ahead=ahead,
            around=padded,
            issue=issue,
            hour=((start.hour + target) % DAY).astype(np.float64),
            day=(start.timetuple().tm_yday - 1 + target / DAY) % YEAR_DAYS,
            weekday=(start.weekday() + (start.hour + target) // DAY) % 7,
        )

    def wind_rows(self) -> FloatArray:
        """Columns that wind power is explained by, shape (n, leads, columns); the last one is constant."""
        speed, warmth, hours = self.ahead[..., WIND], (self.ahead[..., TEMPERATURE] - 280) / 10, self.ahead.shape[1]
        smooth = np.mean([self.around[:, shift : shift + hours, WIND] for shift in range(1, 6)], axis=0)
        knots = (3, 5, 7, 9)
        return np.concatenate(
            [
                _product(_bent(speed, knots), _waves(self.hour, DAY, 1)),
                _product(_bent(smooth, knots), _waves(self.day, YEAR_DAYS, 2)),
                _product((speed * warmth)[..., np.newaxis], _waves(self.hour, DAY, 1)),
                _bent(warmth, (0, 1)),
                _waves(self.hour, DAY, 2)[..., ::-1],  # the constant last
            ],
            axis=-1,
        )

    def sun_rows(self) -> FloatArray:
        """Columns that solar power is explained by, likewise."""
        hours, sun = self.ahead.shape[1], self.ahead[..., SUN] / 100
        of_day = mean_of_day(self.ahead[..., SUN]) / 100
        calendar = _product(_waves(self.hour, DAY, 4), _waves(self.day, YEAR_DAYS, 2))
        shapes = np.stack([sun, np.sqrt(np.maximum(sun, 0)), sun**2 / 5], axis=-1)
        beside = np.stack([self.around[:, 2 : 2 + hours, SUN], self.around[:, 4 : 4 + hours, SUN]], axis=-1) / 100
        warmth = (self.ahead[..., TEMPERATURE] - 285) / 10
        return np.concatenate(
            [
                _product(shapes, _waves(self.hour, DAY, 3)),
                of_day[..., np.newaxis] * calendar,
                beside,
                _product(sun[..., np.newaxis], _bent(warmth, (0,))),
                calendar[..., ::-1],
            ],
            axis=-1,
        )

    def demand_rows(self, past: ZonePast) -> FloatArray:
        """Columns that the demand over the usual one is explained by, likewise."""
        total = past.total
        assert total is not None
        assert past.weather is not None
        n, leads = self.ahead.shape[:2]
        lead, issue = np.arange(leads), self.issue
        warmth = (self.ahead[..., TEMPERATURE] - 285) / 10
        lately = past.weather.lately(past.start_at, len(past))[:, TEMPERATURE]
        usual = by_lead(usual_day((lately - 285) / 10, issue, EWMA_WEIGHTS), leads)
        warmer = np.where(np.isfinite(usual), warmth - usual, 0.0)
        day, today = usual_day(total, issue, EWMA_WEIGHTS), total[issue[:, np.newaxis] - DAY + np.arange(DAY)]
        recent = np.log(today.mean(axis=1) / day.mean(axis=1))[:, np.newaxis]
        week = np.log(total[issue[:, np.newaxis] - WEEK + lead % WEEK] / by_lead(day, leads))
        weekdays = np.stack([(self.weekday == one).astype(np.float64) for one in range(7)], axis=-1)
        issued = np.broadcast_to(weekdays[:, :1, :6], (n, leads, 6))
        return np.concatenate(
            [
                _product(weekdays, _waves(self.hour, DAY, 3)),
                issued,
                _product(weekdays[..., [0, 5, 6]], issued),
                _product(_bent(warmth, (0, 1)), _waves(self.hour, DAY, 2)),
                _product(np.stack([warmer, warmer * warmth, warmer * np.maximum(warmth - 0.5, 0)], axis=-1), _waves(self.hour, DAY, 2)),
                np.stack([np.broadcast_to(recent, week.shape), recent * np.exp(-lead / DAY), week], axis=-1),
                _waves(self.day, YEAR_DAYS, 2)[..., ::-1],
            ],
            axis=-1,
        )


def mean_of_day(values: FloatArray) -> FloatArray:
    """Mean of what is known of each 24 hours ahead, repeated for its hours; the last ones may be fewer. Shape (n, leads)."""
    starts = np.arange(0, values.shape[1], DAY)
    lengths = np.diff(np.append(starts, values.shape[1]))
    is_known = np.isfinite(values)
    total = np.add.reduceat(np.where(is_known, values, 0.0), starts, axis=1)
    counts = np.add.reduceat(is_known.astype(np.float64), starts, axis=1)
    means: FloatArray = np.repeat(np.where(counts > 0, total / np.maximum(counts, 1.0), np.nan), lengths, axis=1)
    return means


def _bent(values: FloatArray, knots: tuple[float, ...]) -> FloatArray:
    """A line that may bend at knots, shape (..., 1 + knots)."""
    return np.stack([values, *(np.maximum(values - knot, 0) for knot in knots)], axis=-1)


def _waves(values: FloatArray, period: float, count: int) -> FloatArray:
    """A constant and `count` pairs of waves, shape (..., 1 + 2 count)."""
    angle = 2 * np.pi * values / period
    return np.stack(
        [np.ones_like(angle), *(shape(number * angle) for number in range(1, count + 1) for shape in (np.cos, np.sin))], axis=-1
    )


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """All products of two groups of columns."""
    product = left[..., :, np.newaxis] * right[..., np.newaxis, :]
    return product.reshape(*product.shape[:-2], -1)
