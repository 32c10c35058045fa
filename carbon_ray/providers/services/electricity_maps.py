"""Electricity Maps: average intensity of consumption in most of the world's zones, and forecasts where the plan has them.

Version 3 of the API, and what is known of version 4: set `base_url` to change. Free plans have one zone, the last 24 hours and
no forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from carbon_ray.core.errors import ConfigError, ProviderAccessError, ProviderError, ProviderNoDataError, ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Capabilities, Quota, require_window
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.readings import Reading, Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question, as_params
from carbon_ray.providers.services.fields import Number, Payload, Stamp, read_payload
from carbon_ray.providers.services.grid import forecast_of, readings_of, stepped
from carbon_ray.providers.services.mixing import FuelRow, mix_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, chunks, whole_hours
from carbon_ray.providers.services.surroundings import Surroundings
from carbon_ray.providers.services.wire import Credentials

MAX_HORIZON_H = 72
_DAY, _TEN_DAYS = timedelta(days=1), timedelta(days=10)
_STEP_S = 3600.0
_FACTOR_TYPES = {IntensityKind.AVERAGE_LIFECYCLE: "lifecycle", IntensityKind.AVERAGE_DIRECT: "direct"}
_FUELS: Mapping[str, Fuel] = {
    "hydro discharge": Fuel.HYDRO_PUMPED,
    "battery discharge": Fuel.BATTERY,
    **{one: Fuel(one) for one in ("nuclear", "geothermal", "biomass", "coal", "wind", "solar", "hydro", "gas", "oil", "unknown")},
}


class _Point(Payload):
    zone: str | None = None
    at: Stamp = Field(alias="datetime")
    intensity: Number = Field(default=None, alias="carbonIntensity")
    value: Number = None
    emission_factor_type: str | None = Field(default=None, alias="emissionFactorType")
    is_estimated: bool | None = Field(default=None, alias="isEstimated")
    method: str | None = Field(default=None, alias="estimationMethod")
    updated_at: Stamp | None = Field(default=None, alias="updatedAt")


class _Breakdown(Payload):
    zone: str | None = None
    at: Stamp = Field(alias="datetime")
    power_mw: dict[str, Number] = Field(alias="powerConsumptionBreakdown")


class _Whole(NamedTuple):
    """The points of an answer, and what it says of them all."""

    points: list[_Point]
    zone: str | None
    updated_at: datetime | None


class ElectricityMapsProvider(Service):
    """History, forecasts and mix by Electricity Maps.

    Args:
        kind: Life-cycle (default) or direct. Forecasts are life-cycle: the service does not let one choose.
        zones: Zones to serve; None for all of the service, which is asked for them when they are wanted.
        areas: Their names at the service, where they differ.
        base_url: `https://api.electricitymaps.com/v3` by default.
        network: See `NetworkSettings`.
        disable_estimations: Take measured values alone; what is left out is a gap.
        max_horizon_h: Longest forecast that the plan has, hours: 72, 48, 24 or 6.
        surroundings: For tests.

    The key is `CARBON_RAY_ELECTRICITY_MAPS_TOKEN`.
    """

    name: ClassVar[str] = "electricity_maps"
    kinds: ClassVar = (IntensityKind.AVERAGE_LIFECYCLE, IntensityKind.AVERAGE_DIRECT)
    usual_base_url: ClassVar[str | None] = "https://api.electricitymaps.com/v3"
    key_fields: ClassVar = ("token",)
    is_open: ClassVar[bool] = True
    usual_network: ClassVar = NetworkSettings(cache_s=300.0)
    quota: ClassVar = Quota(requests=50, per_s=3600.0)
    quota_pause_s: ClassVar[float] = 3600.0
    on_auth: ClassVar = "back_off"

    def __init__(
        self,
        *,
        kind: IntensityKind | str | None = None,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        disable_estimations: bool = False,
        max_horizon_h: int = MAX_HORIZON_H,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(kind=kind, zones=zones, areas=areas, base_url=base_url, network=network, surroundings=surroundings)
        self._disable_estimations = bool(disable_estimations)
        if not isinstance(max_horizon_h, int) or not 1 <= max_horizon_h <= MAX_HORIZON_H:
            raise ConfigError(f"max_horizon_h of {self.name} must be between 1 and {MAX_HORIZON_H}, got {max_horizon_h!r}")
        self._max_horizon_h = max_horizon_h

    @property
    def capabilities(self) -> Capabilities:
        """Hourly history, mix, and, for the life-cycle kind, three days of forecast at most; the plan may give less."""
        horizon_s = self._max_horizon_h * S_PER_H if self._kind is IntensityKind.AVERAGE_LIFECYCLE else 0.0
        return self._able(resolution_s=_STEP_S, horizon_s=horizon_s, mix=True, zones=self._zones or ())

    def zones(self) -> tuple[str, ...]:
        """The zones it was set to serve; else all of the service, which is asked.

        Raises:
            ProviderError: It could not be asked.
        """
        if self._zones is not None:
            return self._zones
        answer = self.client.get(Question(path="/zones"))
        data = self._json(answer, "-")
        if isinstance(data, dict) and isinstance(data.get("zones"), dict):
            data = data["zones"]
        if not isinstance(data, dict) or not all(isinstance(one, dict) for one in data.values()):
            raise self._broken("-", "sent no zones", answer)
        return tuple(sorted(data))

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`: from the last 24 hours by one request, else by one for ten days each."""
        require_window(start_at, end_at)
        area, (first_at, last_at) = self._area(zone), whole_hours(start_at, end_at)
        if self._is_recent(first_at):
            answers = [self._ask(zone, "/carbon-intensity/history", area)]
        else:
            spans = chunks(first_at, last_at, _TEN_DAYS)
            answers = [self._ask(zone, "/carbon-intensity/past-range", area, start=_text(one), end=_text(two)) for one, two in spans]
        wholes = [self._points(answer, zone, area) for answer in answers]
        points = [point for whole in wholes for point in whole.points]
        fetched_at = max(answer.fetched_at for answer in answers)
        readings = readings_of(
            stepped([(one.at, _value(one), one.is_estimated) for one in points], _STEP_S),
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(
                self._detail(wholes), fetched_at, max((one.updated_at for one in points if one.updated_at), default=None)
            ),
            newest_at=self._newest_at(fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def latest(self, zone: str) -> Reading:
        """The newest value; of an hour that is not over it is an estimate.

        Raises:
            UnknownZoneError: The zone is not among those it was set to serve.
            ProviderNoDataError: There is none.
            ProviderError: It could not be asked.
        """
        area = self._area(zone)
        answer = self._ask(zone, "/carbon-intensity/latest", area)
        whole = self._points(answer, zone, area)
        rows = stepped([(one.at, _value(one), one.is_estimated) for one in whole.points], _STEP_S)
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(self._detail([whole]), answer.fetched_at, whole.updated_at),
            newest_at=self._newest_at(answer.fetched_at),
        )
        if readings is None:
            raise ProviderNoDataError(self.name, zone, "has no recent value")
        return list(readings)[-1]

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast, life-cycle."""
        area = self._area(zone)
        if self._kind is not IntensityKind.AVERAGE_LIFECYCLE:
            raise ProviderNoDataError(self.name, zone, f"issues life-cycle forecasts, not {self._kind} ones")
        hours = min(self._max_horizon_h, max(1, math.ceil(horizon_s / S_PER_H)))
        answer = self._ask(zone, "/carbon-intensity/forecast", area, horizonHours=str(hours))
        whole = self._points(answer, zone, area)
        issued_at = self._issued_at(whole.updated_at, answer.fetched_at, zone)
        detail = f"{self._detail([whole])}; forecast, taken to be life-cycle{'' if whole.updated_at else '; issued when fetched'}"
        readings = readings_of(
            stepped([(one.at, _value(one), None) for one in whole.points], _STEP_S),
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(detail, answer.fetched_at, issued_at),
            newest_at=None,
            is_forecast=True,
        )
        now = self._world.clock.now()
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=issued_at)

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Consumption by fuel, flow-traced, in `[start_at, end_at)`."""
        require_window(start_at, end_at)
        area, (first_at, last_at) = self._area(zone), whole_hours(start_at, end_at)
        if self._is_recent(first_at):
            answers = [self._ask(zone, "/power-breakdown/history", area)]
        else:
            spans = chunks(first_at, last_at, _TEN_DAYS)
            answers = [self._ask(zone, "/power-breakdown/past-range", area, start=_text(one), end=_text(two)) for one, two in spans]
        rows: list[FuelRow] = []
        for answer in answers:
            items, _ = self._items(answer, zone, area)
            for one in read_payload(list[_Breakdown], items, provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning)):
                self._require_zone(one.zone, area, zone, answer)
                end = one.at + timedelta(seconds=_STEP_S)
                rows += [FuelRow(code, _FUELS.get(code, Fuel.UNKNOWN), one.at, end, power) for code, power in one.power_mw.items()]
        provenance = self._provenance("Electricity Maps, flow-traced", max(answer.fetched_at for answer in answers))
        return mix_of(rows, zone=zone, start_at=start_at, end_at=end_at, provenance=provenance, is_consumption=True)

    def _is_recent(self, first_at: datetime) -> bool:
        """The 24 hours that every plan has hold the instant."""
        hour_at, _ = whole_hours(self._world.clock.now(), self._world.clock.now())
        return first_at > hour_at - _DAY

    # One answer

    def _ask(self, zone: str, path: str, area: str, **further: str) -> Answer:
        params = {
            "zone": area,
            "emissionFactorType": _FACTOR_TYPES[self._kind],
            "disableCallerLookup": "true",
            "shouldUseFallbackCallerLookup": "false",
            **({"disableEstimations": "true"} if self._disable_estimations else {}),
            **further,
        }
        credentials = Credentials(headers={"auth-token": self._secret("token")})
        return self.client.get(Question(path=path, params=as_params(params), zone=zone, credentials=credentials))

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        error = self.client.refused(answer, question, pause_s=self.quota_pause_s)
        if error is None:
            return None
        data = answer.json_or_none()
        text = str(data.get("message") or data.get("error") or "") if isinstance(data, dict) else ""
        told = (self.name, question.zone, f"answered {answer.status}: {self.client.excerpt(text)}")
        if "unauthorized for zone" in text.lower() or "endpoint not available" in text.lower():
            return ProviderAccessError(*told)
        if answer.status == 404 and "no recent data" in text.lower():
            return ProviderNoDataError(*told)
        return error

    def _items(self, answer: Answer, zone: str, area: str) -> tuple[list[Any], dict[str, Any]]:
        """The items of an answer in any of its forms, and the object around them."""
        data = self._json(answer, zone)
        if not isinstance(data, dict):
            raise self._broken(zone, "sent no object", answer)
        if data.get("status") == "no-data":
            raise ProviderNoDataError(self.name, zone, "says that it has no data")
        inner = next((data[key] for key in ("data", "forecast", "history") if key in data), data)
        self._require_zone(data.get("zone"), area, zone, answer)
        return (inner if isinstance(inner, list) else [inner]), data

    def _points(self, answer: Answer, zone: str, area: str) -> _Whole:
        items, around = self._items(answer, zone, area)
        excerpt = self.client.excerpt(answer.beginning)
        points = read_payload(list[_Point], items, provider=self.name, zone=zone, excerpt=excerpt)
        for point in points:
            self._require_zone(point.zone, area, zone, answer)
            if point.emission_factor_type not in (None, _FACTOR_TYPES[self._kind]):
                told = self.client.excerpt(point.emission_factor_type)
                raise ProviderResponseError(self.name, zone, f"sent {told} values, not {_FACTOR_TYPES[self._kind]} ones", excerpt)
        if points and not any("carbonIntensity" in item or "value" in item for item in items):
            raise ProviderResponseError(self.name, zone, "sent no intensity", excerpt)
        told_at = read_payload(Stamp | None, around.get("updatedAt"), provider=self.name, zone=zone)  # type: ignore[arg-type]  # a union
        confirmed = around.get("zone") or next((point.zone for point in points if point.zone), None)
        return _Whole(points, confirmed, told_at)

    def _require_zone(self, told: object, area: str, zone: str, answer: Answer) -> None:
        if told is not None and told != area:
            raise self._broken(
                zone, f"answered for another zone ({self.client.excerpt(str(told))}): it does not know the one asked for", answer
            )

    def _detail(self, wholes: Sequence[_Whole]) -> str:
        is_confirmed = all(whole.zone is not None or not whole.points for whole in wholes)
        methods = sorted({self.client.excerpt(point.method)[:60] for whole in wholes for point in whole.points if point.method})
        parts = [
            "Electricity Maps, flow-traced consumption",
            "" if is_confirmed else "zone not confirmed by the answer",
            f"estimated by {', '.join(methods[:5])}" if methods else "",
        ]
        return "; ".join(part for part in parts if part)


def _value(point: _Point) -> float | None:
    return point.intensity if point.intensity is not None else point.value


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
