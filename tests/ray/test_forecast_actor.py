"""The forecast actor on a real head: shared snapshots, cached reads, an outage, and a death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from carbon_ray.actors import forecast_client
from carbon_ray.actors.forecast_client import CHECK_EVERY_S, EDITION_KEY, ForecastClient, edition_of
from carbon_ray.cluster import kv
from carbon_ray.core.errors import ForecastError
from tests.ray.forecasting import forecast_actor
from tests.ray.noise import REAL_RAY

pytestmark = [*REAL_RAY]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForecastClient]:
    regions = {"east": {"cloud": "aws/eu-central-1"}, "south": {"zone": "ES"}}
    with forecast_actor("forecasts", tmp_path_factory.mktemp("state"), CHECK_EVERY_S, regions=regions) as client:
        yield client


def wait_for(what: Callable[[], bool], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.1)


def test_a_snapshot_is_read_once_and_shared(client: ForecastClient) -> None:
    snapshot = client.snapshot()
    assert set(snapshot.forecasts) == {"DE", "ES"}
    assert client.edition() == edition_of(snapshot)
    patient = ForecastClient(check_every_s=3600.0)
    first = patient.snapshot()
    assert all(patient.snapshot() is first for _ in range(1000))
    assert not first["DE"].median.values_gco2_per_kwh.flags.writeable


def test_a_longer_forecast_is_a_new_edition_for_everybody(client: ForecastClient) -> None:
    eager = ForecastClient(check_every_s=0.0)
    before = eager.snapshot()
    end_at = min(one.end_at for one in before.forecasts.values())
    assert client.reach(end_at) is client.snapshot(), "that far it reaches already"
    until_at = end_at + (end_at - before.issued_at)
    assert min(one.end_at for one in client.reach(until_at).forecasts.values()) >= until_at
    after = eager.snapshot()
    assert after.version > before.version
    assert eager.snapshot() is after


def test_health_is_told(client: ForecastClient) -> None:
    health, load = client.health(), client.load()
    assert [zone.zone for zone in health.zones] == ["DE", "ES"]
    assert (health.failures, health.problem) == (0, "")
    assert [source.name for source in health.sources] == ["embedded"]
    assert load.rounds > 0
    assert (load.waiting, load.refused) == (0, 0)


def test_a_death_costs_nobody_anything(client: ForecastClient) -> None:
    reading = ForecastClient(check_every_s=0.0)
    before, pid = reading.snapshot(), client.process_id()
    os.kill(pid, signal.SIGKILL)
    for _ in range(50):
        assert reading.snapshot().version == before.version, "what was read is served while the actor is away"
    wait_for(lambda: client.process_id() != pid)
    again = ForecastClient().snapshot()
    assert again.version >= before.version
    assert set(again.forecasts) == {"DE", "ES"}


def test_another_edition_that_cannot_be_had_leaves_what_there_is(client: ForecastClient, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = ForecastClient(check_every_s=0.0)
    before = reading.snapshot()
    told = kv.get(EDITION_KEY)
    assert told is not None
    monkeypatch.setattr(forecast_client, "FORECASTS", "nobody")
    nobody = ForecastClient(retry_for_s=0.0)
    with pytest.raises(Exception, match="'nobody' does not answer"):
        nobody.snapshot()
    kv.put(EDITION_KEY, "999 never")
    assert reading.snapshot().version == before.version
    kv.put(EDITION_KEY, told)


def test_a_forecast_beyond_reason_is_refused_and_does_no_harm(client: ForecastClient) -> None:
    before = client.snapshot()
    with pytest.raises(ForecastError):
        client.reach(before.issued_at.replace(year=9000))
    assert ForecastClient().snapshot().version >= before.version
