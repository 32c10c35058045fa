"""What a task beside the forecast actor does: train a model, or forecast with one. Pure but for the model's file: it runs anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from carbon_ray.actors.forecast_models import read_model
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.many_zones import Context, LightGbm
from carbon_ray.forecasting.model import Recipe
from carbon_ray.forecasting.model_codec import to_bytes
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.track import Track
from carbon_ray.forecasting.training import train


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastWork:
    """What to forecast, and from what.

    Attributes:
        model_path: File of the model.
        history: By zone.
        context: By zone, what is known beside the intensity.
        tracks: What was said lately, as `LightGbm.tracks`.
        now: Aware UTC.
        horizon_s: Seconds.
    """

    model_path: Path
    history: Mapping[str, IntensitySeries] = field(repr=False)
    context: Mapping[str, Context] = field(default_factory=dict, repr=False)
    tracks: Mapping[str, Track] = field(default_factory=dict, repr=False)
    now: datetime
    horizon_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastsMade:
    """What came of it.

    Attributes:
        forecasts: By zone.
        tracks: Those that have grown.
    """

    forecasts: Mapping[str, Forecast] = field(repr=False)
    tracks: Mapping[str, Track] = field(repr=False)


def make_forecasts(work: ForecastWork) -> ForecastsMade:
    """Forecast with a stored model.

    Raises:
        ForecastModelError: Its file is not there, damaged, or of other columns.
        ForecastError: A zone has no interval that has ended.
    """
    forecaster = LightGbm(model=read_model(work.model_path), tracks=dict(work.tracks))
    forecasts = forecaster.forecast(work.history, now=work.now, horizon_s=work.horizon_s, context=work.context)
    grown = {name: track for name, track in forecaster.tracks.items() if track is not work.tracks.get(name)}
    return ForecastsMade(forecasts=forecasts, tracks=grown)


def train_model(pasts: Mapping[str, ZonePast], recipe: Recipe) -> bytes:
    """Train a model, and give it as it is stored.

    Raises:
        ForecastError: No zone has enough past.
    """
    return to_bytes(train(pasts, recipe))
