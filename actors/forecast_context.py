"""What forecasts are made of beside the intensity: generation, issued weather, and the forecast of the source itself.

Each part may be missing, and a source that fails costs that part of its zone, nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from carbon_ray.actors.forecast_weather import WeatherKeeper
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensitySeries
from carbon_ray.core.units import S_PER_H
from carbon_ray.forecasting.many_zones import Context
from carbon_ray.forecasting.past import FUELS
from carbon_ray.forecasting.signals import DAY
from carbon_ray.providers.beside_store import hourly
from carbon_ray.providers.mix import STORAGE, Fuel, GenerationMix

log = logging.getLogger(__name__)

T = TypeVar("T")

HOUR = timedelta(hours=1)
HORIZON_S = 168 * S_PER_H
SAME_ROUND = timedelta(minutes=15)
"""A forecast that is fetched now is issued a little after the instant at which the round began."""
MOST_MISSING_FRACTION = 0.1
"""Of the hours of a history; where more of its generation is missing, none of it is used."""
GROUPS: Mapping[Fuel, str] = {
    Fuel.COAL: "coal",
    Fuel.HARD_COAL: "coal",
    Fuel.LIGNITE: "coal",
    Fuel.PEAT: "coal",
    Fuel.OIL_SHALE: "coal",
    Fuel.GAS: "gas",
    Fuel.COAL_GAS: "gas",
    Fuel.NUCLEAR: "nuclear",
    Fuel.HYDRO: "hydro",
    Fuel.HYDRO_RESERVOIR: "hydro",
    Fuel.HYDRO_RUN_OF_RIVER: "hydro",
    Fuel.SOLAR: "solar",
    Fuel.WIND: "wind",
    Fuel.WIND_OFFSHORE: "wind",
    Fuel.WIND_ONSHORE: "wind",
}
"""Groups that models know, by fuel; storage is left out, every other fuel is `other`."""


class ContextPort(Protocol):
    """Where generation and a source's own forecasts come from, such as a chain of sources."""

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation in the window; None for none."""
        ...

    def forecast(self, zone: str, horizon_s: float) -> Forecast | None:
        """The newest forecast that the zone's source has issued itself; None for none."""
        ...


class GridContext:
    """Implements `ContextSource`.

    Args:
        source: Of generation and forecasts.
        weather: Of issued weather; None for none.
        has_mix: Generation is asked for.
        has_forecast: Forecasts of the source are asked for.
    """

    def __init__(
        self, source: ContextPort, weather: WeatherKeeper | None = None, *, has_mix: bool = True, has_forecast: bool = True
    ) -> None:
        self._source, self._weather, self._has_mix, self._has_forecast = source, weather, has_mix, has_forecast

    def of(self, history: Mapping[str, IntensitySeries], now: datetime, *, is_training: bool) -> Mapping[str, Context]:
        """See `ContextSource.of`."""
        return {zone: self._of(zone, series, now, is_training=is_training) for zone, series in history.items()}

    def _of(self, zone: str, series: IntensitySeries, now: datetime, *, is_training: bool) -> Context:
        generation: Mapping[str, FloatArray] = {}
        if self._has_mix and not series.provenance.is_embedded:
            mix = self._tried(zone, "generation", lambda: self._source.mix(zone, series.start_at, min(series.end_at, now)))
            generation = {} if mix is None else generation_of(mix, series.start_at, series.end_at)
        weather = None
        if self._weather is not None:
            keeper = self._weather
            weather = self._tried(zone, "weather", lambda: keeper.runs(zone, series.start_at, now, is_training=is_training))
        other = None
        if self._has_forecast and not is_training:
            other = self._tried(zone, "forecast", lambda: self._source.forecast(zone, HORIZON_S))
            if other is not None and (other.issued_at > now + SAME_ROUND or other.kind is not series.kind):
                other = None  # of another time than the cluster's, or of another kind: kinds never mix
        return Context(generation=generation, weather=weather, provider=other)

    @staticmethod
    def _tried(zone: str, what: str, ask: Callable[[], T | None]) -> T | None:
        try:
            return ask()
        except CarbonRayError as error:
            log.info("no %s of zone %s for its forecast: %s", what, zone, error)
            return None


def generation_of(mix: GenerationMix, start_at: datetime, end_at: datetime) -> dict[str, FloatArray]:
    """Hourly generation by group of `FUELS` over the whole hours of `[start_at, end_at)`; empty where too much of it is missing.

    An hour that is missing is taken to be like the same hour of the day before, or of the next day that is known.

    Args:
        mix: Of any step that makes up hours.
        start_at: On the hour, aware UTC.
        end_at: Aware UTC.
    """
    hours, found = (end_at - start_at) // HOUR, hourly(mix)
    if found is None or hours < 1:
        return {}
    at = (found.start_at - start_at) // HOUR
    first, last = max(0, at), min(hours, at + len(found))
    if first >= last:
        return {}
    groups: dict[str, FloatArray] = {}
    for fuel, power in found.power_mw.items():
        if fuel not in STORAGE:
            group = GROUPS.get(fuel, "other")
            whole = np.full(hours, np.nan)
            whole[first:last] = power[first - at : last - at]
            groups[group] = groups[group] + whole if group in groups else whole
    assert set(groups) <= set(FUELS)
    if not groups:
        return {}
    missing = np.isnan(np.sum(list(groups.values()), axis=0))
    if missing.mean() > MOST_MISSING_FRACTION:
        return {}
    source = _like_days_beside(missing)
    return {group: power[source] for group, power in groups.items()} if (source >= 0).all() else {}


def _like_days_beside(missing: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For every hour the position of the hour that stands for it: itself, else the same hour of a day before, else of one after."""
    source = np.where(missing, -1, np.arange(len(missing)))
    for hour in range(DAY, len(source)):
        if source[hour] < 0:
            source[hour] = source[hour - DAY]
    for hour in range(len(source) - DAY - 1, -1, -1):
        if source[hour] < 0:
            source[hour] = source[hour + DAY]
    return source
