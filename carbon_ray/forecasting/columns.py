"""What the many-zone model looks at: for every issue and hour ahead the numbers that the hour is explained by, under fixed names.

Intensities enter as logarithms relative to the zone's own usual day (the `ewma` forecaster's), so that what one zone teaches holds for
another. Every number is known at the issue: nothing at or after it is read but what was issued before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting import generation, run_end
from carbon_ray.forecasting.generation import Curves
from carbon_ray.forecasting.past import FUELS, ZonePast
from carbon_ray.forecasting.profiles import EWMA_WEIGHTS, MONTH_WEIGHTS, WEEK_WEIGHTS, by_lead, last_day, usual_day
from carbon_ray.forecasting.signals import DAY, WEEK, Hours
from carbon_ray.forecasting.weather import SUN, TEMPERATURE, WEATHER, WIND
from carbon_ray.forecasting.weather_rows import YEAR_DAYS, mean_of_day

MIN_HOURS = 29 * DAY
"""Hours of past that an issue needs: a month, and a day."""
HISTORY = (
    *("yesterday", "day_before", "last_week", "week", "month", "last_hour", "last_3_hours", "last_6_hours", "last_day"),
    *("day_over_day", "day_over_week", "week_over_month", "level", "shape", "hour_over_yesterday", "newest_cosine", "newest_sine"),
)
CALENDAR = ("lead", "hour", "weekday", "day_of_year", "weekday_of_issue")
MIX = (
    *(f"{fuel}_{what}" for fuel in FUELS for what in ("last_day", "yesterday", "last_hour", "week")),
    *("demand_yesterday", "demand_last_week"),
)
SKY = (
    *WEATHER,
    *(f"{name}_over_{what}" for what in ("yesterday", "usual") for name in WEATHER),
    *("wind_3_hours", "wind_7_hours", "wind_before", "wind_so_far"),
    *(f"{name}_{what}" for name in ("wind", "sun", "temperature") for what in ("of_day", "of_day_over_usual", "of_last_day")),
)
LEVELS = (
    "intensity_yesterday",
    "intensity_day_before",
    "intensity_last_week",
    "intensity_usual",
    "intensity_last_hour",
    "intensity_last_day",
)
COLUMNS = (*HISTORY, *CALENDAR, *MIX, *SKY, *generation.COLUMNS, *run_end.COLUMNS, *LEVELS)
"""Names of all columns, in their order."""
SCHEMA = hashlib.sha256("\n".join(COLUMNS).encode()).hexdigest()[:16]
"""Changes with the names and their order; a stored model works with its own alone."""
LINEAR = (
    *HISTORY,
    *(name for name in MIX if not name.endswith("week")),
    *(f"{name}_over_usual" for name in ("temperature_k", "wind_speed_m_per_s", "radiation_w_per_m2", "wind_of_day", "sun_of_day")),
    "temperature_of_day",
    *generation.COLUMNS,
    *(name for name in run_end.COLUMNS if name != "hours_after_end"),
)
"""Columns that enter the regressions, which add the calendar in their own way."""
YEARLY = (-3, -2)
"""Where the waves of the year stand in `Table.linear`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The columns of some issues.

    Attributes:
        values: Shape (issues, leads, `COLUMNS`), single precision; NaN where something is not known.
        usual_gco2_per_kwh: The usual day that everything is relative to, shape (issues, leads).
    """

    values: NDArray[np.float32]
    usual_gco2_per_kwh: FloatArray

    @classmethod
    def of(cls, past: ZonePast, issue: Hours, leads: int, curves: Curves | None) -> Table:
        """Columns of one zone.

        Args:
            past: What is known; of hours at or after an issue nothing is read.
            issue: Positions in the past, each from `MIN_HOURS` to its length; shape (n,).
            leads: Hours ahead.
            curves: Of the zone, where it has generation and weather.
        """
        usual = usual_day(past.values_gco2_per_kwh, issue, EWMA_WEIGHTS)
        found = _history(past, issue, leads, usual) | _calendar(past, issue, leads)
        if past.generation:
            found |= _mix(past, issue, leads)
        if past.weather is not None:
            found |= _sky(past, issue, leads)
        if curves is not None:
            found |= curves.columns(past, issue, leads)
        if past.weather is not None:
            found |= run_end.columns(found, leads)
        values = np.full((len(issue), leads, len(COLUMNS)), np.nan, dtype=np.float32)
        for name, column in found.items():
            values[:, :, _POSITION[name]] = column
        return cls(values=values, usual_gco2_per_kwh=by_lead(np.maximum(usual, 1.0), leads))

    def column(self, name: str) -> FloatArray:
        """One column, shape (issues, leads)."""
        return self.values[:, :, _POSITION[name]].astype(np.float64)

    def linear(self) -> FloatArray:
        """The columns of the regressions, shape (issues, leads, columns); what is not known is 0, the last one is constant."""
        chosen = np.nan_to_num(self.values[:, :, _LINEAR].astype(np.float64))
        weekday, day = (
            self.values[:, :, _POSITION["weekday"]],
            self.values[:, :, _POSITION["day_of_year"]] * (2 * np.pi / YEAR_DAYS),
        )
        days = [(weekday == one).astype(np.float64) for one in range(6)]
        return np.concatenate([chosen, np.stack([*days, np.cos(day), np.sin(day), np.ones(day.shape)], axis=-1)], axis=-1)


_POSITION = {name: position for position, name in enumerate(COLUMNS)}
_LINEAR = [_POSITION[name] for name in LINEAR]


def _logs(values: FloatArray) -> FloatArray:
    logs: FloatArray = np.log(np.maximum(values, 1.0))
    return logs


def _same(column: NDArray[np.floating[Any]]) -> FloatArray:
    """A number of an issue, for all hours ahead."""
    return column[:, np.newaxis].astype(np.float64)


def _means(past: ZonePast, issue: Hours) -> dict[int, FloatArray]:
    """Logarithms of the mean of the last hours, by their number."""
    total = np.concatenate([[0.0], np.cumsum(past.values_gco2_per_kwh)])
    return {hours: _logs((total[issue] - total[issue - hours]) / hours) for hours in (DAY, 2 * DAY, WEEK, 4 * WEEK)}


def _history(past: ZonePast, issue: Hours, leads: int, usual: FloatArray) -> dict[str, FloatArray]:
    values, logs, lead = past.values_gco2_per_kwh, past.log_values, np.arange(leads)
    base, means = by_lead(_logs(usual), leads), _means(past, issue)
    yesterday, day_before = last_day(logs, issue), last_day(logs, issue - DAY)
    last_week = logs[issue[:, np.newaxis] - WEEK + lead % WEEK]
    deviation: FloatArray = yesterday - _logs(usual)
    angle = 2 * np.pi * ((past.start_at.hour + issue[:, np.newaxis] + lead) % DAY) / DAY
    newest = deviation[:, -6:].mean(axis=1)
    before = _logs(2 * np.exp(means[2 * DAY]) - np.exp(means[DAY]))
    week, month = usual_day(values, issue, WEEK_WEIGHTS), usual_day(values, issue, MONTH_WEIGHTS)
    return {
        "yesterday": by_lead(yesterday, leads) - base,
        "day_before": by_lead(day_before, leads) - base,
        "last_week": np.asarray(last_week - base, dtype=np.float64),
        "week": by_lead(_logs(week), leads) - base,
        "month": by_lead(_logs(month), leads) - base,
        "last_hour": _same(deviation[:, -1]),
        "last_3_hours": _same(deviation[:, -3:].mean(axis=1)),
        "last_6_hours": _same(newest),
        "last_day": _same(deviation.mean(axis=1)),
        "day_over_day": _same(means[DAY] - before),
        "day_over_week": _same(means[DAY] - means[WEEK]),
        "week_over_month": _same(means[WEEK] - means[4 * WEEK]),
        "level": base,
        "shape": base - _same(_logs(usual.mean(axis=1))),
        "hour_over_yesterday": _same(logs[issue - 1] - logs[issue - 1 - DAY]),
        "newest_cosine": _same(newest) * np.cos(angle),
        "newest_sine": _same(newest) * np.sin(angle),
        "intensity_yesterday": np.exp(by_lead(yesterday, leads)),
        "intensity_day_before": np.exp(by_lead(day_before, leads)),
        "intensity_last_week": np.exp(last_week),
        "intensity_usual": np.exp(base),
        "intensity_last_hour": _same(values[issue - 1]),
        "intensity_last_day": _same(np.exp(means[DAY])),
    }


def _calendar(past: ZonePast, issue: Hours, leads: int) -> dict[str, FloatArray]:
    lead = np.arange(leads, dtype=np.float64)
    target = past.start_at.hour + issue[:, np.newaxis] + np.arange(leads)
    weekday = (past.start_at.weekday() + target // DAY) % 7
    return {
        "lead": np.broadcast_to(lead, target.shape),
        "hour": (target % DAY).astype(np.float64),
        "weekday": weekday.astype(np.float64),
        "day_of_year": np.asarray((past.start_at.timetuple().tm_yday + target // DAY) % YEAR_DAYS, dtype=np.float64),
        "weekday_of_issue": _same(weekday[:, 0].astype(np.float64)),
    }


def _mix(past: ZonePast, issue: Hours, leads: int) -> dict[str, FloatArray]:
    total = past.total
    assert total is not None
    found: dict[str, FloatArray] = {}
    for fuel, power in past.generation.items():
        share = power / total
        day = last_day(share, issue)
        found[f"{fuel}_last_day"], found[f"{fuel}_yesterday"] = _same(day.mean(axis=1)), by_lead(day, leads)
        found[f"{fuel}_last_hour"], found[f"{fuel}_week"] = _same(day[:, -1]), by_lead(usual_day(share, issue, WEEK_WEIGHTS), leads)
    usual = by_lead(usual_day(total, issue, EWMA_WEIGHTS), leads)
    found["demand_yesterday"] = np.log(by_lead(last_day(total, issue), leads) / usual)
    found["demand_last_week"] = np.log(total[issue[:, np.newaxis] - WEEK + np.arange(leads) % WEEK] / usual)
    return found


def _sky(past: ZonePast, issue: Hours, leads: int) -> dict[str, FloatArray]:
    assert past.weather is not None
    ahead = past.weather.ahead(issue, past.start_at, leads)
    lately = past.weather.lately(past.start_at, len(past))
    usual, yesterday = usual_day(lately, issue, EWMA_WEIGHTS), last_day(lately, issue)
    found: dict[str, FloatArray] = {}
    for index, name in enumerate(WEATHER):
        found[name] = ahead[..., index]
        found[f"{name}_over_yesterday"] = ahead[..., index] - by_lead(yesterday[..., index], leads)
        found[f"{name}_over_usual"] = ahead[..., index] - by_lead(usual[..., index], leads)
    wind = ahead[..., WIND]
    edged = np.pad(wind, ((0, 0), (3, 3)), mode="edge")
    for width, reach in ((3, 1), (7, 3)):
        found[f"wind_{width}_hours"] = np.mean([edged[:, 3 + shift : 3 + shift + leads] for shift in range(-reach, reach + 1)], axis=0)
    found["wind_before"] = np.concatenate([yesterday[:, -3:, WIND], wind[:, :-3]], axis=1)[:, :leads]
    found["wind_so_far"] = np.cumsum(wind, axis=1) / (np.arange(leads) + 1)
    for name, index in (("wind", WIND), ("sun", SUN), ("temperature", TEMPERATURE)):
        of_day = mean_of_day(ahead[..., index])
        found[f"{name}_of_day"], found[f"{name}_of_last_day"] = of_day, _same(yesterday[..., index].mean(axis=1))
        found[f"{name}_of_day_over_usual"] = of_day - _same(usual[..., index].mean(axis=1))
    return found
