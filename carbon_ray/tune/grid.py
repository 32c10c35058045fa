"""What a sweep knows of the grid: forecasts of the cluster's forecast actor or of the embedded profile, and which of them it is.

The actor may go away for hours. Its last snapshot serves until it is too old; then the embedded profile stands in, where it counts the
same kind of intensity, and a line in the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import CarbonRayError, ForecastError, OutsideDataError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.providers.embedded import STEP, EmbeddedProvider
from carbon_ray.tune.ledger import Interval

log = logging.getLogger(__name__)

HORIZON = timedelta(hours=192)
HISTORY = timedelta(days=21)
STALE_S = 6 * 3600.0
"""Age of a snapshot beyond which it is no longer decided by."""


class Forecasts(Protocol):
    """Where forecasts come from; `carbon_ray.actors.handles.ForecastClient` is one."""

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot.

        Raises:
            ForecastError: There is none.
        """
        ...

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
        """
        ...


class EmbeddedForecasts:
    """The profile shipped in the package, as if it were what the grid does: an illustration, no observation.

    Args:
        zones: Grid zones.
        clock: The sweep's clock.
    """

    def __init__(self, zones: Sequence[str], clock: Clock) -> None:
        self._zones, self._clock, self._provider = tuple(zones), clock, EmbeddedProvider()
        self._made: tuple[datetime, ForecastSnapshot] | None = None

    def snapshot(self) -> ForecastSnapshot:
        """A forecast of every zone, made anew every hour.

        Raises:
            ForecastError: The profile does not know a zone.
        """
        now = self._clock.now()
        hour_at = now.replace(minute=0, second=0, microsecond=0)
        if self._made is None or self._made[0] != hour_at:
            try:
                history = {zone: self._provider.history(zone, hour_at - HISTORY, hour_at) for zone in self._zones}
            except CarbonRayError as error:
                raise ForecastError(f"the embedded profile has no forecast: {error}") from error
            forecasts = forecaster_named("ewma").forecast(history, now=hour_at, horizon_s=HORIZON.total_seconds())
            version = 1 if self._made is None else self._made[1].version + 1
            self._made = (hour_at, ForecastSnapshot(version=version, issued_at=hour_at, forecasts=forecasts))
        return self._made[1]

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The profile's hours; the present one has not come true yet.

        Raises:
            OutsideDataError: The window reaches beyond now.
        """
        if end_at > self._clock.now():
            raise OutsideDataError(f"zone {zone}: {end_at:%Y-%m-%dT%H:%MZ} has not come yet")
        first_at = start_at.replace(minute=0, second=0, microsecond=0)
        return self._provider.history(zone, first_at, max(end_at, first_at + STEP))


class Grid:
    """Serves snapshots and prices, from whatever answers.

    Attributes:
        source: What was used last, for the results.

    Args:
        primary: Asked first; None where there is nothing but the embedded profile.
        zones: Of the sweep's regions.
        clock: The sweep's clock.
        max_age_s: Age beyond which a snapshot is not used, seconds of the clock.
    """

    def __init__(self, primary: Forecasts | None, zones: Sequence[str], clock: Clock, max_age_s: float = STALE_S) -> None:
        self._primary, self._clock, self._max_age_s = primary, clock, max_age_s
        self._embedded = EmbeddedForecasts(zones, clock)
        self._zones = tuple(zones)
        self._snapshot: ForecastSnapshot | None = None
        self._next_look_at: datetime | None = None
        self._kind: IntensityKind | None = None
        self._said = ""
        self.source = ""

    def snapshot(self, now: datetime) -> ForecastSnapshot | None:
        """The newest usable snapshot; None where nothing can be decided by."""
        if self._next_look_at is None or now >= self._next_look_at:
            self._next_look_at = now + timedelta(seconds=5.0 * self._clock.speedup)
            self._look(now)
        return self._snapshot

    def interval(self, zone: str, at: datetime) -> Interval:
        """The interval of an instant by the newest forecast, or by what came true.

        Raises:
            CarbonRayError: Nothing is known of that time.
        """
        snapshot = self.snapshot(at)
        if snapshot is not None:
            series = snapshot[zone].median
            if series.start_at <= at < series.end_at:
                return _interval_of(series, at)
        return _interval_of(self._forecasts().actual(zone, at, at + STEP), at)

    def settled(self, interval: Interval) -> Interval | None:
        """The interval as it came true; None while that is not known, or nobody answers."""
        try:
            series = self._forecasts().actual(interval.zone, interval.start_at, interval.end_at)
            value = series.mean(interval.start_at, interval.end_at)
        except CarbonRayError:
            return None
        if self._kind is not None and series.kind is not self._kind:
            return None
        return interval._replace(gco2_per_kwh=value, source=str(series.provenance))

    def _forecasts(self) -> Forecasts:
        return self._embedded if self._primary is None or self.source.startswith("embedded") else self._primary

    def _look(self, now: datetime) -> None:
        problem = ""
        if self._primary is not None:
            try:
                snapshot = self._primary.snapshot().require_fresh(now, self._max_age_s)
                if missing := [zone for zone in self._zones if zone not in snapshot.forecasts]:
                    raise ForecastError(f"no forecast for {', '.join(missing)}")
                self._take(snapshot, _origin(snapshot, self._zones))
                return
            except CarbonRayError as error:
                problem = f"{type(error).__name__}: {error}"
        if self._kind not in (None, EmbeddedProvider.kind):
            self._snapshot, self.source = None, "none"
            self._say(
                f"no forecast ({problem}), and the embedded profile counts {EmbeddedProvider.kind}, not {self._kind}: nothing is held"
            )
            return
        try:
            snapshot = self._embedded.snapshot()
        except ForecastError as error:
            self._snapshot, self.source = None, "none"
            self._say(f"no forecast ({problem or error}): nothing is held")
            return
        self._take(snapshot, f"embedded profile of {', '.join(self._zones)}: an illustration, not an observation")
        self._say(f"{problem or 'no forecast actor is reached'}: the sweep goes by the embedded profile of {', '.join(self._zones)}")

    def _take(self, snapshot: ForecastSnapshot, source: str) -> None:
        if self._said and not source.startswith("embedded"):
            log.warning("the sweep goes by %s again", source)
            self._said = ""
        self._snapshot, self.source = snapshot, source
        self._kind = next(iter(snapshot.forecasts.values())).kind

    def _say(self, text: str) -> None:
        if not self._said:
            log.warning("%s", text)
        self._said = text


def _origin(snapshot: ForecastSnapshot, zones: Sequence[str]) -> str:
    first = snapshot[zones[0]]
    return f"{first.forecaster} over {first.provenance}"


def _interval_of(series: IntensitySeries, at: datetime) -> Interval:
    step = timedelta(seconds=series.step_s)
    start_at = series.start_at + ((at - series.start_at) // step) * step
    return Interval(series.zone, start_at, start_at + step, series.at(at), str(series.provenance))
