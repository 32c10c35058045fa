"""What is fuzzed: every reader of foreign bytes, with the check that only declared errors and sound values come out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from carbon_ray.core.errors import ConfigError, ProviderError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.providers.carbon_aware_file import CarbonAwareFileProvider, read_locations
from carbon_ray.providers.keys import KEY_FILE_VARIABLE, find_secret
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.trace import TraceProvider
from carbon_ray.providers.weather import WeatherForecast
from carbon_ray.testing import FakeService, FakeWorld, Reply
from tests.providers.services.samples import END, NOW, SERVICES, START, TOKEN, WEATHER, Kit, reply

STATUSES = (200, 200, 200, 200, 204, 400, 401, 403, 404, 429, 500, 501)
TYPES = ("application/json", "text/xml", "text/plain", "text/html", "application/problem+json", "")
PATIENCE = {"retries": 0, "cache_s": 0, "min_interval_s": 0, "max_response_bytes": 2**20, "max_wait_s": 0}


class Fuzzed:
    """One service that answers with whatever it is given."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._answer = Reply()

    def _reply(self, asked: Any) -> Reply:
        if asked.path == "/login" and self._answer.headers.get("x-login") != "too":
            return reply({"token": TOKEN})
        return self._answer

    def ask(self, answer: Reply) -> Iterator[object]:
        """Everything that the provider can be asked, one after the other; undeclared errors go through."""
        self._answer = answer
        provider: Any = self.kit.make(FakeService(self._reply).transport, FakeWorld(NOW), network=PATIENCE)
        zone = self.kit.zone
        asks: list[Callable[[], object]] = [lambda: self.kit.ask(provider)]
        if self.kit is not WEATHER:
            asks.append(lambda: provider.readings(zone, START - timedelta(days=40), END + timedelta(hours=2)))
        if self.kit.forecast is not None:
            asks.append(lambda: provider.forecast(zone, 86400.0))
        if hasattr(provider, "mix"):
            asks.append(lambda: provider.mix(zone, START, END))
        for name in ("latest", "region_of", "allowed_regions", "issued_forecasts", "wind_solar_forecast"):
            if hasattr(provider, name):
                arguments = {"latest": (zone,), "region_of": (1.0, 2.0), "allowed_regions": ()}.get(name, (zone, START, END))
                asks.append(lambda name=name, arguments=arguments: getattr(provider, name)(*arguments))
        if self.kit.name == "electricity_maps":
            asks.append(type(provider)(surroundings=provider._world).zones)
        for ask in asks:
            with contextlib.suppress(ProviderError):
                yield ask()
        provider.close()

    def __call__(self, answer: Reply) -> None:
        """Ask, and check what comes out."""
        for result in self.ask(answer):
            require_sound(result)


def require_sound(result: object) -> None:
    """Whatever a provider gives out obeys the rules of its type, and is plausible."""
    for one in result if isinstance(result, tuple) else (result,):
        if isinstance(one, IntensitySeries):
            values = one.values_gco2_per_kwh
            assert np.isfinite(values).all()
            assert ((values >= 0) & (values <= 3000 + 1e-6)).all()
        elif isinstance(one, Readings):
            assert one.count > 0
            assert np.nanmax(one.values_gco2_per_kwh) <= 3000 + 1e-6
            assert not np.isnan(one.values_gco2_per_kwh[[0, -1]]).any() or one.gaps()
        elif isinstance(one, Forecast):
            assert one.issued_at <= NOW
            assert (one.median.values_gco2_per_kwh <= 3000 + 1e-6).all()
        elif isinstance(one, GenerationMix):
            assert one.count > 0
        elif isinstance(one, WeatherForecast):
            assert one.count > 0
            assert one.issued_at <= NOW
            assert one.start_at <= NOW + timedelta(minutes=5)
            assert not (one.values["wind_speed_m_per_s"] < 0).any()


def read_file(name: str, body: bytes) -> None:
    """Readers of files by name, see `FILES`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("file.parquet" if name == "parquet" else "file.csv")
        path.write_bytes(body)
        path.chmod(0o600)
        readers: dict[str, Callable[[], object]] = {
            "sdk": lambda: CarbonAwareFileProvider(path, "marginal", "gco2_per_kwh"),
            "locations": lambda: read_locations(path),
            "trace": lambda: TraceProvider(path, "marginal"),
            "parquet": lambda: TraceProvider(path, "marginal"),
            "keys": lambda: find_secret("eia", "key", {KEY_FILE_VARIABLE: str(path)}),
        }
        with contextlib.suppress(ConfigError):
            readers[name]()


FILES = ("sdk", "locations", "trace", "parquet", "keys")


def run(name: str, data: bytes) -> None:
    """One input for one target: for a service the first three bytes choose status, type and who answers the login."""
    if name in FILES:
        read_file(name, data)
        return
    fuzzed = next(one for one in FUZZED if one.kit.name == name)
    status, kind, login = (*data[:3], 0, 0, 0)[:3]
    headers = {"x-login": "too"} if login % 8 == 1 else {}
    fuzzed(Reply(status=STATUSES[status % len(STATUSES)], content_type=TYPES[kind % len(TYPES)], headers=headers, body=data[3:]))


def seeds(name: str) -> list[bytes]:
    """Good inputs to begin with."""
    if name in FILES:
        return [
            b"zone,time_utc,gco2_per_kwh,kind\nDE,2026-02-03T14:00Z,1,marginal\nDE,2026-02-03T15:00Z,2,marginal\n",
            b'{"Emissions":[{"Location":"a","Time":"2026-02-03T14:00:00+00:00","Rating":"1","Duration":"01:00"}]}',
            b'{"northeurope":{"Name":"IE"}}',
            b"CARBON_RAY_EIA_KEY=abc\n",
        ]
    kit = next(kit for kit in SERVICES if kit.name == name)
    found = []
    for make in (kit.history, kit.forecast):
        for values in ([], [200.0, None, 210.0]) if make is not None else ():
            answer = make(START, values)  # type: ignore[misc]  # None is left out above
            found.append(bytes([0, TYPES.index(answer.content_type), 0]) + answer.body)
    return found


FUZZED: Sequence[Fuzzed] = tuple(Fuzzed(kit) for kit in SERVICES)
