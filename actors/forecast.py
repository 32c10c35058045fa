"""The forecast actor: one thread that refreshes, reads that never wait for it, and snapshots that everybody shares.

A snapshot is put into the object store once, and its edition into the key-value store of the GCS, where readers look at it without
asking the actor. What the actor answers is a reference. What tells how it does has threads of its own, so that requests that wait
for a refresh cannot take all of them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import datetime

import ray

from carbon_ray.actors.forecast_client import EDITION_KEY, Publication, edition_of
from carbon_ray.actors.forecast_context import GridContext
from carbon_ray.actors.forecast_health import ForecastHealth, RefreshLoad
from carbon_ray.actors.forecast_making import BesideForecaster
from carbon_ray.actors.forecast_metrics import ForecastMetrics
from carbon_ray.actors.forecast_models import ModelFolder
from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.actors.forecast_tracks import TRACKS_FILE, TrackFile
from carbon_ray.actors.forecast_weather import WeatherKeeper
from carbon_ray.actors.model_training import ModelTraining
from carbon_ray.actors.ray_tasks import RayTasks
from carbon_ray.actors.refreshing import Refreshing
from carbon_ray.actors.timekeeping import ORIGIN_KEY, cluster_clock
from carbon_ray.cluster import kv
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.config.grid import grid_chain, weather_sources
from carbon_ray.core.clock import Clock, wall_now
from carbon_ray.core.errors import ForecastError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.forecasting.many_zones import LightGbm
from carbon_ray.forecasting.model import LOOKED_BACK_HOURS, Recipe
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.forecasting.signals import DAY
from carbon_ray.providers.chain import ProviderChain

log = logging.getLogger(__name__)

READS = {"reads": 2}
"""Ray's concurrency group of the methods that only look, with its number of threads."""

CACHE_FOLDER, MODELS_FOLDER, WEATHER_FOLDER = "history", "models", "weather"

_LOOK_S = 0.5
"""Wall seconds between looks at the clock."""

_RETRY_S = 10.0
"""Wall seconds between attempts while a source fails: often enough for a user who waits, seldom enough for the source."""

_FIRST_S = 60.0
"""Wall seconds that the first readers wait for the first forecast."""


class ForecastActor:
    """Serves one cluster's forecasts. Started by `carbon_ray.actors.handles`, and by Ray again after a death."""

    def __init__(self, config: ClusterConfig) -> None:
        carbon = config.carbon
        clock = cluster_clock(carbon.clock, lambda: kv.get(ORIGIN_KEY), lambda text: kv.put_if_absent(ORIGIN_KEY, text))
        zones = tuple(sorted({region.zone for region in config.regions.values()}))
        chain = grid_chain(carbon.grid, cache_dir=config.state_dir / CACHE_FOLDER)
        self._training: ModelTraining | None = None
        if carbon.forecaster == LightGbm.name:
            forecaster, self._training = self._beside(config, zones, chain, clock)
            history_days = max(carbon.history_days, LOOKED_BACK_HOURS // DAY)
        else:
            forecaster, history_days = forecaster_named(carbon.forecaster), carbon.history_days
        self._service = ForecastService(
            zones=zones,
            provider=lambda: chain,
            forecaster=forecaster,
            clock=clock,
            state_dir=config.state_dir,
            history_days=history_days,
            horizon_h=carbon.horizon_h,
        )
        self._published: tuple[Publication, ...] = ()
        self._publish()  # what survived the last death, if anything did
        self._metrics = ForecastMetrics()
        self._refreshing = Refreshing(self._turn)
        self._refreshing.start()
        if self._training is not None:
            Refreshing(self._training.turn, name="forecast-training").start()

    def _beside(
        self, config: ClusterConfig, zones: tuple[str, ...], chain: ProviderChain, clock: Clock
    ) -> tuple[Forecaster, ModelTraining]:
        """What forecasts and what trains in tasks beside this process."""
        settings, models = config.carbon.forecasting, ModelFolder(config.state_dir / MODELS_FOLDER)
        tasks = RayTasks(num_cpus=settings.task_num_cpus)
        weather = None
        if settings.weather is not None:
            weather = WeatherKeeper(*weather_sources(settings.weather), config.state_dir / WEATHER_FOLDER)
        context = GridContext(chain, weather, has_mix=settings.mix, has_forecast=settings.source_forecast)
        forecaster = BesideForecaster(
            tasks=tasks,
            models=models,
            tracks=TrackFile(config.state_dir / TRACKS_FILE),
            context=context,
            limit_s=settings.forecast_limit_s,
            wall=wall_now,
        )
        training = ModelTraining(
            zones=zones,
            source=lambda: chain,
            context=context,
            tasks=tasks,
            models=models,
            recipe=Recipe(rows=settings.rows, rounds=settings.rounds, threads=settings.threads),
            train_days=settings.train_days,
            refit_days=settings.refit_days,
            limit_s=settings.train_limit_s,
            clock=clock,
            wall=wall_now,
            on_trained=self._renew,
        )
        return forecaster, training

    def _renew(self) -> None:
        """Forecast anew with a new model, at once."""

        def work() -> None:
            self._service.refresh()
            self._publish()

        try:
            self._refreshing.do(work)
        except ForecastError as error:
            log.info("the new model is used from the next hour on: %s", error)

    def _turn(self) -> float:
        try:
            self._service.step()
            self._publish()
        finally:
            self._metrics.show(self.health(), self._refreshing.load())
        return _RETRY_S if self._service.problem else _LOOK_S

    def _publish(self) -> None:
        """Put the newest snapshot into the object store, unless it is there; the one before stays for those who are about to read it."""
        if self._service.version == 0:
            return
        snapshot = self._service.snapshot()
        edition = edition_of(snapshot)
        if self._published and self._published[-1].edition == edition:
            return
        publication = Publication(edition=edition, refs=(ray.put(snapshot),))
        kv.put(EDITION_KEY, edition)  # where this fails, the next turn tries all of it again; who reads in between looks again
        self._published = (*self._published[-1:], publication)

    @ray.method(concurrency_group="reads")  # type: ignore[untyped-decorator]  # Ray ships no types
    def health(self) -> ForecastHealth:
        """How the service does."""
        training = None if self._training is None else self._training.health()
        return replace(self._service.health(), training=training)

    @ray.method(concurrency_group="reads")  # type: ignore[untyped-decorator]  # Ray ships no types
    def load(self) -> RefreshLoad:
        """What the refreshing thread has to do."""
        return self._refreshing.load()

    @ray.method(concurrency_group="reads")  # type: ignore[untyped-decorator]  # Ray ships no types
    def process_id(self) -> int:
        """Of the actor's process, which is another one after each restart."""
        return os.getpid()

    def published(self) -> Publication:
        """The newest snapshot's edition and place.

        Raises:
            ForecastError: There is none yet.
        """
        if not self._published:
            self._refreshing.wait_for_round(_FIRST_S)
        if not self._published:
            self._service.snapshot()  # says why there is none
        return self._published[-1]

    def reach(self, until_at: datetime) -> Publication:
        """A snapshot that reaches `until_at`.

        Raises:
            ForecastError: There is none that reaches so far, or too many wait for one.
        """
        if not self._service.reaches(until_at):
            self._refreshing.do(lambda: self._reach(until_at))
        return self.published()

    def _reach(self, until_at: datetime) -> ForecastSnapshot:
        try:
            return self._service.reach(until_at)
        finally:
            self._publish()

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
            UnknownZoneError: The zone is not among the cluster's.
            ProviderError: It lies before what is kept, and its source cannot be asked now.
        """
        return self._service.actual(zone, start_at, end_at)

    def problem(self) -> str:
        """Why the last refresh failed; empty after a success."""
        return self._service.problem
