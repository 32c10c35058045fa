"""What is known of the future at each moment: forecasts made from the past alone, or, marked as such, the truth itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from carbon_ray.core.errors import ConfigError, ForecastError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Forecaster

_MOMENT, _DAY = timedelta(seconds=1), timedelta(days=1)


def _beginning(now: datetime) -> datetime:
    """Midnight from which issues are counted, long before any data."""
    return datetime.min.replace(tzinfo=now.tzinfo)


@runtime_checkable
class ForecastSource(Protocol):
    """Gives the forecasts that a controller would have had."""

    @property
    def name(self) -> str:
        """Name of the model, as results show it."""
        ...

    @property
    def is_clairvoyant(self) -> bool:
        """True if it knows what comes true: a bound, not something to be had."""
        ...

    def snapshot(self, now: datetime, until_at: datetime) -> ForecastSnapshot:
        """The newest forecasts at `now`, reaching at least to `until_at`.

        Args:
            now: Aware UTC.
            until_at: Aware UTC.

        Raises:
            ForecastError: There is no past to forecast from.
                OutsideDataError: What came true is not known up to `now`.
        """
        ...


class IssuedForecasts:
    """Forecasts issued at a fixed rhythm by a forecaster that is handed nothing but the past.

    Several simulations may share one: an issue is made once for all of them while they run side by side in time, and made
    again, with the same values, when time goes back.

    Args:
        truth: What comes true, by zone. Of it, only intervals that have ended by an issue are ever handed over.
        forecaster: The model.
        issue_s: Seconds between issues, counted from the year 1 on: the hour by default.
        horizon_s: Seconds that an issue reaches at least; further where a deadline asks for it.
        history_s: Seconds of the past that the model is shown, where there are as many.
    """

    is_clairvoyant = False

    def __init__(
        self,
        truth: Mapping[str, IntensitySeries],
        forecaster: Forecaster,
        *,
        issue_s: float = 3600.0,
        horizon_s: float = 0.0,
        history_s: float = 21 * 86400.0,
    ) -> None:
        if not (issue_s > 0 and horizon_s >= 0 and history_s > 0):
            raise ConfigError("issue_s and history_s must be above 0 and horizon_s not negative")
        self._truth, self._forecaster = dict(truth), forecaster
        self._issue, self._history = timedelta(seconds=issue_s), timedelta(seconds=history_s)
        self._horizon = timedelta(seconds=horizon_s)
        self._snapshot: ForecastSnapshot | None = None
        self._until_at: datetime | None = None

    @property
    def name(self) -> str:
        """Name of the forecaster."""
        return self._forecaster.name

    def snapshot(self, now: datetime, until_at: datetime) -> ForecastSnapshot:
        """The newest issue; see `ForecastSource.snapshot`."""
        beginning = _beginning(now)
        number = (now - beginning) // self._issue
        issued_at = beginning + number * self._issue
        known = self._snapshot
        if known is not None and known.issued_at == issued_at and self._until_at is not None and until_at <= self._until_at:
            return known
        reach = max(until_at - issued_at, self._horizon, _DAY)
        until_at = issued_at - (-reach // _DAY) * _DAY  # whole days, so that the next job's deadline seldom needs another issue
        history = {zone: self._past(series, issued_at) for zone, series in self._truth.items()}
        forecasts = self._forecaster.forecast(history, now=issued_at, horizon_s=(until_at - issued_at).total_seconds())
        self._snapshot = ForecastSnapshot(version=number, issued_at=issued_at, forecasts=forecasts)
        self._until_at = until_at
        return self._snapshot

    def _past(self, series: IntensitySeries, issued_at: datetime) -> IntensitySeries:
        step = timedelta(seconds=series.step_s)
        ended = (issued_at - series.start_at) // step
        if ended < 1:
            raise ForecastError(
                f"zone {series.zone}: the data begin at {series.start_at:%Y-%m-%dT%H:%MZ}, so nothing is past at "
                f"{issued_at:%Y-%m-%dT%H:%MZ}; start the simulation later, best by some weeks"
            )
        first = max(0, ended - self._history // step)
        return series.window(series.start_at + first * step, series.start_at + ended * step)


class Clairvoyant:
    """The truth itself as the forecast: what the best conceivable forecaster would allow. Never a result of its own.

    Args:
        truth: What comes true, by zone.
    """

    name = "clairvoyant"
    is_clairvoyant = True

    def __init__(self, truth: Mapping[str, IntensitySeries]) -> None:
        self._truth = dict(truth)
        self._snapshot: ForecastSnapshot | None = None
        self._span: tuple[datetime, datetime] | None = None

    def snapshot(self, now: datetime, until_at: datetime) -> ForecastSnapshot:
        """The truth of whole days, from the one that holds `now`; see `ForecastSource.snapshot`."""
        day_at = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._snapshot is None or self._span is None or self._span[0] != day_at or until_at > self._span[1]:
            end_at = day_at - (-(max(until_at, now + _MOMENT) - day_at) // _DAY) * _DAY + _DAY
            forecasts = {zone: Forecast.certain(self._window(series, day_at, end_at), day_at) for zone, series in self._truth.items()}
            self._snapshot = ForecastSnapshot(version=(day_at - _beginning(now)) // _DAY, issued_at=day_at, forecasts=forecasts)
            self._span = (day_at, end_at)
        return self._snapshot

    @staticmethod
    def _window(series: IntensitySeries, start_at: datetime, end_at: datetime) -> IntensitySeries:
        step = timedelta(seconds=series.step_s)
        first = max(0, (start_at - series.start_at) // step)
        last = min(len(series), -((series.start_at - end_at) // step))
        return series.window(series.start_at + first * step, series.start_at + last * step)
