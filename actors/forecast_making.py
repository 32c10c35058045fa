"""The forecaster of the actor that computes elsewhere: with a trained model in a task beside the actor, without one at once and simply.

Where a task fails the last forecasts stay in service, and the next task waits. A model that turns out to be of no use is put aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Protocol

from carbon_ray.actors.beside import BACK_OFF, Tasks
from carbon_ray.actors.forecast_models import ModelFolder
from carbon_ray.actors.forecast_tracks import TrackFile
from carbon_ray.actors.forecast_work import ForecastsMade, ForecastWork, make_forecasts
from carbon_ray.core.errors import CarbonRayError, ForecastError, ForecastModelError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.many_zones import Context, LightGbm
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.providers.breaker import CLOSED, BreakerRule, admit, failed

log = logging.getLogger(__name__)


class ContextSource(Protocol):
    """Tells what is known of zones beside their intensity."""

    def of(self, history: Mapping[str, IntensitySeries], now: datetime, *, is_training: bool) -> Mapping[str, Context]:
        """By zone, on the hours of its history; zones may be missing, and so may every part. Never raises for a source that fails.

        Args:
            history: By zone.
            now: Aware UTC; nothing that was issued after it is told.
            is_training: What was not known in time at past issues is left out, because a model would learn to rely on it.
        """
        ...


class NoContext:
    """Knows nothing beside the intensity."""

    def of(self, history: Mapping[str, IntensitySeries], now: datetime, *, is_training: bool) -> Mapping[str, Context]:
        """Nothing."""
        return {}


class BesideForecaster:
    """Implements `Forecaster`. For one thread: at most one task is in flight.

    Args:
        tasks: Runs them.
        models: Where trained models are.
        tracks: What was said lately.
        context: What is known beside the intensity.
        limit_s: Wall seconds that a task may take.
        wall: The world's time, by which failed tasks wait.
        rule: How long they wait.
    """

    name: ClassVar[str] = LightGbm.name

    def __init__(
        self,
        *,
        tasks: Tasks,
        models: ModelFolder,
        tracks: TrackFile,
        context: ContextSource,
        limit_s: float,
        wall: Callable[[], datetime],
        rule: BreakerRule = BACK_OFF,
    ) -> None:
        self._tasks, self._models, self._tracks, self._context = tasks, models, tracks, context
        self._limit_s, self._wall, self._rule = limit_s, wall, rule
        self._breaker, self._problem = CLOSED, ""

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """Forecast every zone of `history`; without a trained model as `ewma` does, which each forecast says of itself.

        Raises:
            ForecastError: The task failed, or waits after failures; or a zone has no interval that ended by `now`.
            ValueError: `now` is not in UTC, or the horizon is not above zero.
        """
        while (model := self._models.newest(now)) is not None:
            work = ForecastWork(
                model_path=model.path,
                history=history,
                context=self._context.of(history, now, is_training=False),
                tracks=self._tracks.tracks(),
                now=now,
                horizon_s=horizon_s,
            )
            try:
                made = self._run(work)
            except ForecastModelError as error:
                self._models.reject(model, str(error))
                continue
            self._tracks.add(made.tracks)
            return dict(made.forecasts)
        return Ewma().forecast(history, now=now, horizon_s=horizon_s)

    def _run(self, work: ForecastWork) -> ForecastsMade:
        breaker, is_admitted = admit(self._breaker, self._rule, self._wall())
        if not is_admitted:
            until_at = self._breaker.open_until_at
            raise ForecastError(f"{self._problem}; the next one goes at {until_at:%H:%M:%SZ}")
        self._breaker = breaker
        try:
            made = self._tasks.run(make_forecasts, work, limit_s=self._limit_s)
        except ForecastModelError:
            self._breaker = CLOSED  # nothing is wrong with the tasks
            raise
        except CarbonRayError as error:
            self._breaker, self._problem = failed(self._breaker, self._rule, self._wall()), str(error)
            raise
        self._breaker, self._problem = CLOSED, ""
        return made
