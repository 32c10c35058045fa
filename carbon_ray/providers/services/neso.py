"""Carbon intensity of Great Britain by NESO, national and for its 17 regions: half hours, two days ahead, no key.

"Contains NESO data", CC BY 4.0. Direct emissions of generation and imports.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from carbon_ray.core.errors import ProviderError, ProviderRequestError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import Capabilities, require_window
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import Number, Payload, Stamp, read_payload
from carbon_ray.providers.services.grid import Row, forecast_of, readings_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, chunks, whole_hours

NATIONAL = "national"
_STEP = timedelta(minutes=30)
_CHUNK = timedelta(days=14)
_HORIZON = timedelta(hours=48)


class _Intensity(Payload):
    forecast: Number
    actual: Number = None


class _Slot(Payload):
    start_at: Stamp = Field(alias="from")
    end_at: Stamp = Field(alias="to")
    intensity: _Intensity


class NesoProvider(Service):
    """History and forecasts of Great Britain.

    Zones: `GB`, and `GB-1` to `GB-17` for the regions by their number; `areas` can map further zones to `postcode/SW1`. Regions
    have no measured values at all: their history is what was estimated, and says so.
    """

    name: ClassVar[str] = "neso"
    kinds: ClassVar = (IntensityKind.AVERAGE_DIRECT,)
    usual_base_url: ClassVar[str | None] = "https://api.carbonintensity.org.uk"
    known_areas: ClassVar = {"GB": NATIONAL, **{f"GB-{number}": f"regionid/{number}" for number in range(1, 18)}}
    usual_network: ClassVar = NetworkSettings(cache_s=600.0, min_interval_s=0.2)

    @property
    def capabilities(self) -> Capabilities:
        """History and two days of forecast in half hours."""
        return self._able(resolution_s=_STEP.total_seconds(), horizon_s=_HORIZON.total_seconds())

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`: measured where it is, otherwise what it had estimated for a slot that is over."""
        require_window(start_at, end_at)
        first_at, last_at = whole_hours(start_at, end_at)
        rows: list[Row] = []
        fetched_at = self._world.clock.now()
        for one, two in chunks(first_at, last_at, _CHUNK):
            answer = self._ask(zone, f"{one:%Y-%m-%dT%H:%MZ}/{two:%Y-%m-%dT%H:%MZ}")
            fetched_at = answer.fetched_at
            for slot in self._slots(answer, zone):
                measured, estimated = slot.intensity.actual, slot.intensity.forecast
                if slot.end_at <= fetched_at:
                    rows.append(Row(slot.start_at, slot.end_at, estimated if measured is None else measured, measured is None))
                elif measured is not None:
                    rows.append(Row(slot.start_at, slot.end_at, measured, True))  # of a slot that is not over
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(self._detail(zone), fetched_at),
            newest_at=self._newest_at(fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast; NESO does not say when it was issued, so it counts as issued when it was fetched."""
        now = self._world.clock.now()
        floor_at = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        span = "fw24h" if horizon_s <= _HORIZON.total_seconds() / 2 - _STEP.total_seconds() else "fw48h"
        answer = self._ask(zone, f"{floor_at:%Y-%m-%dT%H:%MZ}/{span}")
        slots = self._slots(answer, zone)
        readings = readings_of(
            [Row(slot.start_at, slot.end_at, slot.intensity.forecast) for slot in slots],
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(f"{self._detail(zone)}; issued when fetched", answer.fetched_at, answer.fetched_at),
            newest_at=None,
            is_forecast=True,
        )
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=answer.fetched_at)

    def _ask(self, zone: str, span: str) -> Answer:
        area = self._area(zone)
        path = f"/intensity/{span}" if area == NATIONAL else f"/regional/intensity/{span}/{area}"
        return self.client.get(Question(path=path, zone=zone))

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        data = answer.json_or_none()
        error = data.get("error") if isinstance(data, dict) else None
        told = str(error.get("message", "")) if isinstance(error, dict) else None
        if answer.status == 200 and answer.body.strip() == b"null":
            return ProviderRequestError(
                self.name, question.zone, "does not know the place; write the outward part of a postcode in capitals"
            )
        if answer.status == 200 and error is not None:
            return ProviderRequestError(self.name, question.zone, f"answered with an error: {self.client.excerpt(str(told or error))}")
        return self.client.refused(answer, question, pause_s=self.quota_pause_s, says=told)

    def _slots(self, answer: Answer, zone: str) -> list[_Slot]:
        data = self._json(answer, zone)
        items: Any = data.get("data") if isinstance(data, dict) else None
        if isinstance(items, dict):  # one region
            items = items.get("data")
        elif isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict) and "data" in items[0]:
            items = items[0]["data"]
        slots = read_payload(list[_Slot], items, provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning))
        if any(slot.end_at - slot.start_at != _STEP for slot in slots):
            raise self._broken(zone, "sent slots that are not half hours", answer)
        return slots

    def _detail(self, zone: str) -> str:
        area = self._area(zone)
        return "NESO, CC BY 4.0, national" if area == NATIONAL else f"NESO, CC BY 4.0, {area}, never measured"
