"""Forecasts from the same time of day on days past: the reference that any model must beat, and the fallback when none is there.

Both models are a weighted mean over past days. Their quantiles come from their own errors: the forecast that would have
been made on each of the last days, as far ahead as now, is held against what came true.

Too little history is met in this order: fewer days than asked for are weighted among themselves; too few past errors for
a time of day are pooled over all times of day; no past error leaves the spread of the history about its mean; less than a
day of history gives its mean throughout, with the quantiles of what there is; none at all is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import ConfigError, ForecastError
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.forecasting.base import QUANTILES, Window

DAY_S = 86400.0
ERROR_DAYS = 28
"""Past days whose errors make the quantiles: enough that a week of one kind of weather does not decide them."""
OUTER = tuple(level for level in QUANTILES if level != MEDIAN)
"""Levels beside the median, which is the mean itself."""
MIN_ERRORS = 7
"""With fewer errors than this at a time of day, the errors of all times of day are pooled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persistence:
    """The same time of day on the last known day."""

    name: ClassVar[str] = "persistence"

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """Forecast every zone; see `Forecaster.forecast`.

        Raises:
            ForecastError: A zone has no interval that ended by `now`.
        """
        return _same_time(history, np.ones(1), self.name, now, horizon_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ewma:
    """The same time of day on the last days, the weight of a day `decay` times that of the day after it.

    Attributes:
        decay: Above 0, at most 1; 1 weights all days alike.
        days: Days that count, at least 1.

    Raises:
        ConfigError: A parameter is outside its range.
    """

    decay: float = 0.7
    days: int = 14

    name: ClassVar[str] = "ewma"

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or self.days < 1:
            raise ConfigError(f"ewma needs decay within (0, 1] and days of at least 1, got {self.decay} and {self.days}")

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """Forecast every zone; see `Forecaster.forecast`.

        Raises:
            ForecastError: A zone has no interval that ended by `now`.
        """
        weights = np.power(self.decay, np.arange(self.days, dtype=np.float64))
        return _same_time(history, weights, self.name, now, horizon_s)


def _same_time(
    history: Mapping[str, IntensitySeries], weights: FloatArray, name: str, now: datetime, horizon_s: float
) -> dict[str, Forecast]:
    """Forecasts as the mean over past days with `weights`, newest day first; zones on one grid are computed side by side."""
    grids: dict[tuple[datetime, float, int], list[IntensitySeries]] = {}
    for series in history.values():
        grids.setdefault((series.start_at, series.step_s, len(series)), []).append(series)
    made: dict[str, Forecast] = {}
    for together in grids.values():
        made |= _on_one_grid(together, weights, name, now, horizon_s)
    return {zone: made[zone] for zone in history}


def _on_one_grid(
    together: Sequence[IntensitySeries], weights: FloatArray, name: str, now: datetime, horizon_s: float
) -> dict[str, Forecast]:
    first = together[0]
    window = Window.of(first, now=now, horizon_s=horizon_s)
    if not window.past:
        raise ForecastError(
            f"zone {first.zone}: no interval ended by {now:%Y-%m-%dT%H:%MZ}, so nothing can be forecast; "
            "give history from before that instant, best of a month"
        )
    past = np.stack([series.values_gco2_per_kwh[: window.past] for series in together])
    if window.past * first.step_s < DAY_S:
        median = np.repeat(past.mean(axis=1)[:, np.newaxis], window.count, axis=1)
        outer = {level: np.repeat(np.quantile(past, level, axis=1)[:, np.newaxis], window.count, axis=1) for level in OUTER}
    else:
        by_day, days_ahead = _by_day(past, first.step_s, window, len(weights))
        means = _weighted(by_day, weights)
        median = means[0]
        errors = _errors(by_day, means, days_ahead)
        if not np.isfinite(errors).any():
            errors = np.repeat((past - past.mean(axis=1, keepdims=True)).T[:, :, np.newaxis], window.count, axis=2)
        outer = {level: median + values for level, values in _quantiles(errors, OUTER).items()}
    beside = {MEDIAN: np.maximum(median, 0.0)} | {level: _beside(median, level, values) for level, values in outer.items()}
    for values in beside.values():
        values.setflags(write=False)  # so that each zone's forecast takes its row as it is
    return {
        series.zone: Forecast(
            zone=series.zone,
            kind=series.kind,
            issued_at=now,
            start_at=window.start_at,
            step_s=series.step_s,
            quantiles_gco2_per_kwh={level: values[index] for level, values in beside.items()},
            forecaster=name,
            provenance=series.provenance,
        )
        for index, series in enumerate(together)
    }


def _beside(median: FloatArray, level: float, values: FloatArray) -> FloatArray:
    """Low levels at most the median, high ones at least that, none below zero."""
    return np.maximum(np.minimum(values, median) if level < MEDIAN else np.maximum(values, median), 0.0)


def _by_day(past: FloatArray, step_s: float, window: Window, days: int) -> tuple[FloatArray, NDArray[np.intp]]:
    """Past values, of shape (zones, intervals), at the time of day of every interval to be forecast.

    Returns:
        Values of shape (days back, zones, count), the newest day first, NaN before the history begins; and for each interval the
        number of days between it and the newest of its values, at least 1.
    """
    middle_s = (window.first + np.arange(window.count) + 0.5) * step_s  # from the start of the series
    days_ahead = (np.floor((middle_s - window.past * step_s) / DAY_S) + 1).astype(np.intp)
    rows = days + ERROR_DAYS + int(days_ahead.max()) - 1
    back_s = (days_ahead + np.arange(rows)[:, np.newaxis]) * DAY_S
    # The interval that holds the same instant of the day. Steps that do not divide a day have none that fits exactly.
    index = np.floor((middle_s - back_s) / step_s).astype(np.intp)
    known = past[:, np.clip(index, 0, window.past - 1)].transpose(1, 0, 2)
    return np.where((index >= 0)[:, np.newaxis, :], known, np.nan), days_ahead


def _weighted(by_day: FloatArray, weights: FloatArray) -> FloatArray:
    """Row k: the weighted mean of the rows k, k + 1, ... that hold values; NaN where none does."""
    rows = len(by_day) - len(weights) + 1
    if len(weights) == 1:
        return by_day
    is_known = np.isfinite(by_day)
    known = np.where(is_known, by_day, 0.0)
    total, weight = np.zeros((rows, *by_day.shape[1:])), np.zeros((rows, *by_day.shape[1:]))
    for age, one in enumerate(weights):
        total += one * known[age : age + rows]
        weight += one * is_known[age : age + rows]
    means = np.full_like(total, np.nan)
    np.divide(total, weight, out=means, where=weight > 0)
    return means


def _errors(by_day: FloatArray, means: FloatArray, days_ahead: NDArray[np.intp]) -> FloatArray:
    """What came true on each of the last days less what would have been forecast for it as far ahead; NaN where not known.

    Shape (days, zones, count).
    """
    errors = np.empty((ERROR_DAYS, *by_day.shape[1:]))
    for days in np.unique(days_ahead).tolist():
        columns = days_ahead == days
        errors[:, :, columns] = by_day[:ERROR_DAYS, :, columns] - means[days : days + ERROR_DAYS, :, columns]
    return errors


def _quantiles(errors: FloatArray, levels: Sequence[float]) -> dict[float, FloatArray]:
    """Quantiles of the known errors of each zone and interval, each (zones, count); where one has too few, of the zone as a whole.

    Of n errors in order the i-th is taken as the quantile i / (n + 1), so that the next one lies below it with just that
    probability: method 6 of Hyndman and Fan, doi:10.1080/00031305.1996.10473566.
    """
    known = np.isfinite(errors).sum(axis=0)
    ordered = np.sort(errors.transpose(1, 2, 0), axis=2)  # NaN is sorted to the end
    out = {level: _ordered_quantile(ordered, known, level) for level in levels}
    short = (known < MIN_ERRORS).any(axis=1)
    for zone in np.flatnonzero(short).tolist():
        few = known[zone] < MIN_ERRORS
        for level, values in out.items():
            values[zone, few] = np.nanquantile(errors[:, zone], level, method="weibull")
    return out


def _ordered_quantile(ordered: FloatArray, known: NDArray[np.intp], level: float) -> FloatArray:
    """Quantile along the last axis, of whose values in order only the first `known` count."""
    last = np.maximum(known - 1, 0)
    position = np.clip((last + 2) * level - 1, 0, last)
    below = np.floor(position).astype(np.intp)
    low = np.take_along_axis(ordered, below[:, :, np.newaxis], axis=2)[:, :, 0]
    high = np.take_along_axis(ordered, np.minimum(below + 1, last)[:, :, np.newaxis], axis=2)[:, :, 0]
    share = position - below
    quantile: FloatArray = (1 - share) * low + share * high
    return quantile
