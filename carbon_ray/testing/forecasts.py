"""Forecasts without an actor for the controller's port: made of given series by any forecaster, away or frozen when told so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import ForecastError, OutsideDataError, UnknownZoneError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.testing.providers import PerfectForecaster


class FakeForecasts:
    """Serves forecasts of the given zones; implements `carbon_ray.actors.ports.ForecastPort`.

    A new snapshot is made whenever an interval has ended, or more is asked for.

    Attributes:
        is_away: While True, forecasts fail with ForecastError, and `actual` as well.
        is_frozen: While True, the last snapshot is served and grows stale; what came true is still told.

    Args:
        truth: What comes true, by zone; must begin before the clock's present instant.
        clock: The cluster's clock.
        forecaster: The model; by default one that knows the truth.
        horizon_h: Hours to forecast unless `reach` asks for more; less where the truth ends before.
    """

    def __init__(
        self, truth: Mapping[str, IntensitySeries], clock: Clock, *, forecaster: Forecaster | None = None, horizon_h: float = 48.0
    ) -> None:
        self._truth, self._clock, self._horizon = dict(truth), clock, timedelta(hours=horizon_h)
        self._forecaster = forecaster or PerfectForecaster(self._truth)
        self._until_at: datetime | None = None
        self._snapshot: ForecastSnapshot | None = None
        self._made_for: tuple[object, ...] = ()
        self.is_away = False
        self.is_frozen = False

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot.

        Raises:
            ForecastError: It was told to be away, or the forecaster fails.
        """
        self._require_present()
        if self._snapshot is not None and self.is_frozen:
            return self._snapshot
        now = self._clock.now()
        history = {zone: self._ended(series, now) for zone, series in self._truth.items()}
        key = (self._until_at, *(len(series) for series in history.values()))
        if self._snapshot is None or key != self._made_for:
            last_at = min(series.end_at for series in self._truth.values())
            end_at = max(min(now + self._horizon, last_at), self._until_at or now)
            forecasts = self._forecaster.forecast(history, now=now, horizon_s=(end_at - now).total_seconds())
            version = self._snapshot.version + 1 if self._snapshot else 1
            self._snapshot, self._made_for = ForecastSnapshot(version=version, issued_at=now, forecasts=forecasts), key
        return self._snapshot

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """A snapshot that reaches `until_at`.

        Raises:
            ForecastError: There is none that reaches so far.
        """
        before = self._until_at
        self._until_at = max(before or until_at, until_at)
        try:
            snapshot = self.snapshot()
            if any(forecast.end_at < until_at for forecast in snapshot.forecasts.values()):
                raise ForecastError(f"no forecast reaches {until_at:%Y-%m-%dT%H:%MZ}; it was told to be frozen")
        except ForecastError:
            self._until_at = before
            raise
        return snapshot

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true so far, from the truth's begin on.

        Raises:
            ForecastError: It was told to be away.
            UnknownZoneError: It has no such zone.
            OutsideDataError: Part of the window has not come true yet.
        """
        self._require_present()
        if zone not in self._truth:
            raise UnknownZoneError(zone, tuple(self._truth))
        series = self._ended(self._truth[zone], self._clock.now())
        if start_at < series.start_at or end_at > series.end_at:
            raise OutsideDataError(f"zone {zone}: [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}) has not come true yet")
        return series

    def _require_present(self) -> None:
        if self.is_away:
            raise ForecastError("the fake forecasts were told to be away; set is_away=False to go on")

    @staticmethod
    def _ended(series: IntensitySeries, now: datetime) -> IntensitySeries:
        step = timedelta(seconds=series.step_s)
        ended = min(len(series), (now - series.start_at) // step)
        return series.window(series.start_at, series.start_at + ended * step)
