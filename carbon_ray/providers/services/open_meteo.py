"""Open-Meteo: weather forecasts for the places of a zone, hourly, up to sixteen days ahead; no key for non-commercial use.

CC BY 4.0. What it serves for past days is put together afterwards and was never issued so: it is not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import ConfigDict

from carbon_ray.core.errors import ConfigError, ProviderError, ProviderNoDataError, ProviderQuotaError
from carbon_ray.core.intensity import FloatArray, Provenance
from carbon_ray.providers.base import Quota
from carbon_ray.providers.cloud_regions import cloud_regions
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import EpochStamp, Number, Payload, UtcStamp, read_payload
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.surroundings import Surroundings
from carbon_ray.providers.services.web_service import HOUR, WebService, chunks
from carbon_ray.providers.services.wire import Credentials
from carbon_ray.providers.weather import WeatherForecast

MAX_DAYS = 16
MAX_PLACES = 10
_SNAP_DEGREES = 1.0
"""By how much the cell that is answered for may lie beside the place that was asked for."""
_KELVIN = 273.15
RUN_DAYS = 7
"""Days ahead that past runs reach."""
_DAY, _CHUNK = timedelta(days=1), timedelta(days=60)


class _Variable(NamedTuple):
    """The service's name of a variable, its unit, what is added to come to ours, and what can be."""

    code: str
    unit: str
    added: float
    least: float
    most: float


_VARIABLES: Mapping[str, _Variable] = {
    "wind_speed_m_per_s": _Variable("wind_speed_100m", "m/s", 0.0, 0.0, 150.0),
    "temperature_k": _Variable("temperature_2m", "°C", _KELVIN, 150.0, 350.0),
    "dewpoint_k": _Variable("dew_point_2m", "°C", _KELVIN, 120.0, 350.0),
    "radiation_w_per_m2": _Variable("shortwave_radiation", "W/m²", 0.0, 0.0, 2000.0),
    "precipitation_kg_per_m2": _Variable("precipitation", "mm", 0.0, 0.0, 1000.0),
}


class _Hourly(Payload):
    model_config = ConfigDict(extra="allow", frozen=True)  # the series are read one by one below

    time: list[Any]


class _Place(Payload):
    latitude: float
    longitude: float
    utc_offset_seconds: float
    hourly_units: dict[str, str]
    hourly: _Hourly


@lru_cache(maxsize=1)
def _known_places() -> dict[str, str]:
    """Places of the cloud regions of every zone: what of a zone is known without being told."""
    found: dict[str, dict[str, None]] = {}
    for one in cloud_regions():
        if one.latitude is not None and one.longitude is not None:
            found.setdefault(one.zone, {})[f"{one.latitude:.2f},{one.longitude:.2f}"] = None
    return {zone: " ".join(list(places)[:MAX_PLACES]) for zone, places in found.items()}


class OpenMeteo(WebService):
    """Weather of the zones that `areas` gives places of, or that a cloud region stands in; as the mean over the places.

    Args:
        zones: See `WebService`.
        areas: Places by zone, latitude and longitude in degrees: `53.6,10.0 48.1,11.6`. Wind and sun differ within a zone: better
            name places where its plants stand.
        base_url: `https://api.open-meteo.com` by default; with the plan `commercial` that of customers.
        network: See `NetworkSettings`.
        plan: `free`, for non-commercial use, or `commercial`, whose key is `CARBON_RAY_OPEN_METEO_KEY`.
        days: Days ahead, the present one counted in.
        surroundings: For tests.

    Raises:
        ConfigError: A place is none, or another setting is wrong.
    """

    name: ClassVar[str] = "open_meteo"
    usual_base_url: ClassVar[str | None] = "https://api.open-meteo.com"
    commercial_base_url: ClassVar[str] = "https://customer-api.open-meteo.com"
    usual_network: ClassVar = NetworkSettings(cache_s=3600.0, min_interval_s=0.2)
    quota: ClassVar = Quota(requests=5000, per_s=3600.0)

    def __init__(
        self,
        *,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        plan: str = "free",
        days: int = 9,
        surroundings: Surroundings | None = None,
    ) -> None:
        if plan not in ("free", "commercial"):
            raise ConfigError(f"plan of {self.name} must be free or commercial, got {plan!r}")
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MAX_DAYS:
            raise ConfigError(f"days of {self.name} must be between 1 and {MAX_DAYS}, got {days!r}")
        self._is_commercial, self._days = plan == "commercial", days
        self.key_fields = ("key",) if self._is_commercial else ()  # type: ignore[misc]  # by plan, not by class
        self.known_areas = _known_places()  # type: ignore[misc]  # the same for all, but read when first needed
        usual = self.commercial_base_url if self._is_commercial else self.usual_base_url
        super().__init__(zones=zones, areas=areas, base_url=base_url or usual, network=network, surroundings=surroundings)
        for zone, places in (areas or {}).items():
            _places(zone, places)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(zones={self._zones!r}, base_url={self._base_url!r})"

    def weather(self, zone: str) -> WeatherForecast:
        """The newest forecast, from the beginning of the present day (UTC) on; counts as issued when fetched.

        Raises:
            UnknownZoneError: It is not known where the zone is.
            ProviderNoDataError: The service has nothing.
            ProviderError: It could not be asked.
        """
        places = _places(zone, self._area(zone))
        answer = self._ask(zone, places, ("",), (("forecast_days", str(self._days)),))
        told = self._told(answer, places, zone)
        start_at, values = self._mean(told, places, "", zone, answer)
        if all(np.isnan(one).all() for one in values.values()):
            raise ProviderNoDataError(self.name, zone, "has no weather forecast")
        provenance = Provenance(
            provider=self.name,
            detail=f"Open-Meteo, CC BY 4.0, mean of {len(places)} place{'s' if len(places) > 1 else ''}; issued when fetched",
            issued_at=answer.fetched_at,
            fetched_at=answer.fetched_at,
        )
        return WeatherForecast(zone=zone, start_at=start_at, issued_at=answer.fetched_at, values=values, provenance=provenance)

    def _told(self, answer: Answer, places: Sequence[tuple[float, float]], zone: str) -> list[_Place]:
        data = self._json(answer, zone)
        told = read_payload(
            list[_Place],
            data if isinstance(data, list) else [data],
            provider=self.name,
            zone=zone,
            excerpt=self.client.excerpt(answer.beginning),
        )
        if len(told) != len(places):
            raise self._broken(zone, f"answered for {len(told)} places, asked for {len(places)}", answer)
        return told

    def _mean(
        self, told: Sequence[_Place], places: Sequence[tuple[float, float]], suffix: str, zone: str, answer: Answer
    ) -> tuple[datetime, dict[str, FloatArray]]:
        """Start of the first hour, and the means over the places by our names."""
        found = [self._read(one, place, suffix, zone, answer) for one, place in zip(told, places, strict=True)]
        start_at, hours = found[0][0], len(next(iter(found[0][1].values())))
        if any(begin_at != start_at or len(next(iter(values.values()))) != hours for begin_at, values in found):
            raise self._broken(zone, "answered with other hours for one place than for another", answer)
        return start_at, {name: np.mean([of_place[name] for _, of_place in found], axis=0) for name in _VARIABLES}

    def _ask(self, zone: str, places: Sequence[tuple[float, float]], suffixes: Sequence[str], further: Sequence[tuple[str, str]]) -> Answer:
        params = (
            ("latitude", ",".join(f"{latitude:g}" for latitude, _ in places)),
            ("longitude", ",".join(f"{longitude:g}" for _, longitude in places)),
            ("hourly", ",".join(one.code + suffix for suffix in suffixes for one in _VARIABLES.values())),
            ("timezone", "GMT"),
            ("wind_speed_unit", "ms"),
            *further,
        )
        credentials = Credentials(params={"apikey": self._secret("key")}) if self._is_commercial else None
        return self.client.get(Question(path="/v1/forecast", params=params, zone=zone, credentials=credentials))

    def _read(
        self, told: _Place, place: tuple[float, float], suffix: str, zone: str, answer: Answer
    ) -> tuple[datetime, dict[str, FloatArray]]:
        """Start of the first hour, and the variables by our names, of one place."""
        aside = max(abs(told.latitude - place[0]), abs((told.longitude - place[1] + 180) % 360 - 180))
        if not aside <= _SNAP_DEGREES:
            raise self._broken(zone, f"answered for {told.latitude:.2f},{told.longitude:.2f}, asked for {place[0]:g},{place[1]:g}", answer)
        if told.utc_offset_seconds != 0:
            raise self._broken(zone, "answered in another time than the one that was asked for", answer)
        stamp: Any = EpochStamp if told.hourly_units.get("time") == "unixtime" else UtcStamp
        excerpt = self.client.excerpt(answer.beginning)
        starts: list[datetime] = read_payload(list[stamp], told.hourly.time, provider=self.name, zone=zone, excerpt=excerpt)
        if not starts:
            raise ProviderNoDataError(self.name, zone, "has no weather forecast")
        if starts[0].minute or starts[0].second or starts[0].microsecond or any(right - left != HOUR for left, right in pairwise(starts)):
            raise self._broken(zone, "sent instants that are not consecutive hours", answer)
        if starts[0] > self._newest_at(answer.fetched_at):
            raise self._broken(
                zone, f"begins its forecast at {starts[0]:%Y-%m-%dT%H:%MZ}, which is still to come; check the clocks", answer
            )
        series = told.hourly.model_extra or {}
        values = {
            name: self._values(name, one.code + suffix, series.get(one.code + suffix), told, len(starts), zone, answer)
            for name, one in _VARIABLES.items()
        }
        return starts[0], values

    def _values(self, name: str, code: str, series: Any, told: _Place, hours: int, zone: str, answer: Answer) -> FloatArray:
        one = _VARIABLES[name]
        if series is None:  # a model that does not have it
            return np.full(hours, np.nan)
        if (unit := told.hourly_units.get(code)) != one.unit:
            raise self._broken(zone, f"sent {code} in {self.client.excerpt(str(unit))}, not in {one.unit}", answer)
        excerpt = self.client.excerpt(answer.beginning)
        numbers = read_payload(list[Number], series, provider=self.name, zone=zone, excerpt=excerpt)
        if len(numbers) != hours:
            raise self._broken(zone, f"sent {hours} instants and {len(numbers)} values of {code}", answer)
        values = np.array([np.nan if number is None else number for number in numbers], dtype=np.float64) + one.added
        if ((values < one.least) | (values > one.most)).any():
            raise self._broken(zone, f"sent {code} that cannot be", answer)
        return values

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        data = answer.json_or_none()
        is_error = isinstance(data, dict) and data.get("error") is True
        told = str(data.get("reason", "")) if is_error and isinstance(data, dict) else None
        if is_error and answer.status == 200:
            return self._broken(question.zone, "sent an error as if it were an answer", answer)
        error = self.client.refused(answer, question, pause_s=self.quota_pause_s, says=told)
        if isinstance(error, ProviderQuotaError) and told is not None and "retry-after" not in answer.headers:
            return ProviderQuotaError(self.name, question.zone, error.problem, _open_again_at(told, answer.fetched_at))
        return error


class OpenMeteoRuns(OpenMeteo):
    """What was forecast on past days, at fixed distances ahead of the hours that it was forecast for; from 2024 on.

    The service tells for every hour what was said of it a day before, two days before, up to seven. Of that daily runs are put together
    that look into no future: what run D says of its hour 24 k + h was said k + 1 days before that hour, so at D + h less a day, which is
    before D.
    """

    usual_base_url: ClassVar[str | None] = "https://previous-runs-api.open-meteo.com"
    commercial_base_url: ClassVar[str] = "https://customer-previous-runs-api.open-meteo.com"

    def past_weather(self, zone: str, first_at: datetime, last_at: datetime) -> list[WeatherForecast]:
        """Runs of the days from `first_at` to before `last_at`, each issued at its beginning; days of which nothing is known are left out.

        Args:
            zone: Grid zone.
            first_at: Midnight, UTC.
            last_at: Midnight, UTC.

        Raises:
            UnknownZoneError: It is not known where the zone is.
            ProviderError: It could not be asked.
        """
        return [run for one, two in chunks(first_at, last_at, _CHUNK) for run in self._runs(zone, one, two)]

    def _runs(self, zone: str, first_at: datetime, last_at: datetime) -> list[WeatherForecast]:
        places = _places(zone, self._area(zone))
        days = (("start_date", f"{first_at:%Y-%m-%d}"), ("end_date", f"{last_at + (RUN_DAYS - 2) * _DAY:%Y-%m-%d}"))
        suffixes = [f"_previous_day{day}" for day in range(1, RUN_DAYS + 1)]
        answer = self._ask(zone, places, suffixes, days)
        told = self._told(answer, places, zone)
        said = [self._mean(told, places, suffix, zone, answer) for suffix in suffixes]
        if said[0][0] != first_at:
            raise self._broken(zone, f"begins at {said[0][0]:%Y-%m-%dT%H:%MZ}, asked for {first_at:%Y-%m-%d}", answer)
        provenance = Provenance(
            provider=self.name,
            detail=f"Open-Meteo, CC BY 4.0, previous runs, mean of {len(places)} place{'s' if len(places) > 1 else ''}",
            fetched_at=answer.fetched_at,
        )
        found = []
        for day in range((last_at - first_at) // _DAY):
            values = {name: _joined([of_lead[name] for _, of_lead in said], day) for name in _VARIABLES}
            start_at = first_at + day * _DAY
            if not all(np.isnan(one).all() for one in values.values()):
                found.append(WeatherForecast(zone=zone, start_at=start_at, issued_at=start_at, values=values, provenance=provenance))
        return found


def _joined(by_lead: Sequence[FloatArray], day: int) -> FloatArray:
    """One run of one variable: of its day k what was said k + 1 days before; NaN beyond what was answered. Shape (hours,)."""
    run = np.full(len(by_lead) * 24, np.nan)
    for lead, values in enumerate(by_lead):
        part = values[(day + lead) * 24 : (day + lead + 1) * 24]
        run[lead * 24 : lead * 24 + len(part)] = part
    return run


def _open_again_at(reason: str, now: datetime) -> datetime:
    """When a quota begins anew: it is said in words which one is used up."""
    words = reason.lower()
    if "daily" in words:
        return datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    return now + (timedelta(hours=1) if "hourly" in words else timedelta(minutes=1))


def _places(zone: str, text: str) -> tuple[tuple[float, float], ...]:
    """Latitude and longitude of the places of a zone.

    Raises:
        ConfigError: They are none.
    """
    try:
        places = tuple((float(latitude), float(longitude)) for latitude, longitude in (one.split(",") for one in text.split()))
    except ValueError:
        places = ()
    if not 1 <= len(places) <= MAX_PLACES or not all(abs(latitude) <= 90 and abs(longitude) <= 180 for latitude, longitude in places):
        raise ConfigError(
            f"places of zone {zone} must be 1 to {MAX_PLACES} pairs of latitude and longitude, such as '53.6,10.0 48.1,11.6', got {text!r}"
        )
    return places
