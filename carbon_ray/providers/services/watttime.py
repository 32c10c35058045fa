"""WattTime v3: marginal intensity and its forecast. A user and a password give a token that is good for half an hour."""

from __future__ import annotations

import math
import threading
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from carbon_ray.core.errors import ProviderAccessError, ProviderAuthError, ProviderError, ProviderNoDataError, ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H, gco2_per_kwh_of_lb_per_mwh
from carbon_ray.providers.base import Capabilities, Quota, require_window
from carbon_ray.providers.keys import Secret
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Params, Question, as_params
from carbon_ray.providers.services.fields import Number, Payload, Stamp, read_payload
from carbon_ray.providers.services.grid import Row, forecast_of, readings_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import Service, chunks, whole_hours
from carbon_ray.providers.services.wire import Credentials

MAX_HORIZON_H = 72
SIGNAL = "co2_moer"
_UNIT = "lbs_co2_per_mwh"
_STEP = timedelta(minutes=5)
_CHUNK = timedelta(days=30)
"""The service takes 32 days and counts both ends in."""
_TOKEN_GOOD_FOR = timedelta(minutes=25)


T = TypeVar("T")


class _Point(Payload):
    point_time: Stamp
    value: Number = None
    imputed_data_used: bool | None = None
    last_updated: Stamp | None = None


class _Warning(Payload):
    type: str = ""
    message: str = ""


class _Meta(Payload):
    region: str | None = None
    signal_type: str | None = None
    units: str
    data_point_period_seconds: int = 300
    warnings: list[_Warning] | None = None
    generated_at: Stamp | None = None


class _Series(Payload):
    data: list[_Point]
    meta: _Meta


class _Issue(Payload):
    generated_at: Stamp
    forecast: list[_Point]


class _Issues(Payload):
    data: list[_Issue]
    meta: _Meta


class _Token(Payload):
    token: str


class _Region(Payload):
    region: str


class _RegionAccess(Payload):
    region: str


class _SignalAccess(Payload):
    signal_type: str
    regions: tuple[_RegionAccess, ...] = ()


class _Access(Payload):
    signal_types: list[_SignalAccess]


class WattTimeProvider(Service):
    """Marginal history and forecasts by WattTime, in steps of five minutes.

    `zones` and `areas`: a zone is served under the name of its WattTime region, or what `areas` maps it to; see `Service`.

    The keys are `CARBON_RAY_WATTTIME_USERNAME` and `CARBON_RAY_WATTTIME_PASSWORD`.
    """

    name: ClassVar[str] = "watttime"
    kinds: ClassVar = (IntensityKind.MARGINAL,)
    usual_base_url: ClassVar[str | None] = "https://api.watttime.org"
    key_fields: ClassVar = ("username", "password")
    known_areas: ClassVar = {"US-CAL-CISO": "CAISO_NORTH"}
    is_open: ClassVar[bool] = True
    usual_network: ClassVar = NetworkSettings(cache_s=300.0, min_interval_s=0.1)
    quota: ClassVar = Quota(requests=3000, per_s=300.0)
    quota_pause_s: ClassVar[float] = 300.0

    _token: tuple[Secret, datetime] | None = None
    _login_lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """History and three days of forecast, marginal."""
        return self._able(resolution_s=_STEP.total_seconds(), horizon_s=MAX_HORIZON_H * S_PER_H, zones=self._zones or ())

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`, asked for in pieces of thirty days."""
        require_window(start_at, end_at)
        area, (first_at, last_at) = self._area(zone), whole_hours(start_at, end_at)
        rows: list[Row] = []
        details: list[str] = []
        fetched_at, updated_at = self._world.clock.now(), None
        for one, two in chunks(first_at, last_at, _CHUNK):
            answer = self._data(
                zone, "/v3/historical", region=area, start=_text(one), end=_text(two - _STEP), include_imputed_marker="true"
            )
            series = self._read(_Series, answer, zone)
            rows += self._rows(series.data, series.meta, zone, area, answer)
            details.append(_detail(series.meta))
            fetched_at = answer.fetched_at
            updated_at = max((point.last_updated for point in series.data if point.last_updated), default=updated_at)
        readings = readings_of(
            rows,
            zone=zone,
            kind=self._kind,
            provenance=self._provenance("; ".join(dict.fromkeys(details)), fetched_at, updated_at),
            newest_at=self._newest_at(fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast."""
        area = self._area(zone)
        hours = min(MAX_HORIZON_H, max(1, math.ceil(horizon_s / S_PER_H)))
        answer = self._data(zone, "/v3/forecast", region=area, horizon_hours=str(hours))
        series = self._read(_Series, answer, zone)
        issued_at = self._issued_at(series.meta.generated_at, answer.fetched_at, zone)
        rows = self._rows(series.data, series.meta, zone, area, answer)
        readings = self._forecast_readings(rows, series.meta, zone, answer, issued_at)
        now = self._world.clock.now()
        return forecast_of(readings, provider=self.name, zone=zone, now=now, horizon_s=horizon_s, issued_at=issued_at)

    def issued_forecasts(self, zone: str, start_at: datetime, end_at: datetime) -> tuple[Forecast, ...]:
        """Forecasts as they were issued in `[start_at, end_at)`, in order; for judging how good they were.

        Raises:
            UnknownZoneError: The zone is not among those it was set to serve.
            ProviderError: It could not be asked.
        """
        require_window(start_at, end_at)
        area = self._area(zone)
        found: dict[datetime, Forecast] = {}
        for one, two in chunks(start_at, end_at, timedelta(days=1)):
            answer = self._data(zone, "/v3/forecast/historical", region=area, start=_text(one), end=_text(two))
            issues = self._read(_Issues, answer, zone)
            for issue in issues.data:
                issued_at = self._issued_at(issue.generated_at, answer.fetched_at, zone)
                rows = self._rows(issue.forecast, issues.meta, zone, area, answer)
                readings = self._forecast_readings(rows, issues.meta, zone, answer, issued_at)
                if readings is not None and start_at <= issued_at < end_at:
                    found[issued_at] = forecast_of(
                        readings,
                        provider=self.name,
                        zone=zone,
                        now=readings.start_at,
                        horizon_s=MAX_HORIZON_H * S_PER_H,
                        issued_at=issued_at,
                    )
        return tuple(found[issued_at] for issued_at in sorted(found))

    def region_of(self, latitude: float, longitude: float) -> str:
        """The region that a place belongs to; borders move, so ask again now and then.

        Raises:
            ProviderNoDataError: No region covers it.
            ProviderError: It could not be asked.
        """
        where = f"{latitude:g},{longitude:g}"
        answer = self._data(where, "/v3/region-from-loc", latitude=f"{latitude:g}", longitude=f"{longitude:g}")
        return self._read(_Region, answer, where).region

    def allowed_regions(self) -> tuple[str, ...]:
        """Regions whose marginal intensity the account may see, sorted.

        Raises:
            ProviderError: It could not be asked.
        """
        access = self._read(_Access, self._data("-", "/v3/my-access", is_plain=True), "-")
        return tuple(sorted({one.region for signal in access.signal_types if signal.signal_type == SIGNAL for one in signal.regions}))

    # Answers

    def _read(self, target: type[T], answer: Answer, zone: str) -> T:
        return read_payload(target, self._json(answer, zone), provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning))

    def _rows(self, points: list[_Point], meta: _Meta, zone: str, area: str, answer: Answer) -> list[Row]:
        if meta.units != _UNIT or meta.signal_type not in (None, SIGNAL):
            told = self.client.excerpt(f"{meta.signal_type} in {meta.units}")
            raise self._broken(zone, f"sent {told}, which is no marginal intensity in {_UNIT}", answer)
        if meta.region not in (None, area):
            raise self._broken(zone, f"answered for another region than {area}", answer)
        if not 60 <= meta.data_point_period_seconds <= S_PER_H:
            raise self._broken(zone, f"says that its points are {meta.data_point_period_seconds} s apart", answer)
        step = timedelta(seconds=meta.data_point_period_seconds)
        return [
            Row(
                point.point_time,
                point.point_time + step,
                None if point.value is None else gco2_per_kwh_of_lb_per_mwh(point.value),
                point.imputed_data_used,
            )
            for point in points
        ]

    def _forecast_readings(self, rows: list[Row], meta: _Meta, zone: str, answer: Answer, issued_at: datetime) -> Readings | None:
        provenance = self._provenance(_detail(meta), answer.fetched_at, issued_at)
        return readings_of(rows, zone=zone, kind=self._kind, provenance=provenance, newest_at=None, is_forecast=True)

    # Tokens

    def _data(self, zone: str, path: str, *, is_plain: bool = False, **params: str) -> Answer:
        """Ask with a token; where it is refused, log in once more and ask again."""
        query = as_params(params if is_plain else {**params, "signal_type": SIGNAL})
        try:
            return self._ask(zone, path, query)
        except ProviderAuthError:
            self._token = None
            return self._ask(zone, path, query)

    def _ask(self, zone: str, path: str, query: Params) -> Answer:
        credentials = Credentials(headers={"authorization": self._valid_token(zone)})
        return self.client.get(Question(path=path, params=query, zone=zone, credentials=credentials))

    def _valid_token(self, zone: str) -> Secret:
        with self._login_lock:
            now = self._world.clock.now()
            if self._token is None or now >= self._token[1]:
                basic = (self._secret("username"), self._secret("password"))
                answer = self.client.get(Question(path="/login", zone=zone, credentials=Credentials(basic=basic), is_cached=False))
                data = read_payload(_Token, self._json(answer, zone), provider=self.name, zone=zone)
                if not data.token or not data.token.isascii() or not data.token.isprintable():
                    raise ProviderResponseError(self.name, zone, "sent a token that no header can carry")
                self.client.hide(Secret(data.token))
                self._token = (Secret(f"Bearer {data.token}"), now + _TOKEN_GOOD_FOR)
            return self._token[0]

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        error = self.client.refused(answer, question, pause_s=self.quota_pause_s)
        if error is None:
            return None
        data = answer.json_or_none()
        text = " ".join(str(data.get(key, "")) for key in ("message", "error")) if isinstance(data, dict) else ""
        told = (self.name, question.zone, f"answered {answer.status}: {self.client.excerpt(text or answer.beginning)}")
        if answer.status == 403:
            if "invalid scope" in text.lower():
                return ProviderAccessError(*told)
            if question.path == "/login":
                return ProviderAuthError(self.name, question.zone, "refused user and password; check both keys")
            return ProviderAuthError(self.name, question.zone, "refused a token that it had just given")
        if answer.status == 404 and "no coverage" in text.lower():
            return ProviderNoDataError(*told)
        return error


def _detail(meta: _Meta) -> str:
    warnings = "; ".join(f"warning {one.type}: {one.message}" for one in meta.warnings or ())
    return f"WattTime {SIGNAL}{f'; {warnings}' if warnings else ''}"[:500]


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%MZ}"
