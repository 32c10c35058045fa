"""Planted keys are looked for in everything that is written while services are asked: logs, errors, reprs, pickles, output."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import cloudpickle
import pytest

from carbon_ray.core import codec
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.testing import Asked, FakeService, FakeWorld, Reply
from tests.providers.services.samples import KEYED_WEATHER, KEYS, KITS, NOW, START, TOKEN, Kit, after_login

KEYED = [*(kit for kit in KITS if kit.key_in), KEYED_WEATHER]


def forms() -> Iterator[str]:
    for value in [*KEYS.values(), TOKEN]:
        yield from {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], base64.b64encode(value.encode()).decode()}
    user, password = KEYS["CARBON_RAY_WATTTIME_USERNAME"], KEYS["CARBON_RAY_WATTTIME_PASSWORD"]
    yield base64.b64encode(f"{user}:{password}".encode()).decode()


def require_no_key(written: str | bytes, where: str) -> None:
    text = written if isinstance(written, bytes) else written.encode()
    for form in forms():
        assert form.encode() not in text, f"a key is in {where}"


def echo(asked: Asked) -> str:
    """Everything that was asked, the keys first, so that they are within what an excerpt shows: what a careless service sends back."""
    params, headers = dict(asked.params), dict(asked.headers)
    keys = [
        params.get("api_key"),
        params.get("apikey"),
        params.get("securityToken"),
        headers.get("auth-token"),
        headers.get("authorization"),
    ]
    return f"bad key {' '.join(key for key in keys if key)} in GET {asked.path} {asked.params} {headers}"


def careless(status: int, content_type: str, location: bool = False) -> Any:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/login" and status != 499:
            return Reply(body=json.dumps({"token": TOKEN}).encode())
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.params)
        headers = {"Location": f"https://elsewhere.example/?{query}"} if location else {}
        return Reply(
            status=status,
            body=json.dumps({"message": echo(asked), "error": echo(asked)}).encode(),
            content_type=content_type,
            headers=headers,
        )

    return answer


STATUSES = [(200, "application/json"), (200, "text/html"), (400, "application/json"), (401, "application/json"), (403, "text/html")]
STATUSES += [(404, "application/json"), (429, "text/plain"), (500, "text/html"), (501, "application/json"), (302, "text/html")]


@pytest.mark.parametrize("kit", KEYED, ids=lambda kit: kit.name)
@pytest.mark.parametrize(("status", "content_type"), STATUSES)
def test_a_service_that_echoes_the_key_does_not_get_it_written(
    kit: Kit, status: int, content_type: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    service = FakeService(careless(status, content_type, location=status == 302))
    provider = kit.make(service.transport, FakeWorld(NOW), network={"retries": 1})
    with pytest.raises(CarbonRayError) as caught:
        kit.ask(provider)
    assert any(key in echo(asked) for asked in service.asked for key in [*KEYS.values(), TOKEN]), "the service has seen a key"
    error = caught.value
    require_no_key(f"{error} {error!r} {error.args} {vars(error)}", "the error")
    require_no_key(pickle.dumps(error), "the pickled error")
    require_no_key("".join(traceback.format_exception(error)), "the traceback")
    require_no_key(repr(provider) + repr(vars(provider)) + repr(vars(provider.client)), "the provider's repr")
    require_no_key(caplog.text, "the log")
    require_no_key("".join(capfd.readouterr()), "the output")


@pytest.mark.parametrize("kit", KEYED, ids=lambda kit: kit.name)
def test_a_whole_run_over_a_socket_writes_no_key(kit: Kit, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    logging.getLogger("httpcore").setLevel(logging.DEBUG)
    good = kit.history(START, kit.values())
    moved = Reply(status=307, headers={"Location": "/moved?api_key=" + quote(KEYS["CARBON_RAY_EIA_KEY"], safe="")})
    service = FakeService(after_login([Reply(fault="dropped"), moved if kit.name == "eia" else good, good]))
    with service.on_this_machine() as url:
        provider = kit.make(None, FakeWorld(NOW), base_url=url, network={"min_interval_s": 0})
        series = kit.ask(provider)
        data = pickle.dumps(series)
        again: Any = type(provider)(**{**kit.settings, "base_url": url})
        require_no_key(cloudpickle.dumps(again), "the provider as it travels to an actor")
        assert len(kit.ask(pickle.loads(pickle.dumps(again)))) == len(series), "it finds its keys again"
        again.close()
        provider.close()
    require_no_key(data + codec.dumps(series).encode() + repr(series).encode(), "the series")
    assert "httpx" in {record.name for record in caplog.records}
    assert "httpcore.http11" in {record.name for record in caplog.records}
    require_no_key(caplog.text + repr([record.__dict__ for record in caplog.records]), "the log")
    require_no_key("".join(capfd.readouterr()), "the output")


def test_the_scan_finds_a_planted_key() -> None:
    for form in forms():
        with pytest.raises(AssertionError, match="a key is in here"):
            require_no_key(f"x{form}x", "here")
