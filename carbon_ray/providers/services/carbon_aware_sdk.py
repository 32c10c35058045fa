"""The Carbon Aware SDK's WebAPI, run by yourself: whatever stands behind it, which only its owner knows.

So the kind must be said, and values are taken to be gCO2 per kWh.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Capabilities, require_window
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import Number, Payload, Stamp, read_payload
from carbon_ray.providers.services.grid import Row, forecast_of, readings_of, stepped, usual_step_s
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, whole_hours
from carbon_ray.providers.services.surroundings import Surroundings

_STEP_S = 3600.0
_HORIZON_H = 24
_DURATION = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d+)?)?")


T = TypeVar("T")


class _Emission(Payload):
    time: Stamp
    rating: Number
    duration: str | None = None


class _Point(Payload):
    timestamp: Stamp
    value: Number


class _Issue(Payload):
    generated_at: Stamp | None = Field(default=None, alias="generatedAt")
    window_minutes: float | None = Field(default=None, alias="windowSize")
    points: list[_Point] = Field(alias="forecastData")


class CarbonAwareSdkProvider(Service):
    """History and forecasts of a Carbon Aware SDK WebAPI.

    Args:
        kind: What its source counts; must be said.
        zones: Zones to serve.
        areas: Their names there ("locations"), where they differ.
        base_url: Where it runs; must be said. `http://` needs `network: {allow_plain_http: true}`.
        network: See `NetworkSettings`.
        window_minutes: Forecasts are rolling means over so many minutes; the fewer the better.
        surroundings: For tests.
    """

    name: ClassVar[str] = "carbon_aware_sdk"
    kinds: ClassVar = tuple(IntensityKind)
    usual_base_url: ClassVar[str | None] = None
    is_open: ClassVar[bool] = True
    usual_network: ClassVar = NetworkSettings(cache_s=300.0)

    def __init__(
        self,
        *,
        kind: IntensityKind | str | None = None,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        window_minutes: int = 5,
        surroundings: Surroundings | None = None,
    ) -> None:
        if kind is None:
            raise ConfigError(f"{self.name} serves what its own source counts: give kind, one of {', '.join(IntensityKind)}")
        if not isinstance(window_minutes, int) or not 1 <= window_minutes <= 1440:
            raise ConfigError(f"window_minutes of {self.name} must be between 1 and 1440, got {window_minutes!r}")
        self._window_minutes = window_minutes
        super().__init__(kind=kind, zones=zones, areas=areas, base_url=base_url, network=network, surroundings=surroundings)

    @property
    def capabilities(self) -> Capabilities:
        """History and forecasts, where its source has them."""
        return self._able(resolution_s=_STEP_S, horizon_s=_HORIZON_H * S_PER_H)

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`. Fractions of a minute in its stamps are cut off."""
        require_window(start_at, end_at)
        first_at, last_at = whole_hours(start_at, end_at)
        params = (("location", self._area(zone)), ("time", _text(first_at)), ("toTime", _text(last_at)))
        answer = self.client.get(Question(path="/emissions/bylocation", params=params, zone=zone))
        if not answer.body.strip():
            return None
        found = self._read(list[_Emission], answer, zone)
        starts = [_minute(one.time) for one in found]
        otherwise = timedelta(seconds=usual_step_s(starts, _STEP_S))
        rows = [
            Row(start, start + (self._duration(one.duration, zone, answer) or otherwise), one.rating)
            for start, one in zip(starts, found, strict=True)
        ]
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance("Carbon Aware SDK", answer.fetched_at),
            newest_at=self._newest_at(answer.fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast; its values are rolling means, as the provenance says."""
        params = (("location", self._area(zone)), ("windowSize", str(self._window_minutes)))
        answer = self.client.get(Question(path="/emissions/forecasts/current", params=params, zone=zone))
        issues = self._read(list[_Issue], answer, zone) if answer.body.strip() else []
        issue = issues[0] if issues else None
        points = issue.points if issue is not None else []
        issued_at = self._issued_at(issue.generated_at if issue is not None else None, answer.fetched_at, zone)
        minutes = issue.window_minutes if issue is not None and issue.window_minutes else self._window_minutes
        readings = readings_of(
            stepped([(_minute(one.timestamp), one.value, None) for one in points], _STEP_S),
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(f"Carbon Aware SDK; rolling means over {minutes:g} min", answer.fetched_at, issued_at),
            newest_at=None,
            is_forecast=True,
        )
        now = self._world.clock.now()
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=issued_at)

    def _read(self, target: type[T], answer: Answer, zone: str) -> T:
        return read_payload(target, self._json(answer, zone), provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning))

    def _duration(self, text: str | None, zone: str, answer: Answer) -> timedelta | None:
        try:
            return duration(text)
        except ValueError as error:
            raise self._broken(zone, str(error), answer) from None


def duration(text: str | None) -> timedelta | None:
    """A span as .NET writes it: `hh:mm`, `hh:mm:ss`, `d.hh:mm:ss`; None where there is none.

    Raises:
        ValueError: It is written otherwise, or is nothing.
    """
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"duration {text[:30]!r} is not like hh:mm:ss")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not span:
        raise ValueError("a duration is nothing")
    return span


def _minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
