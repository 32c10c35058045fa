"""Energy-Charts of Fraunhofer ISE: European countries in quarter hours, about a day ahead, no key.

Life-cycle by what is known of it; nobody has confirmed that, and the provenance says so.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import ClassVar

from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Capabilities, require_window
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import EpochStamp, Number, Payload, read_payload
from carbon_ray.providers.services.grid import Row, forecast_of, readings_of, usual_step_s
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, chunks, whole_hours

log = logging.getLogger(__name__)

_STEP_S = 900.0
_CHUNK = timedelta(days=31)
_AHEAD = timedelta(hours=48)
_DETAIL = "Fraunhofer ISE Energy-Charts, taken to be life-cycle"
_COUNTRIES = ("AT", "BE", "BG", "CH", "CZ", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "LT", "LV", "NL", "PL", "PT", "RO", "SI", "SK")


class _Co2(Payload):
    unix_seconds: list[EpochStamp]
    co2eq: list[Number]
    co2eq_forecast: list[Number] | None = None
    deprecated: bool = False


class EnergyChartsProvider(Service):
    """History and forecasts of European countries. A zone is served under its country code in lower case; see `Service`."""

    name: ClassVar[str] = "energy_charts"
    kinds: ClassVar = (IntensityKind.AVERAGE_LIFECYCLE,)
    usual_base_url: ClassVar[str | None] = "https://api.energy-charts.info"
    known_areas: ClassVar = {country: country.lower() for country in _COUNTRIES}
    usual_network: ClassVar = NetworkSettings(cache_s=900.0, min_interval_s=1.0)

    _has_warned = False

    @property
    def capabilities(self) -> Capabilities:
        """History and about a day of forecast in quarter hours."""
        return self._able(resolution_s=_STEP_S, horizon_s=24 * S_PER_H)

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What was measured of `[start_at, end_at)`; forecasts are left out."""
        require_window(start_at, end_at)
        rows: list[Row] = []
        fetched_at = self._world.clock.now()
        for one, two in chunks(*whole_hours(start_at, end_at), _CHUNK):
            answer = self._ask(zone, one, two)
            fetched_at = answer.fetched_at
            rows += [Row(at, ends_at, measured, False) for at, ends_at, measured, _ in self._values(answer, zone) if at <= fetched_at]
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(_DETAIL, fetched_at),
            newest_at=self._newest_at(fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast; where the present is measured already, that is what it begins with. Counts as issued when fetched."""
        now = self._world.clock.now()
        hour_at, _ = whole_hours(now, now)
        answer = self._ask(zone, hour_at, hour_at + _AHEAD)
        rows = [Row(at, ends_at, ahead if measured is None else measured) for at, ends_at, measured, ahead in self._values(answer, zone)]
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(f"{_DETAIL}; issued when fetched", answer.fetched_at, answer.fetched_at),
            newest_at=None,
            is_forecast=True,
        )
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=answer.fetched_at)

    def _ask(self, zone: str, start_at: datetime, end_at: datetime) -> Answer:
        params = (("country", self._area(zone)), ("start", f"{start_at:%Y-%m-%dT%H:%MZ}"), ("end", f"{end_at:%Y-%m-%dT%H:%MZ}"))
        return self.client.get(Question(path="/co2eq", params=params, zone=zone))

    def _values(self, answer: Answer, zone: str) -> list[tuple[datetime, datetime, float | None, float | None]]:
        """Start, end, measured, forecast."""
        excerpt = self.client.excerpt(answer.beginning)
        told = read_payload(_Co2, self._json(answer, zone), provider=self.name, zone=zone, excerpt=excerpt)
        ahead = told.co2eq_forecast if told.co2eq_forecast is not None else [None] * len(told.co2eq)
        if not len(told.unix_seconds) == len(told.co2eq) == len(ahead):
            raise self._broken(zone, f"sent {len(told.unix_seconds)} instants, {len(told.co2eq)} values and {len(ahead)} forecasts", answer)
        if told.deprecated and not self._has_warned:
            self._has_warned = True
            log.warning("energy_charts says that this part of its service is deprecated; look for its successor")
        step = timedelta(seconds=usual_step_s(told.unix_seconds, _STEP_S))
        return [(at, at + step, measured, later) for at, measured, later in zip(told.unix_seconds, told.co2eq, ahead, strict=True)]
