"""What the forecast actor does, without Ray: keep history, make forecasts of many zones, and survive on its own state.

`step` is called in a loop, by one thread. Everything else may be called beside it from any thread: reads never wait for a
source, they get the newest snapshot, whatever its age.

A zone whose sources fail keeps its last forecast, with the instant at which that was made; the others are renewed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from carbon_ray.actors.forecast_health import ForecastHealth, ZoneHealth
from carbon_ray.actors.forecast_state import KnownHistory, StateFolder
from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import CarbonRayError, ForecastError, OutsideDataError, ProviderUnavailable, UnknownZoneError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.chain import ProviderChain
from carbon_ray.providers.recent import newest_history

log = logging.getLogger(__name__)

MOST_LOOKING_BACK = 2
"""Requests for the distant past that may be under way at the same time; they may take as long as a source does."""


MOST_AHEAD = timedelta(days=400)
"""Farther than that nothing is forecast: a deadline with a slip of the pen must not cost the memory of all."""


_TOLD = 2
"""Problems of zones that are told in full; the others are counted, because a source that is away is so for all of its zones."""


def _summary(problems: Mapping[str, str]) -> str:
    told = list(dict.fromkeys(problems.values()))
    more = len(problems) - _TOLD
    return "; ".join(told) if len(told) <= _TOLD else f"{'; '.join(told[:_TOLD])}; and {more} more zone{'s' if more > 1 else ''}"


class ForecastService:
    """Keeps current forecasts of the cluster's zones.

    Args:
        zones: Zones to keep.
        provider: Makes the data source; called again after a failure, so that a repaired file is found.
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
        self._chain: ProviderChain | None = None  # the last one made, which knows how its sources do
        self._history_span, self._horizon = timedelta(days=history_days), timedelta(hours=horizon_h)
        self._folder = StateFolder(state_dir)
        self._state = self._folder.read_state()
        self._known: KnownHistory | None = None  # not read yet
        self._reading = threading.Lock()
        self._looking_back = threading.BoundedSemaphore(MOST_LOOKING_BACK)
        self._fresh_for: dict[str, datetime] = {}
        self._problems: dict[str, str] = {}
        self._failures = 0
        self.problem = ""

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

    def reaches(self, until_at: datetime) -> bool:
        """True if the newest forecasts of all zones reach `until_at`."""
        return not self._short_of(until_at)

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """Make forecasts reach at least `until_at`, now and from now on, and return the newest. For the thread that calls `step`.

        Raises:
            ForecastError: There is no forecast that reaches so far.
        """
        if until_at > self._clock.now() + MOST_AHEAD:
            raise ForecastError(f"no forecast reaches {until_at:%Y-%m-%dT%H:%MZ}: nothing is forecast for more than {MOST_AHEAD.days} days")
        before = self._state.until_at
        if before is None or until_at > before:
            self._state = replace(self._state, until_at=until_at)
        if self._short_of(until_at):
            self._renew(self._due(self._newest_hour()), must_reach=True)
        if short := self._short_of(until_at):
            self._state = replace(self._state, until_at=before)  # what cannot be had is not asked for again and again
            raise ForecastError(f"no forecast of {', '.join(short)} reaches {until_at:%Y-%m-%dT%H:%MZ}: {self.problem or 'refresh failed'}")
        return self.snapshot()

    def _short_of(self, until_at: datetime) -> list[str]:
        """Zones whose forecast does not reach `until_at`, or that have none."""
        forecasts = self._state.snapshot.forecasts
        return [zone for zone in self._zones if zone not in forecasts or forecasts[zone].end_at < until_at]

    def _newest_hour(self) -> datetime:
        return self._clock.now().replace(minute=0, second=0, microsecond=0)

    def _due(self, hour: datetime) -> list[str]:
        return [zone for zone in self._zones if self._fresh_for.get(zone) != hour]

    def step(self) -> bool:
        """Renew the zones of which an interval has ended since the last time; True if a new snapshot was published."""
        due = self._due(self._newest_hour())
        return self._renew(due) if due or not self.version else False

    def refresh(self) -> bool:
        """Renew all zones; True if a new snapshot was published."""
        return self._renew(self._zones)

    def _renew(self, due: Collection[str], *, must_reach: bool = False) -> bool:
        """Ask for the history of the zones that are due, and forecast all that are fresh anew; whatever fails, keep what there is.

        Where nothing new came, nothing is forecast, unless forecasts `must_reach` farther than they do.
        """
        now, hour = self._clock.now(), self._newest_hour()
        self._problems = {zone: problem for zone, problem in self._problems.items() if zone not in due}
        try:
            newer = self._fetch(due, now)
            if not newer and not must_reach:
                return self._not_renewed(_summary(self._problems) or "there is nothing to forecast")
            fresh = {zone for zone in self._zones if self._fresh_for.get(zone) == hour and zone not in due} | set(newer)
            known = self._history().with_newer(newer)
            forecasts = self._forecasts({zone: known.series[zone] for zone in self._zones if zone in fresh and zone in known.series}, now)
        except CarbonRayError as error:
            return self._not_renewed(str(error))
        except Exception as error:  # a model may be anybody's plug-in, and its faults must not end the service
            log.exception("forecasts failed unexpectedly")
            return self._not_renewed(f"unexpected {type(error).__name__}: {error}")
        if not forecasts:
            return self._not_renewed(_summary(self._problems) or "there is nothing to forecast")
        kept = self._state.snapshot.forecasts
        whole = {zone: forecasts.get(zone) or kept.get(zone) for zone in self._zones}
        if lacking := [zone for zone, one in whole.items() if one is None]:
            return self._not_renewed(_summary({zone: self._problems.get(zone, f"no forecast of {zone}") for zone in lacking}))
        self._publish({zone: one for zone, one in whole.items() if one is not None}, known if newer else None, now)
        self._fresh_for |= dict.fromkeys(newer, hour)
        return True

    def _forecasts(self, history: dict[str, IntensitySeries], now: datetime) -> dict[str, Forecast]:
        horizon_s = max(self._horizon, (self._state.until_at or now) - now).total_seconds()
        return self._forecaster.forecast(history, now=now, horizon_s=horizon_s) if history else {}

    def _publish(self, forecasts: dict[str, Forecast], known: KnownHistory | None, now: datetime) -> None:
        # As old as the oldest of its forecasts: whoever asks for fresh ones must not be served a zone that is not.
        issued_at = min((one.issued_at for one in forecasts.values()), default=now)
        snapshot = ForecastSnapshot(version=self.version + 1, issued_at=issued_at, forecasts=forecasts)
        if known is not None:
            self._known = known
        self._state = replace(self._state, snapshot=snapshot)
        self._failures, self.problem = 0, _summary(self._problems)
        self._folder.write(self._state, known)

    def _not_renewed(self, problem: str) -> bool:
        self._failures += 1
        self.problem = problem
        self._provider = None
        log.warning("forecasts not refreshed: %s", problem)
        return False

    def _history(self) -> KnownHistory:
        with self._reading:
            if self._known is None:
                self._known = self._folder.read_history()
            return self._known

    def _source(self) -> HistoryProvider:
        provider = self._provider
        if provider is None:
            provider = self._provider = self._make_provider()
            self._chain = provider if isinstance(provider, ProviderChain) else None
        return provider

    def _fetch(self, zones: Collection[str], now: datetime) -> dict[str, IntensitySeries]:
        """History of the zones that can be had: only intervals that have ended."""
        if not zones:
            return {}
        provider, found = self._source(), {}
        for zone in zones:
            try:
                found[zone] = self._ended(newest_history(provider, zone, now - self._history_span, now), now)
            except CarbonRayError as error:
                self._problems[zone] = str(error)
                log.warning("history of %s not renewed: %s", zone, error)
        if self._problems:
            self._provider = None
        return found

    @staticmethod
    def _ended(series: IntensitySeries, now: datetime) -> IntensitySeries:
        step = timedelta(seconds=series.step_s)
        ended = min(len(series), (now - series.start_at) // step)
        return series.window(series.start_at, series.start_at + ended * step)

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window; the source is asked where the kept history is too short.

        Raises:
            UnknownZoneError: The zone is not among the cluster's.
            OutsideDataError: Part of the window has not come true yet.
            ProviderError: It is older than what is kept, and the source cannot be asked, or is being asked too much already.
        """
        if zone not in self._zones:
            raise UnknownZoneError(zone, self._zones)
        known = self._history()
        series = known.series.get(zone)
        if series is None or end_at > series.end_at:
            raise OutsideDataError(f"zone {zone}: [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}) has not come true yet")
        if (found := known.covering(zone, start_at, end_at)) is not None:
            return found
        if not self._looking_back.acquire(blocking=False):
            raise ProviderUnavailable("forecasts", zone, f"{MOST_LOOKING_BACK} requests for the past are under way already; ask again")
        try:
            return self._source().history(zone, start_at, end_at)
        finally:
            self._looking_back.release()

    def health(self) -> ForecastHealth:
        """How it does now; asks nobody."""
        now, snapshot, known = self._clock.now(), self._state.snapshot, self._known or KnownHistory()
        chain = self._chain

        def zone_health(zone: str, one: Forecast) -> ZoneHealth:
            series = known.series.get(zone)
            return ZoneHealth(
                zone=zone,
                issued_at=one.issued_at,
                age_s=(now - one.issued_at).total_seconds(),
                history_end_at=series.end_at if series is not None else None,
                provider=one.provenance.provider,
                is_embedded=one.provenance.is_embedded,
                problem=self._problems.get(zone, ""),
            )

        return ForecastHealth(
            version=snapshot.version,
            issued_at=snapshot.issued_at if snapshot.version else None,
            age_s=(now - snapshot.issued_at).total_seconds() if snapshot.version else None,
            failures=self._failures,
            problem=self.problem,
            zones=tuple(zone_health(zone, one) for zone, one in snapshot.forecasts.items()),
            sources=chain.health() if chain is not None else (),
        )
