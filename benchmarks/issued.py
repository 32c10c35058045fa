"""Forecasts as they would have been issued at every hour of a table, in bulk: medians and spreads of all zones."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import numpy as np

from benchmarks.traces import HourlyTable
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries, Provenance
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.forecasting.linear import MIN_TRAIN_HOURS, Linear, LinearModel
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.forecasting.signals import DAY, MIN_HOURS, Hours, Signals
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.expectation import HIGH, LOW

_BLOCK = 168
"""Issues that are computed at once."""
_MOST_BYTES = 1_000_000_000
"""Memory that remembered forecasts may take; what comes after is made again each time."""
REFIT_HOURS = 4 * _BLOCK
ENOUGH_HOURS = 300 * DAY
"""Hours before the tested year from which models are fitted once: most of a year, so that all seasons were seen."""
FALLBACK_HOURS = 60 * DAY
"""History that the other forecasters are handed."""


class Issued(Protocol):
    """Forecasts by hour of issue. Nothing at or after that hour is known to them, but to the clairvoyant."""

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """Median and standard deviation of the error for the next hours, both (hours, zones), gCO2e per kWh."""
        ...


class Clairvoyant:
    """What came true."""

    def __init__(self, table: HourlyTable) -> None:
        self._values = table.values_gco2_per_kwh

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issued`."""
        truth = self._values[issue : issue + hours]
        return truth, np.zeros_like(truth)


class AnyForecaster:
    """A forecaster of the product, asked at every hour with the history up to it."""

    def __init__(self, table: HourlyTable, forecaster: Forecaster, history_hours: int) -> None:
        self._table, self._forecaster, self._history_hours = table, forecaster, history_hours

    def forecasts(self, issue: int, hours: int) -> list[Forecast]:
        """What it says at an hour."""
        table, now = self._table, self._table.start_at + timedelta(hours=issue)
        first = max(0, issue - self._history_hours)
        history = {
            zone: IntensitySeries(
                zone=zone,
                kind=table.kind,
                start_at=table.start_at + timedelta(hours=first),
                step_s=3600.0,
                values_gco2_per_kwh=table.values_gco2_per_kwh[first:issue, index],
                provenance=Provenance(provider="trace"),
            )
            for index, zone in enumerate(table.zones)
        }
        made = self._forecaster.forecast(history, now=now, horizon_s=hours * 3600.0)
        return [made[zone] for zone in table.zones]

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issued`."""
        made = self.forecasts(issue, hours)
        median = np.stack([one.median.values_gco2_per_kwh[:hours] for one in made], axis=1)
        apart = [one.quantiles_gco2_per_kwh[HIGH] - one.quantiles_gco2_per_kwh[LOW] for one in made]
        return median, np.stack(apart, axis=1)[:hours] / LEVELS_APART


class EwmaMedians:
    """The medians of `Ewma`, in bulk, without its quantiles: a point forecast, as the published comparisons use it."""

    def __init__(self, table: HourlyTable) -> None:
        self._values, own = table.values_gco2_per_kwh, Ewma()
        weights = np.power(own.decay, np.arange(own.days))
        self._weights = weights / weights.sum()

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issued`."""
        days = self._values[issue - DAY * len(self._weights) : issue].reshape(len(self._weights), DAY, -1)[::-1]
        day = np.tensordot(self._weights, days, axes=1)
        median = np.tile(day, (-(-hours // DAY), 1))[:hours]
        return median, np.zeros_like(median)


class LinearForecasts:
    """The `linear` forecaster, in bulk.

    Args:
        table: Truth; only what lies before an hour is looked at when issuing at it.
        horizon: Most hours ahead that will be asked for.
        train_until: Hours to learn from. Where they are too few, models are fitted anew every four weeks on what has passed by
            then; until that is enough, the forecaster's own fallback serves.
    """

    def __init__(self, table: HourlyTable, horizon: int, train_until: int) -> None:
        self._table, self._horizon = table, horizon
        self._train_until = train_until if train_until >= ENOUGH_HOURS else None
        self._signals = [Signals.of(values, table.start_at) for values in table.values_gco2_per_kwh.T]
        self._fallback = AnyForecaster(table, Ewma(), FALLBACK_HOURS)
        self._models: tuple[int, list[LinearModel]] = (-1, [])
        self._block: tuple[int, FloatArray, FloatArray] = (-1, np.empty(0), np.empty(0))

    @property
    def training(self) -> str:
        """In words, what the models have learned from."""
        if self._train_until is None:
            return "fitted anew every four weeks on all hours before"
        return f"fitted once, on the {self._train_until} hours before {self._table.start_at + timedelta(hours=self._train_until):%Y-%m-%d}"

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issued`."""
        until = self._train_until or issue // REFIT_HOURS * REFIT_HOURS
        if until < MIN_HOURS + MIN_TRAIN_HOURS:
            return self._fallback.at(issue, hours)
        if self._models[0] != until:
            self._models = (until, [LinearModel.fit(signals, until, Linear().penalty) for signals in self._signals])
        first = max(issue - issue % _BLOCK, until if self._train_until is None else MIN_HOURS)
        if self._block[0] != first:
            last = min(first + _BLOCK - first % _BLOCK, len(self._table.values_gco2_per_kwh))
            self._block = (first, *self._predict(np.arange(first, last)))
        of_day, models = (self._table.start_at.hour + issue) % DAY, self._models[1]
        apart = [model.spread(HIGH, of_day, hours) - model.spread(LOW, of_day, hours) for model in models]
        surprise = self._block[2][issue - first]
        return self._block[1][issue - first, :hours], surprise * np.stack(apart, axis=1) / LEVELS_APART

    def _predict(self, issues: Hours) -> tuple[FloatArray, FloatArray]:
        pairs = list(zip(self._models[1], self._signals, strict=True))
        medians = np.stack([model.predict(signals, issues, self._horizon) for model, signals in pairs], axis=2)
        return medians, np.stack([model.surprise(signals, issues) for model, signals in pairs], axis=1)


class Remembered:
    """Forecasts that are asked for by one policy after the other, made once.

    Args:
        forecasts: Where they come from.
        horizon: Most hours ahead that will be asked for.
    """

    def __init__(self, forecasts: Issued, horizon: int) -> None:
        self._forecasts, self._horizon = forecasts, horizon
        self._made: dict[int, tuple[FloatArray, FloatArray]] = {}
        self._bytes = 0

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issued`."""
        made = self._made.get(issue)
        if made is None:
            made = self._forecasts.at(issue, self._horizon)
            self._bytes += sum(array.nbytes for array in made)
            if self._bytes <= _MOST_BYTES:
                self._made[issue] = made
        median, spread = made
        return median[:hours], spread[:hours]


def forecasts_named(name: str, table: HourlyTable, *, horizon: int, train_until: int) -> Issued:
    """Bulk forecasts of a forecaster.

    Raises:
        ConfigError: There is no forecaster of that name.
    """
    if name == Linear.name:
        return LinearForecasts(table, horizon, train_until)
    return AnyForecaster(table, forecaster_named(name), FALLBACK_HOURS)
