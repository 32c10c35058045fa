"""The forecast actor: a thread that refreshes, and reads that never wait for it."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.actors.timekeeping import ORIGIN_KEY, cluster_clock
from carbon_ray.cluster import kv
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.config.grid import grid_provider
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.registry import forecaster_named

log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""Wall seconds between looks at the clock."""

_RETRY_S = 10.0
"""Wall seconds between attempts while the provider fails: often enough for a user who waits, seldom enough for the provider."""


class ForecastActor:
    """Serves one cluster's forecasts. Started by `carbon_ray.actors.handles`, and by Ray again after a death."""

    def __init__(self, config: ClusterConfig) -> None:
        carbon = config.carbon
        clock = cluster_clock(carbon.clock, lambda: kv.get(ORIGIN_KEY), lambda text: kv.put_if_absent(ORIGIN_KEY, text))

        zones = tuple(sorted({region.zone for region in config.regions.values()}))
        self._service = ForecastService(
            zones=zones,
            provider=lambda: grid_provider(carbon.grid, zones),
            forecaster=forecaster_named(carbon.forecaster),
            clock=clock,
            state_dir=config.state_dir,
            history_days=carbon.history_days,
            horizon_h=carbon.horizon_h,
        )
        self._lock = threading.Lock()  # refreshes only; reads take whatever state is there
        threading.Thread(target=self._refresh_forever, name="forecast-refresh", daemon=True).start()

    def _refresh_forever(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with self._lock:
                    self._service.step()
            except Exception:  # the loop must outlive any surprise; what is served stays
                log.exception("forecast refresh failed")
            pause.wait(_RETRY_S if self._service.problem else _LOOK_S)

    def newer_than(self, version: int) -> ForecastSnapshot | None:
        """The newest snapshot, or None where the reader has it already.

        Raises:
            ForecastError: There is none yet.
        """
        if version and self._service.version == version:  # a service that has lost its state counts from 1 again
            return None
        if self._service.version == 0:
            with self._lock:
                self._service.step()
        return self._service.snapshot()

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """A snapshot that reaches `until_at`.

        Raises:
            ForecastError: There is none that reaches so far.
        """
        with self._lock:
            return self._service.reach(until_at)

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
            UnknownZoneError: The zone is not among the cluster's.
        """
        return self._service.actual(zone, start_at, end_at)

    def problem(self) -> str:
        """Why the last refresh failed; empty after a success."""
        return self._service.problem
