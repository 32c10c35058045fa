"""The shared client: pace, patience, limits. In a world whose time passes only while somebody sleeps."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from carbon_ray.core.clock import SystemClock
from carbon_ray.core.errors import ConfigError, ProviderAuthError, ProviderQuotaError, ProviderResponseError, ProviderUnavailable
from carbon_ray.providers.base import Quota
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question, ServiceClient
from carbon_ray.providers.services.network import NetworkSettings, checked_base_url, network_settings, tls_context
from carbon_ray.providers.services.pacing import Gate
from carbon_ray.testing import FakeService, FakeWorld, Reply
from tests.providers.services.samples import BY_NAME, END, NOW, START

QUESTION = Question(path="/x", zone="DE")
GOOD = Reply(body=b"{}")


def client(service: FakeService | None, world: FakeWorld, transport: httpx.BaseTransport | None = None, **settings: Any) -> ServiceClient:
    quota, on_auth = settings.pop("quota", None), settings.pop("on_auth", "raise")
    made: list[ServiceClient] = []
    one = ServiceClient(
        "test",
        "https://test.example",
        NetworkSettings(**settings),
        world.surroundings(service.transport if service else transport),
        lambda answer, question: made[0].refused(answer, question),
        quota=quota,
        on_auth=on_auth,
    )
    made.append(one)
    return one


def test_pauses_grow_and_end() -> None:
    world, service = FakeWorld(NOW), FakeService([Reply(status=503)])
    with pytest.raises(ProviderUnavailable, match="test, zone DE: answered 503"):
        client(service, world, retries=5, max_backoff_s=4.0).get(QUESTION)
    assert world.pauses_s == [0.5, 1.0, 2.0, 2.0, 2.0], "the mean of the longest pause is half of it"
    assert len(service.asked) == 6


def test_a_pause_is_at_least_what_the_service_asks_for() -> None:
    world, service = FakeWorld(NOW), FakeService([Reply(status=503, headers={"Retry-After": "9"}), GOOD])
    client(service, world).get(QUESTION)
    assert world.pauses_s == [9.0]
    world, service = FakeWorld(NOW), FakeService([Reply(status=503, headers={"Retry-After": "900"})])
    with pytest.raises(ProviderUnavailable):
        client(service, world).get(QUESTION)
    assert (len(service.asked), world.pauses_s) == (1, [])


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "12"}, 12),
        ({"retry-after": "1e9"}, 86400),
        ({"retry-after": "-5"}, 60),
        ({"retry-after": "soon"}, 60),
        ({"retry-after": "nan"}, 60),
        ({"retry-after": "Tue, 03 Feb 2026 14:03:00 GMT"}, 60),
        ({"retry-after": "Tue, 03 Feb 2026 14:04:00 GMT"}, 120),
        ({"retry-after": "Tue, 03 Feb 2026 13:00:00 GMT"}, 0),
        ({"retry-after": "Tue, 03 Feb 2026 20:00:30 GMT", "date": "Tue, 03 Feb 2026 20:00:00 GMT"}, 30),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 7)}, 7),
        ({"x-ratelimit-reset": "1e400"}, 60),
        ({}, 60),
    ],
)
def test_when_to_ask_again(headers: dict[str, str], wait_s: float) -> None:
    answer = Answer(status=429, headers=headers, body=b"", fetched_at=NOW)
    assert (answer.retry_at(60.0) - NOW).total_seconds() == wait_s


def test_a_key_that_is_refused_is_left_alone_for_ever_longer() -> None:
    world, service = FakeWorld(NOW), FakeService([Reply(status=401, body=b"{}")])
    one = client(service, world, on_auth="back_off", retries=1)
    spans = []
    for _ in range(9):
        with pytest.raises(ProviderAuthError, match="answered 401"):
            one.get(QUESTION)
        asked, since = len(service.asked), world.clock.now()
        while True:
            with pytest.raises(ProviderAuthError) as caught:
                one.get(QUESTION)
            if len(service.asked) > asked:
                break
            assert "not asked again before" in str(caught.value)
            world.clock.advance(timedelta(seconds=15))
        spans.append((world.clock.now() - since).total_seconds() // 30 * 30)
        world.clock.advance(timedelta(hours=2))
    assert spans[:3] == [30.0, 120.0, 480.0], "each round refuses twice: 30, 60, 120, 240, 480 s"
    assert max(spans) == 3600.0


def test_another_question_is_not_left_alone_and_success_forgets() -> None:
    world = FakeWorld(NOW)
    service = FakeService(lambda asked: Reply(status=401 if asked.path == "/x" and len(service.asked) < 3 else 200, body=b"{}"))
    one = client(service, world, on_auth="back_off", retries=0, cache_s=0)
    with pytest.raises(ProviderAuthError):
        one.get(QUESTION)
    assert one.get(Question(path="/y", zone="DE")).status == 200
    world.clock.advance(timedelta(seconds=31))
    assert one.get(QUESTION).status == 200
    assert one.get(QUESTION).status == 200


# Pace


def test_requests_keep_their_distance_within_a_lane() -> None:
    world, service = FakeWorld(NOW), FakeService([GOOD])
    one = client(service, world, min_interval_s=10.0, cache_s=0)
    for lane in ("a", "b", "a"):
        one.get(Question(path="/x", lane=lane))
    assert world.pauses_s == [10.0]


def test_a_quota_counts_requests_in_its_span() -> None:
    world, service = FakeWorld(NOW), FakeService([GOOD])
    one = client(service, world, quota=Quota(requests=3, per_s=60.0), cache_s=0, max_wait_s=30.0)
    for _ in range(3):
        one.get(QUESTION)
    with pytest.raises(ProviderQuotaError, match="as often as it allows") as caught:
        one.get(QUESTION)
    assert caught.value.retry_at == NOW + timedelta(seconds=60)
    world.clock.advance(timedelta(seconds=40))
    one.get(QUESTION)
    assert world.pauses_s == [20.0], "a short wait is waited"
    assert len(service.asked) == 4


def test_no_more_requests_at_a_time_than_allowed() -> None:
    gate = Gate(SystemClock(), lambda seconds: None, max_in_flight=2)
    inside, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def work(_: int) -> None:
        nonlocal inside, most
        with gate.turn():
            with lock:
                inside += 1
                most = max(most, inside)
            go.wait(0.02)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert most == 2


def test_many_threads_with_one_question_ask_once() -> None:
    service = FakeService([GOOD])
    one = client(service, FakeWorld(NOW))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: one.get(QUESTION), range(32)))
    assert len(service.asked) == 1
    assert len({id(answer) for answer in answers}) == 1


# Bodies


class Stream(httpx.SyncByteStream):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def answering(pieces: Iterator[bytes], **headers: str) -> httpx.MockTransport:
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.MockTransport(lambda request: httpx.Response(200, headers=named, stream=Stream(pieces)))


def test_a_packed_body_is_unpacked() -> None:
    packed = gzip.compress(b'{"a": 1}')
    one = client(None, FakeWorld(NOW), answering(iter([packed[:7], packed[7:]]), content_encoding="gzip"))
    assert one.get(QUESTION).json() == {"a": 1}


def test_a_small_body_cannot_fill_the_memory() -> None:
    taken = 0

    def bomb() -> Iterator[bytes]:
        nonlocal taken
        packer = zlib.compressobj(wbits=31)
        for _ in range(10_000):
            taken += 1
            yield packer.compress(b" " * 2**20)

    one = client(None, FakeWorld(NOW), answering(bomb(), content_encoding="gzip"), max_response_bytes=2**20)
    with pytest.raises(ProviderResponseError, match="more than 1048576 bytes"):
        one.get(QUESTION)
    assert taken < 2000


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ([gzip.compress(b"{}")[:-4]], {"content_encoding": "gzip"}),
        ([b"not packed at all"], {"content_encoding": "gzip"}),
        ([b"{}"], {"content_encoding": "br"}),
        ([b"{"], {"content_length": "2"}),
    ],
)
def test_a_body_that_is_not_whole_is_no_answer(pieces: list[bytes], headers: dict[str, str]) -> None:
    one = client(None, FakeWorld(NOW), answering(iter(pieces), **headers), retries=0)
    with pytest.raises(ProviderUnavailable, match="did not come whole"):
        one.get(QUESTION)


def test_a_body_that_trickles_is_given_up() -> None:
    world = FakeWorld(NOW)

    def trickle() -> Iterator[bytes]:
        while True:
            world.clock.advance(timedelta(seconds=29))  # never silent for long
            yield b" "

    one = client(None, world, answering(trickle()), retries=0, total_timeout_s=120.0)
    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        one.get(QUESTION)
    assert world.clock.now() == NOW + timedelta(seconds=145)


def test_excerpts_are_short_and_plain() -> None:
    one = client(FakeService([GOOD]), FakeWorld(NOW))
    assert one.excerpt("a\x00\x1b[31m\n\tb") == "a [31m b"
    assert len(one.excerpt("x" * 5000)) == 200
    assert "s3cr3t" not in one.excerpt('"api_key": "s3cr3t", securityToken=s3cr3t&x auth-token: s3cr3t Authorization=s3cr3t')


# Settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"verify": False}, "verify"),
        ({"verify_tls": False}, "verify_tls"),
        ({"retries": -1}, "retries"),
        ({"read_timeout_s": 0}, "read_timeout_s"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({1: 2}, "network settings"),
    ],
)
def test_wrong_network_settings(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        network_settings(given, NetworkSettings())
    with pytest.raises(ConfigError, match="network settings"):
        BY_NAME["neso"].make(None, FakeWorld(NOW), network=given)


@pytest.mark.parametrize(
    ("url", "has_key", "allow", "says"),
    [
        ("http://grid.example/v1", True, True, "its key would be sent in the clear"),
        ("http://grid.example/v1", False, False, "allow_plain_http"),
        ("https://user:pass@grid.example", False, False, "no user"),
        ("https://grid.example?api_key=1", False, False, "no query"),
        ("ftp://grid.example", False, True, "https://host"),
        ("https://", False, False, "https://host"),
        ("https://[::1", False, False, "no URL"),
        ("grid.example", False, False, "https://host"),
    ],
)
def test_a_base_url_that_is_refused(url: str, has_key: bool, allow: bool, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        checked_base_url(url, NetworkSettings(allow_plain_http=allow), has_key=has_key)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/", "http://localhost", "http://[::1]:1", "https://grid.example/v3"])
def test_a_base_url_that_is_taken(url: str) -> None:
    assert checked_base_url(url, NetworkSettings(), has_key=True) == url.rstrip("/")
    assert checked_base_url("http://sdk.cluster.local", NetworkSettings(allow_plain_http=True), has_key=False) == "http://sdk.cluster.local"


def test_certificates_are_always_checked(tmp_path: Path) -> None:
    for settings in (NetworkSettings(), NetworkSettings(allow_plain_http=True)):
        context = tls_context(settings)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(ConfigError, match="ca_file"):
            tls_context(NetworkSettings(ca_file=path))


# Pages and pieces


def test_long_windows_are_asked_for_in_pieces() -> None:
    """Two months of five minutes: WattTime takes 32 days and counts both ends in, so the pieces do not overlap."""
    kit = BY_NAME["watttime"]
    start_at, end_at = datetime(2025, 11, 1, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC)

    def answer(asked: Any) -> Reply:
        if asked.path == "/login":
            return Reply(body=b'{"token": "t"}')
        one, two = (datetime.fromisoformat(dict(asked.params)[name]) for name in ("start", "end"))
        assert two - one < timedelta(days=32)
        return kit.history(one, [100.0] * ((two - one) // timedelta(minutes=5) + 1))

    service = FakeService(answer)
    provider = kit.make(service.transport, FakeWorld(NOW))
    series = provider.history(kit.zone, start_at, end_at)
    assert (series.start_at, series.end_at, len(series)) == (start_at, end_at, 75 * 288)
    assert [asked.path for asked in service.asked] == ["/login", *["/v3/historical"] * 3]


def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused() -> None:
    kit = BY_NAME["watttime"]
    world = FakeWorld(NOW)
    stale = {"refuse": False}

    def answer(asked: Any) -> Reply:
        if asked.path == "/login":
            stale["refuse"] = False
            return Reply(body=b'{"token": "t%d"}' % len(service.asked))
        return Reply(status=403, body=b"<html>", content_type="text/html") if stale["refuse"] else kit.history(START, kit.values())

    service = FakeService(answer)
    provider = kit.make(service.transport, world)
    provider.history(kit.zone, START, END)
    world.clock.advance(timedelta(minutes=10))
    provider.history(kit.zone, START, END)
    assert [asked.path for asked in service.asked].count("/login") == 1
    world.clock.advance(timedelta(minutes=20))
    provider.history(kit.zone, START, END)
    assert [asked.path for asked in service.asked].count("/login") == 2
    stale["refuse"] = True
    world.clock.advance(timedelta(minutes=10))
    provider.history(kit.zone, START, END)
    assert [asked.path for asked in service.asked][-3:] == ["/v3/historical", "/login", "/v3/historical"]


def test_both_danish_areas_come_by_one_request() -> None:
    provider, service, world = BY_NAME["energi_data_service"].served(BY_NAME["energi_data_service"].history(START, [5.0] * 36))
    assert set(provider.history("DK-DK1", START, END).values_gco2_per_kwh) == {5.0}
    assert set(provider.history("DK-DK2", START, END).values_gco2_per_kwh) == {999.0}
    assert (len(service.asked), world.pauses_s) == (1, [])


def test_pages_are_joined() -> None:
    kit = BY_NAME["eco2mix"]
    values = kit.values()
    whole = kit.history(START, values)
    rows = json.loads(whole.body)["results"]

    def answer(asked: Any) -> Reply:
        offset = int(dict(asked.params)["offset"])
        return Reply(body=json.dumps({"total_count": len(rows), "results": rows[offset : offset + 5]}).encode())

    service = FakeService(answer)
    series = kit.make(service.transport, FakeWorld(NOW)).history("FR", START, END)
    assert list(series.values_gco2_per_kwh) == values
    assert [dict(asked.params)["offset"] for asked in service.asked] == ["0", "5", "10"]


def test_electricity_maps_asks_for_ten_days_at_a_time() -> None:
    kit = BY_NAME["electricity_maps"]

    def answer(asked: Any) -> Reply:
        assert asked.path == "/v3/carbon-intensity/past-range"
        one, two = (datetime.fromisoformat(dict(asked.params)[name]) for name in ("start", "end"))
        return kit.history(one, [300.0] * ((two - one) // timedelta(hours=1) + 1))  # the end may be in: it comes twice

    service = FakeService(answer)
    start_at, end_at = NOW.replace(minute=0) - timedelta(days=28), NOW.replace(minute=0) - timedelta(hours=2)
    series = kit.make(service.transport, FakeWorld(NOW)).history("DE", start_at, end_at)
    assert (series.start_at, series.end_at) == (start_at, end_at)
    assert len(service.asked) == 3
