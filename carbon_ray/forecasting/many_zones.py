"""The `lightgbm` forecaster: one model over all zones, which learns on from the errors of what it said.

Given history alone it trains itself when first asked, and again every four weeks. A model trained elsewhere is used as it is. Generation by
fuel and issued weather are taken where they are handed over. A zone that is too new to be learned from is told from its siblings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.core.units import S_PER_H
from carbon_ray.forecasting.base import QUANTILES, Window
from carbon_ray.forecasting.cold_start import cold_start
from carbon_ray.forecasting.columns import MIN_HOURS
from carbon_ray.forecasting.model import ManyZoneModel, Recipe, Said, ZoneModel
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.signals import DAY
from carbon_ray.forecasting.told import lacks
from carbon_ray.forecasting.track import Lesson, Track, blended, score_at
from carbon_ray.forecasting.training import MIN_TRAIN_HOURS, train
from carbon_ray.forecasting.weather import WeatherRuns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What is known of a zone beside its intensity, on the hours of its history; each part may be missing.

    Attributes:
        generation: By group of `past.FUELS`, hourly, from the start of the history's first whole hour.
        weather: Issued runs.
        provider: A provider's own forecast, as issued by `now`.
        typical: The zone's typical year, over the hours to be forecast: for a zone with less than a week of history, or none.
    """

    generation: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)
    weather: WeatherRuns | None = None
    provider: Forecast | None = None
    typical: IntensitySeries | None = field(default=None, repr=False)


NO_CONTEXT = Context()
COLD_S = 7 * DAY * S_PER_H
"""Seconds of history below which a zone's typical year says more than its own past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGbm:
    """Trees over all zones and regressions by zone, blended with the naive forecasts, and with a provider's, by recent error.

    Attributes:
        recipe: How models are trained.
        refit_days: Whole days between trainings, counted from 1970.
        train_until_at: Nothing later is learned from (it is still looked at when forecasting); None = no limit. Aware UTC.
        model: Trained elsewhere: never trains itself then.
        tracks: What was said of each zone lately, by a name of zone, kind and source; goes on with every forecast. Hand over what another
            one has gathered to go on from there.
    """

    recipe: Recipe = field(default_factory=Recipe)
    refit_days: int = 28
    train_until_at: datetime | None = None
    model: ManyZoneModel | None = field(default=None, repr=False, compare=False)
    tracks: dict[str, Track] = field(default_factory=dict, repr=False, compare=False)
    _trained: dict[tuple[datetime, tuple[str, ...]], ManyZoneModel] = field(default_factory=dict, init=False, repr=False, compare=False)

    name: ClassVar[str] = "lightgbm"

    def __post_init__(self) -> None:
        if self.refit_days < 1:
            raise ConfigError(f"lightgbm needs refit_days of at least 1, got {self.refit_days}")
        if self.train_until_at is not None:
            require_utc(self.train_until_at, "train_until_at")

    def forecast(
        self,
        history: Mapping[str, IntensitySeries],
        *,
        now: datetime,
        horizon_s: float,
        context: Mapping[str, Context] | None = None,
    ) -> dict[str, Forecast]:
        """Forecast every zone; see `Forecaster.forecast`.

        Args:
            history: By zone.
            now: Aware UTC.
            horizon_s: Seconds.
            context: By zone, what is known beside the intensity; zones may be missing. A model uses what it was trained with; a
                zone that lacks that now is forecast as by `ewma`. A zone that has a typical year here and no history is forecast too.

        Raises:
            ForecastError: A zone has no interval that ended by `now`.
        """
        beside = context or {}
        windows = {zone: Window.of(series, now=now, horizon_s=horizon_s) for zone, series in history.items()}
        pasts = {zone: past_of(series, windows[zone], beside.get(zone, NO_CONTEXT)) for zone, series in history.items()}
        model = self.model or self.trained(pasts, now)
        ready = {zone: past for zone, past in pasts.items() if model is not None and past is not None and len(past) >= MIN_HOURS}
        cold = {
            zone: one.typical
            for zone, one in beside.items()
            if one.typical is not None and (zone not in history or windows[zone].past * history[zone].step_s < COLD_S)
        }
        ready = {zone: past for zone, past in ready.items() if zone not in cold and model is not None and not lacks(model, past)}
        plain = {zone: series for zone, series in history.items() if zone not in ready and zone not in cold}
        made = Ewma().forecast(plain, now=now, horizon_s=horizon_s) if plain else {}
        if model is not None and ready:
            for zone, said in model.said_of(ready, {zone: np.array([len(past)]) for zone, past in ready.items()}).items():
                other = _provider_said(beside.get(zone, NO_CONTEXT).provider, ready[zone], said)
                made[zone] = self._made(history[zone], ready[zone], model, said, other, windows[zone], now)
        typical_of_siblings = {zone: one.typical for zone, one in beside.items() if one.typical is not None and zone in ready}
        siblings = {zone: made[zone] for zone in typical_of_siblings}
        for zone, typical in cold.items():
            window = Window.of(typical, now=now, horizon_s=horizon_s)
            ahead = typical.window(window.start_at, window.start_at + window.count * timedelta(seconds=typical.step_s))
            made[zone] = cold_start(ahead, siblings, typical_of_siblings, now=now)
        return {zone: made[zone] for zone in (*history, *(zone for zone in cold if zone not in history))}

    def trained(self, pasts: Mapping[str, ZonePast | None], now: datetime) -> ManyZoneModel | None:
        """The model in use at `now`, learned from what had passed at the last training; made once. None while there is too little."""
        days = (now - datetime.fromtimestamp(0, now.tzinfo)) // timedelta(days=self.refit_days) * self.refit_days
        at = datetime.fromtimestamp(0, now.tzinfo) + timedelta(days=days)
        if self.train_until_at is not None and now >= self.train_until_at:
            at = self.train_until_at
        known = {
            zone: past.until(max(0, min(len(past), (at - past.start_at) // timedelta(hours=1))))
            for zone, past in pasts.items()
            if past is not None
        }
        known = {zone: past for zone, past in known.items() if len(past) >= MIN_TRAIN_HOURS}
        if not known:
            return None
        key = (at, tuple(f"{zone}@{past.start_at.isoformat()}" for zone, past in known.items()))
        if key not in self._trained:
            model = train(known, self.recipe)
            self._trained.clear()
            self._trained[key] = model
        return self._trained[key]

    def _made(
        self,
        series: IntensitySeries,
        past: ZonePast,
        model: ManyZoneModel,
        said: Said,
        other: FloatArray | None,
        window: Window,
        now: datetime,
    ) -> Forecast:
        zone, at = series.zone, past.start_at + timedelta(hours=len(past))
        own = model.zones.get(zone) or stranger(model)
        key = f"{zone}/{series.kind}/{series.provenance.provider}"
        track = self.tracks.get(key)
        if track is None or track.size.shape[1] != model.recipe.leads:
            track = Track.empty(model.recipe.leads)
        lesson = Lesson.of(own, track, past, at)
        self.tracks[key] = track.and_then(at, said, other)
        hours = quantiles_of(said, lesson, own, other)
        per_hour = round(S_PER_H / series.step_s)
        # Stale history: its end is the issue, and the first hours ahead are already past.
        ahead = np.arange(window.first, window.first + window.count) // per_hour - len(past)
        leads = model.recipe.leads
        position = np.where(ahead < leads, ahead, leads - DAY + (ahead - leads) % DAY)
        return Forecast(
            zone=zone,
            kind=series.kind,
            issued_at=now,
            start_at=window.start_at,
            step_s=series.step_s,
            quantiles_gco2_per_kwh={level: values[position] for level, values in hours.items()},
            forecaster=self.name,
            provenance=series.provenance,
        )


def quantiles_of(said: Said, lesson: Lesson, model: ZoneModel, other: FloatArray | None = None) -> dict[float, FloatArray]:
    """Quantiles of the intensity of one issue by level, each of shape (leads,).

    Args:
        said: Of one issue.
        lesson: How its members are put together.
        model: Of the zone, or `stranger`.
        other: What a provider's forecast says, as logarithm relative to the usual day; NaN where it says nothing.
    """
    middle, size = blended(said, lesson)[0], said.size[0] * lesson.width
    if other is not None:
        middle = np.where(np.isfinite(other), (1 - lesson.provider) * middle + lesson.provider * np.nan_to_num(other), middle)
    out = {}
    for level in QUANTILES:
        score = score_at(model.scores, level)
        edge = 0.0 if level == MEDIAN else np.minimum(score, 0.0) if level < MEDIAN else np.maximum(score, 0.0)
        out[level] = said.usual_gco2_per_kwh[0] * np.exp(middle + size * edge)
    return out


def stranger(model: ManyZoneModel) -> ZoneModel:
    """What is expected of a zone that the model has not seen: the errors of all others together, without regressions."""
    zones = list(model.zones.values())
    products = np.mean([one.products for one in zones], axis=0)
    # The first member stands for the trees there, see `ManyZoneModel.said_of`.
    products[:, 0], products[:, :, 0] = products[:, 1], products[:, :, 1]
    scores: FloatArray = np.mean([one.scores for one in zones], axis=0)
    return ZoneModel(curves=None, coefficients={}, products=products, scores=scores)


def past_of(series: IntensitySeries, window: Window, context: Context) -> ZonePast | None:
    """The hours of a series that have ended; None where none did, or where its steps do not make up hours."""
    per_hour = round(S_PER_H / series.step_s)
    hours = window.past // per_hour if per_hour * series.step_s == S_PER_H else 0
    if not hours:
        return None
    values = series.values_gco2_per_kwh[: hours * per_hour].reshape(hours, per_hour).mean(axis=1)
    generation = {fuel: power[:hours] for fuel, power in context.generation.items()}
    return ZonePast(zone=series.zone, start_at=series.start_at, values_gco2_per_kwh=values, generation=generation, weather=context.weather)


def _provider_said(forecast: Forecast | None, past: ZonePast, said: Said) -> FloatArray | None:
    """A provider's forecast as logarithm relative to the usual day; NaN for hours that it does not cover whole."""
    if forecast is None:
        return None
    usual = said.usual_gco2_per_kwh[0]
    first_at = past.start_at + timedelta(hours=len(past))
    out = np.full(len(usual), np.nan)
    begin = max(0, -((first_at - forecast.start_at) // timedelta(hours=1)))
    end = min(len(usual), (forecast.end_at - first_at) // timedelta(hours=1))
    if begin < end:
        values = forecast.resample(first_at + timedelta(hours=begin), S_PER_H, end - begin)
        out[begin:end] = np.log(np.maximum(values, 1.0) / usual[begin:end])
    return out
