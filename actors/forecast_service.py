"""What the forecast actor does, without Ray: keep history, make one forecast for many zones, and survive on its own state.

`step` is called in a loop. Reads never wait for a provider: they get the newest snapshot, whatever its age.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbon_ray.core import codec
from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import CarbonRayError, ForecastError, OutsideDataError, ProviderError, UnknownZoneError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.providers.base import HistoryProvider

log = logging.getLogger(__name__)

STATE_FILE = "forecasts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastState:
    """What survives a restart.

    Attributes:
        snapshot: The last one published.
        history: The intervals it was made of, by zone; also what past work is priced with.
        until_at: Forecasts reach at least here, where somebody asked for it.
    """

    snapshot: ForecastSnapshot
    history: Mapping[str, IntensitySeries] = field(default_factory=dict)
    until_at: datetime | None = None


class ForecastService:
    """Keeps current forecasts of the cluster's zones.

    Args:
        zones: Zones to keep.
        provider: Makes the data source; called again for as long as it fails.
        forecaster: The model.
        clock: The cluster's clock.
        state_dir: Where the state survives; made if missing.
        history_days: Days of history that the model sees.
        horizon_h: Hours to forecast, at least.
    """

    def __init__(
        self,
        *,
        zones: tuple[str, ...],
        provider: Callable[[], HistoryProvider],
        forecaster: Forecaster,
        clock: Clock,
        state_dir: Path,
        history_days: int,
        horizon_h: float,
    ) -> None:
        self._zones, self._make_provider, self._forecaster, self._clock = zones, provider, forecaster, clock
        self._provider: HistoryProvider | None = None
        self._path = state_dir / STATE_FILE
        self._history_span, self._horizon = timedelta(days=history_days), timedelta(hours=horizon_h)
        self._state = self._load()
        self._refreshed_for: datetime | None = None
        self.problem = ""

    def _load(self) -> ForecastState:
        try:
            return codec.loads(ForecastState, self._path.read_text())
        except FileNotFoundError:
            pass
        except (OSError, TypeError, ValueError, CarbonRayError) as error:
            log.warning("forecast state %s is not usable (%s); starting without it", self._path, error)
        return ForecastState(snapshot=ForecastSnapshot(version=0, issued_at=datetime.fromtimestamp(0, UTC), forecasts={}))

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(codec.dumps(self._state))
        os.replace(draft, self._path)

    @property
    def version(self) -> int:
        """Version of the newest snapshot; 0 before the first."""
        return self._state.snapshot.version

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot.

        Raises:
            ForecastError: There was none yet; says why.
        """
        if self.version == 0:
            raise ForecastError(f"no forecast yet: {self.problem or 'the first refresh has not ended'}")
        return self._state.snapshot

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """Make forecasts reach at least `until_at`, now and from now on, and return the newest.

        Raises:
            ForecastError: There is no forecast that reaches so far.
        """
        before = self._state.until_at
        if before is None or until_at > before:
            self._state = replace(self._state, until_at=until_at)
        if self._short_of(until_at):
            self.refresh()
        if short := self._short_of(until_at):
            self._state = replace(self._state, until_at=before)  # what cannot be had is not asked for again and again
            raise ForecastError(f"no forecast of {', '.join(short)} reaches {until_at:%Y-%m-%dT%H:%MZ}: {self.problem or 'refresh failed'}")
        return self.snapshot()

    def _short_of(self, until_at: datetime) -> list[str]:
        """Zones whose forecast does not reach `until_at`, or that have none."""
        forecasts = self._state.snapshot.forecasts
        return [zone for zone in self._zones if zone not in forecasts or forecasts[zone].end_at < until_at]

    def step(self) -> bool:
        """Refresh if a new interval has ended since the last one; True if a new snapshot was published."""
        newest = self._clock.now().replace(minute=0, second=0, microsecond=0)
        if self._refreshed_for == newest and self.version:
            return False
        if self.refresh():
            self._refreshed_for = newest
            return True
        return False

    def refresh(self) -> bool:
        """Ask the provider and forecast anew; on any declared failure keep what there is, and remember the problem."""
        now = self._clock.now()
        try:
            history = self._fetch(now)
            horizon_s = max(self._horizon, (self._state.until_at or now) - now).total_seconds()
            forecasts = self._forecaster.forecast(history, now=now, horizon_s=horizon_s)
        except CarbonRayError as error:
            self.problem = str(error)
            self._provider = None
            log.warning("forecasts not refreshed: %s", error)
            return False
        snapshot = ForecastSnapshot(version=self.version + 1, issued_at=now, forecasts=forecasts)
        self._state = ForecastState(snapshot=snapshot, history=history, until_at=self._state.until_at)
        self.problem = ""
        try:
            self._save()
        except OSError as error:
            log.warning("forecast state %s cannot be written (%s); a restart will begin without it", self._path, error)
        return True

    def _fetch(self, now: datetime) -> dict[str, IntensitySeries]:
        """History of all zones: only intervals that have ended."""
        if self._provider is None:
            self._provider = self._make_provider()
        return {zone: self._ended(self._provider, zone, now) for zone in self._zones}

    def _ended(self, provider: HistoryProvider, zone: str, now: datetime) -> IntensitySeries:
        start_at = now - self._history_span
        try:
            series = provider.history(zone, start_at, now)
        except ProviderError:
            # The source may begin later than the span that the model would like: take what there is, down to two days.
            start_at = now - min(self._history_span, timedelta(days=2))
            series = provider.history(zone, start_at, now)
        step = timedelta(seconds=series.step_s)
        ended = (now - series.start_at) // step
        return series.window(series.start_at, series.start_at + ended * step)

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window; the provider is asked where the kept history is too short.

        Raises:
            UnknownZoneError: The zone is not among the cluster's.
            OutsideDataError: Part of the window has not come true yet.
            ProviderError: It is older than what is kept, and the provider cannot be asked.
        """
        if zone not in self._zones:
            raise UnknownZoneError(zone, self._zones)
        series = self._state.history.get(zone)
        if series is None or end_at > series.end_at:
            raise OutsideDataError(f"zone {zone}: [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}) has not come true yet")
        if start_at >= series.start_at:
            return series
        if self._provider is None:
            self._provider = self._make_provider()
        return self._provider.history(zone, start_at, end_at)
