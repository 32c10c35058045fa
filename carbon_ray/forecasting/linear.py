"""A forecaster that learns from a zone's own past: for every hour ahead its own ridge regression on a few dozen signals.

Direct, not recursive: the hour 30 ahead is explained by what is known now, so errors do not feed on themselves. Far hours
fall back to the usual day by themselves, because the recent deviation explains less and less of them. The quantiles are
those of the residuals, by hour of issue and hour ahead.

Needs two months of hourly history; a zone with less is given to the `ewma` forecaster.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.core.units import S_PER_H
from carbon_ray.forecasting.base import QUANTILES, Window
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.forecasting.ridge import ridge
from carbon_ray.forecasting.signals import DAY, MIN_HOURS, Signals

LEADS = 8 * DAY
"""Hours ahead that have a regression of their own; later ones use that of the same hour on the last of these days."""
MIN_TRAIN_HOURS = 31 * DAY
"""Issues that a fit needs, beside the month that the first one looks back on."""
STRIDE = 5
"""Every fifth hour is an issue to learn from: neighbours say the same, and five has no divisor in common with a day."""
WATCHED_LEADS = (5, 11, 23)
"""Hours ahead at which past forecasts are held against what came true."""
WATCHED_HOURS, PRIOR_HOURS = 28 * DAY, 10 * DAY
"""Issues that are looked at, and the weight of the training's own spread among them."""
LOW, HIGH = min(QUANTILES), max(QUANTILES)
LEVELS_APART = NormalDist().inv_cdf(HIGH) - NormalDist().inv_cdf(LOW)
"""Standard deviations between the outer quantiles of a normal distribution."""
_TINY = 1e-9
FOLDS = 4
"""Stretches of the history of which each in turn is left out to measure the errors."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearModel:
    """What was learned of one zone.

    Attributes:
        coefficients: Shape (`LEADS`, signals).
        residuals_gco2_per_kwh: Quantiles of the residuals by level, each of shape (24 hours of issue UTC, `LEADS`).
    """

    coefficients: FloatArray
    residuals_gco2_per_kwh: Mapping[float, FloatArray]

    @classmethod
    def fit(cls, signals: Signals, until: int, penalty: float) -> LinearModel:
        """Learn from the first `until` hours.

        Args:
            signals: The zone's past.
            until: Number of hours that may be looked at, at least `MIN_HOURS + MIN_TRAIN_HOURS`.
            penalty: Weight of the squared coefficients, in standardised signals, per 1,000 issues.
        """
        coefficients, levels = [], [level for level in QUANTILES if level != MEDIAN]
        residuals = {level: np.empty((DAY, LEADS)) for level in levels}
        issues = np.arange(MIN_HOURS, until, STRIDE)
        known = signals.known_at(issues)
        for lead in range(LEADS):
            count = int((issues + lead < until).sum())
            rows, truth = signals.ahead(known, lead)[:count], signals.values[issues[:count] + lead]
            fitted, errors = ridge(rows, truth, penalty / 1000, FOLDS)
            coefficients.append(fitted)
            hour = (issues[:count] + signals.first_hour) % DAY
            for of_day in range(DAY):
                now_and_then = errors[hour == of_day]
                for level in levels:
                    residuals[level][of_day, lead] = np.quantile(now_and_then if len(now_and_then) > 1 else errors, level)
        return cls(coefficients=np.array(coefficients), residuals_gco2_per_kwh=residuals)

    def predict(self, signals: Signals, issues: np.ndarray[tuple[int], np.dtype[np.intp]], hours: int) -> FloatArray:
        """Expected intensity of the next hours, as known at each issue.

        Args:
            signals: The zone's past.
            issues: Positions of the first forecast hours, each from `MIN_HOURS` to the number of values.
            hours: Hours ahead.

        Returns:
            Shape (issues, hours), gCO2e per kWh, not negative.
        """
        out, known = np.empty((len(issues), hours)), signals.known_at(issues)
        for lead, own in enumerate(_own_leads(hours)):
            out[:, lead] = signals.ahead(known, lead) @ self.coefficients[own]
        return np.maximum(out, 0.0)

    def surprise(self, signals: Signals, issues: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
        """By what factor the errors of the last four weeks exceeded what the training had led to expect, as known at each issue.

        Years differ: a calm one teaches spreads that are too narrow for a wild one.

        Args:
            signals: The zone's past.
            issues: Neighbouring positions in ascending order, each from `MIN_HOURS` to the number of values.

        Returns:
            Shape (issues,); 1 where errors were as usual or nothing is known yet.
        """
        first = max(MIN_HOURS, int(issues[0]) - WATCHED_HOURS - max(WATCHED_LEADS))
        past = np.arange(first, int(issues[-1]))
        known, of_day = signals.known_at(past), (past + signals.first_hour) % DAY
        squares, counts = np.zeros(len(issues)), np.zeros(len(issues))
        for lead in WATCHED_LEADS:
            seen = past + lead < len(signals.values)
            spread = (self.residuals_gco2_per_kwh[HIGH][of_day, lead] - self.residuals_gco2_per_kwh[LOW][of_day, lead]) / LEVELS_APART
            error = signals.values[(past + lead)[seen]] - (signals.ahead(known, lead) @ self.coefficients[lead])[seen]
            square = np.where(spread[seen] > 0, error / np.maximum(spread[seen], _TINY), 0.0) ** 2
            total = np.concatenate([[0.0], np.cumsum(square)])
            # What was issued `lead + 1` hours ago and before has met its truth.
            last = np.clip(issues - lead - first, 0, len(square))
            begin = np.clip(issues - lead - WATCHED_HOURS - first, 0, len(square))
            squares, counts = squares + total[last] - total[begin], counts + last - begin
        prior = PRIOR_HOURS * len(WATCHED_LEADS)
        factor: FloatArray = np.sqrt((squares + prior) / (counts + prior))
        return factor

    def spread(self, level: float, hour: int, hours: int) -> FloatArray:
        """Quantile of the error of each hour ahead, for issues at that hour of the day, shape (hours,)."""
        error: FloatArray = self.residuals_gco2_per_kwh[level][hour, _own_leads(hours)]
        return error


@functools.cache
def _own_leads(hours: int) -> NDArray[np.intp]:
    """The regression that each hour ahead uses: beyond the last one, that of the same hour on its day."""
    lead = np.arange(hours)
    return np.where(lead < LEADS, lead, LEADS - DAY + lead % DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Ridge regressions by zone and hour ahead, fitted anew every `refit_days` on all history up to then.

    Attributes:
        penalty: See `LinearModel.fit`.
        refit_days: Whole days between fits, counted from 1970; equal history and `now` give equal forecasts.
        train_until_at: Nothing later is learned from (it is still looked at when forecasting); None = no limit. Aware UTC.
    """

    penalty: float = 1.0
    refit_days: int = 7
    train_until_at: datetime | None = None
    _models: dict[tuple[str, datetime, int], LinearModel] = field(default_factory=dict, init=False, repr=False, compare=False)

    name: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        if not self.penalty >= 0 or self.refit_days < 1:
            raise ConfigError(
                f"linear needs a penalty of at least 0 and refit_days of at least 1, got {self.penalty} and {self.refit_days}"
            )
        if self.train_until_at is not None:
            require_utc(self.train_until_at, "train_until_at")

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """Forecast every zone; see `Forecaster.forecast`.

        Raises:
            ForecastError: A zone has no interval that ended by `now`.
        """
        return {zone: self._forecast(series, now, horizon_s) for zone, series in history.items()}

    def _forecast(self, series: IntensitySeries, now: datetime, horizon_s: float) -> Forecast:
        window = Window.of(series, now=now, horizon_s=horizon_s)
        per_hour = round(S_PER_H / series.step_s)
        hours = window.past // per_hour if per_hour * series.step_s == S_PER_H else 0
        until = self.trained_hours(series.start_at, hours, now)
        if until < MIN_HOURS + MIN_TRAIN_HOURS:
            return Ewma().forecast({series.zone: series}, now=now, horizon_s=horizon_s)[series.zone]
        values = series.values_gco2_per_kwh[: hours * per_hour].reshape(hours, per_hour).mean(axis=1)
        signals = Signals.of(values, series.start_at)
        model = self.model(series, signals, until)
        # Stale history: its end is the issue, and the first hours ahead are already past.
        ahead = np.arange(window.first, window.first + window.count) // per_hour - hours
        median = model.predict(signals, np.array([hours]), int(ahead[-1]) + 1)[0][ahead]
        of_day = (series.start_at.hour + hours) % DAY
        surprise = model.surprise(signals, np.array([hours]))[0]
        quantiles = {MEDIAN: median}
        for level in model.residuals_gco2_per_kwh:
            error = surprise * model.spread(level, of_day, int(ahead[-1]) + 1)[ahead]
            quantiles[level] = np.maximum(median + (np.minimum(error, 0.0) if level < MEDIAN else np.maximum(error, 0.0)), 0.0)
        return Forecast(
            zone=series.zone,
            kind=series.kind,
            issued_at=now,
            start_at=window.start_at,
            step_s=series.step_s,
            quantiles_gco2_per_kwh=quantiles,
            forecaster=self.name,
            provenance=series.provenance,
        )

    def trained_hours(self, start_at: datetime, hours: int, now: datetime) -> int:
        """Hours of a history that the model in use at `now` has learned from."""
        days = (now - datetime.fromtimestamp(0, now.tzinfo)) // timedelta(days=self.refit_days) * self.refit_days
        fitted_at = datetime.fromtimestamp(0, now.tzinfo) + timedelta(days=days)
        if self.train_until_at is not None and now >= self.train_until_at:
            fitted_at = self.train_until_at
        return max(0, min(hours, (fitted_at - start_at) // timedelta(hours=1)))

    def model(self, series: IntensitySeries, signals: Signals, until: int) -> LinearModel:
        """The zone's model, learned from the first `until` hours; made once."""
        key = (f"{series.zone}/{series.kind}/{series.provenance.provider}", series.start_at, until)
        if key not in self._models:
            for old in [one for one in self._models if one[0] == key[0]]:
                del self._models[old]
            self._models[key] = LinearModel.fit(signals, until, self.penalty)
        return self._models[key]
