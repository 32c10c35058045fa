"""Energi Data Service by Energinet: both Danish price areas in steps of five minutes, forecast to the end of tomorrow, no key.

One request per data set and minute is allowed, so both areas are asked for together and kept in memory. CC BY 4.0.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from carbon_ray.core.errors import ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Capabilities, Quota, require_window
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import Number, Payload, UtcStamp, read_payload
from carbon_ray.providers.services.grid import Row, forecast_of, readings_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, whole_hours

HISTORY, FORECAST = "CO2Emis", "CO2EmisProg"
_STEP = timedelta(minutes=5)
_AHEAD = timedelta(hours=48)
_MAX_PAGES = 50
_DETAIL = "Energinet, Energi Data Service, CC BY 4.0; consumption, taken to be direct"


class _Record(Payload):
    at: UtcStamp = Field(alias="Minutes5UTC")
    area: str = Field(alias="PriceArea")
    intensity: Number = Field(alias="CO2Emission")


class _Page(Payload):
    total: Annotated[int, Field(ge=0)]
    records: list[_Record]


class EnergiDataServiceProvider(Service):
    """History and forecasts of DK-DK1 and DK-DK2; see `Service`."""

    name: ClassVar[str] = "energi_data_service"
    kinds: ClassVar = (IntensityKind.AVERAGE_DIRECT,)
    usual_base_url: ClassVar[str | None] = "https://api.energidataservice.dk"
    known_areas: ClassVar = {"DK-DK1": "DK1", "DK-DK2": "DK2"}
    usual_network: ClassVar = NetworkSettings(cache_s=300.0, min_interval_s=61.0)
    quota: ClassVar = Quota(requests=2, per_s=61.0)
    quota_pause_s: ClassVar[float] = 61.0

    @property
    def capabilities(self) -> Capabilities:
        """History and forecasts to the end of tomorrow in steps of five minutes."""
        return self._able(resolution_s=_STEP.total_seconds(), horizon_s=24 * S_PER_H)

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`."""
        require_window(start_at, end_at)
        first_at, last_at = whole_hours(start_at, end_at)
        rows, answer = self._rows(zone, HISTORY, first_at, last_at)
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(_DETAIL, answer.fetched_at),
            newest_at=self._newest_at(answer.fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast; the service does not say when it was issued, so it counts as issued when it was fetched."""
        now = self._world.clock.now()
        hour_at, _ = whole_hours(now, now)
        rows, answer = self._rows(zone, FORECAST, hour_at, hour_at + _AHEAD)
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(f"{_DETAIL}; issued when fetched", answer.fetched_at, answer.fetched_at),
            newest_at=None,
            is_forecast=True,
        )
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=answer.fetched_at)

    def _rows(self, zone: str, dataset: str, start_at: datetime, end_at: datetime) -> tuple[list[Row], Answer]:
        area = self._area(zone)
        rows: list[Row] = []
        gathered = 0
        for _ in range(_MAX_PAGES):
            answer = self._ask(zone, dataset, start_at, end_at, offset=gathered)
            excerpt = self.client.excerpt(answer.beginning)
            page = read_payload(_Page, self._json(answer, zone), provider=self.name, zone=zone, excerpt=excerpt)
            if any(record.at < start_at for record in page.records):
                raise self._broken(zone, f"sent what lies before {start_at:%Y-%m-%dT%H:%MZ}: it took the bounds for Danish time", answer)
            rows += [Row(one.at, one.at + _STEP, one.intensity) for one in page.records if one.area == area]
            gathered += len(page.records)
            if gathered >= page.total or not page.records:
                break
        if gathered < page.total:
            raise ProviderResponseError(self.name, zone, f"sent {gathered} of {page.total} records and no more", excerpt)
        return rows, answer

    def _ask(self, zone: str, dataset: str, start_at: datetime, end_at: datetime, *, offset: int) -> Answer:
        areas: Any = ",".join(f'"{area}"' for area in sorted(set(self._areas.values())))
        params = (
            ("start", f"{start_at:%Y-%m-%dT%H:%M}"),
            ("end", f"{end_at:%Y-%m-%dT%H:%M}"),
            ("filter", f'{{"PriceArea":[{areas}]}}'),
            ("sort", "Minutes5UTC ASC"),
            ("timezone", "utc"),
            ("limit", "0"),
            *((("offset", str(offset)),) if offset else ()),
        )
        return self.client.get(Question(path=f"/dataset/{dataset}", params=params, zone=zone, lane=dataset))
