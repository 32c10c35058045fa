"""When a model is trained, and from what: turn by turn, in a thread of its own, while the training itself runs as a task elsewhere.

A model is trained when there is none that fits, when it has become old, and when the cluster has a zone that it does not know and that
has enough past by now. Nothing is learned from the embedded profile, which is no observation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from carbon_ray.actors.beside import BACK_OFF, Tasks
from carbon_ray.actors.forecast_health import TrainingHealth
from carbon_ray.actors.forecast_making import ContextSource
from carbon_ray.actors.forecast_models import ModelFolder, StoredModel
from carbon_ray.actors.forecast_work import train_model
from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import CarbonRayError, ProviderNoDataError, UnknownZoneError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.base import Window
from carbon_ray.forecasting.many_zones import NO_CONTEXT, past_of
from carbon_ray.forecasting.model import Recipe
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.training import MIN_TRAIN_HOURS
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.breaker import CLOSED, BreakerRule, admit, failed
from carbon_ray.providers.recent import newest_history

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Wall seconds between looks at whether a training is due."""
LOOK_AGAIN = timedelta(hours=6)
"""Of the cluster's clock: where there was too little to learn from, it is looked at again after that."""


class ModelTraining:
    """Keeps a model trained. `turn` is for one thread, and blocks while a training is under way; `health` is for any.

    Args:
        zones: Of the cluster.
        source: Where history comes from; asked for when it is needed.
        context: What is known beside the intensity.
        tasks: Runs trainings.
        models: Where models are kept.
        recipe: How they are trained.
        train_days: Days of history that they learn from.
        refit_days: Days after which a model is old.
        limit_s: Wall seconds that a training may take.
        clock: The cluster's clock.
        wall: The world's time, by which failed trainings wait.
        on_trained: Called after each training.
        rule: How long failed ones wait.
    """

    def __init__(
        self,
        *,
        zones: tuple[str, ...],
        source: Callable[[], HistoryProvider],
        context: ContextSource,
        tasks: Tasks,
        models: ModelFolder,
        recipe: Recipe,
        train_days: int,
        refit_days: int,
        limit_s: float,
        clock: Clock,
        wall: Callable[[], datetime],
        on_trained: Callable[[], None] = lambda: None,
        rule: BreakerRule = BACK_OFF,
    ) -> None:
        self._zones, self._source, self._context, self._tasks, self._models = zones, source, context, tasks, models
        self._recipe, self._span, self._refit = recipe, timedelta(days=train_days), timedelta(days=refit_days)
        self._limit_s, self._clock, self._wall, self._on_trained, self._rule = limit_s, clock, wall, on_trained, rule
        self._breaker = CLOSED
        self._look_again_at: datetime | None = None
        self._is_training = False
        self._problem = ""

    def health(self) -> TrainingHealth:
        """How it does now."""
        now = self._clock.now()
        model = self._models.newest(now)
        return TrainingHealth(
            trained_at=None if model is None else model.trained_at,
            age_s=None if model is None else (now - model.trained_at).total_seconds(),
            zones=() if model is None else model.zones,
            is_training=self._is_training,
            problem=self._problem,
        )

    def turn(self) -> float:
        """Train if it is due; wall seconds until the next look."""
        now = self._clock.now()
        model = self._models.newest(now)
        if not self._is_due(model, now):
            return LOOK_S
        breaker, is_admitted = admit(self._breaker, self._rule, self._wall())
        if not is_admitted:
            return LOOK_S
        self._breaker = breaker
        try:
            is_trained = self._train(model, now)
        except CarbonRayError as error:
            self._breaker, self._problem = failed(self._breaker, self._rule, self._wall()), str(error)
            log.warning("no forecast model was trained: %s", error)
            return LOOK_S
        self._breaker, self._problem = CLOSED, ""
        if is_trained:
            self._look_again_at = None
            self._on_trained()
        else:
            self._look_again_at = now + LOOK_AGAIN
        return LOOK_S

    def _is_due(self, model: StoredModel | None, now: datetime) -> bool:
        if model is not None and now - model.trained_at < self._refit and set(self._zones) <= set(model.zones):
            return False
        return self._look_again_at is None or now >= self._look_again_at

    def _train(self, model: StoredModel | None, now: datetime) -> bool:
        """Train from what there is; False where there is not enough, or nothing new, to learn from.

        Raises:
            CarbonRayError: The training failed, or the history of a zone that the model in use knows cannot be had now.
        """
        history = self._histories(model, now)
        context = self._context.of(history, now, is_training=True)
        pasts: dict[str, ZonePast] = {}
        for zone, series in history.items():
            past = past_of(series, Window.of(series, now=now, horizon_s=3600.0), context.get(zone, NO_CONTEXT))
            if past is not None and len(past) >= MIN_TRAIN_HOURS:
                pasts[zone] = past
        if not pasts or (model is not None and now - model.trained_at < self._refit and set(pasts) <= set(model.zones)):
            return False
        self._is_training = True
        try:
            data = self._tasks.run(train_model, pasts, self._recipe, limit_s=self._limit_s)
            stored = self._models.keep(data, now)
        finally:
            self._is_training = False
        log.info("forecast model trained on %s", ", ".join(stored.zones))
        return True

    def _histories(self, model: StoredModel | None, now: datetime) -> Mapping[str, IntensitySeries]:
        found: dict[str, IntensitySeries] = {}
        for zone in self._zones:
            try:
                series = newest_history(self._source(), zone, now - self._span, now)
            except (ProviderNoDataError, UnknownZoneError) as error:
                log.info("nothing is learned of %s: %s", zone, error)
                continue
            except CarbonRayError as error:
                if model is not None and zone in model.zones:
                    raise
                log.info("nothing is learned of %s now: %s", zone, error)
                continue
            if not series.provenance.is_embedded:
                found[zone] = series
        return found
