"""Training and forecasting in real Ray tasks: killed ones cost nothing, reads go on, a restarted actor takes up its model."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from carbon_ray.actors.forecast_client import ForecastClient
from carbon_ray.actors.forecast_tracks import TRACKS_FILE
from carbon_ray.actors.ray_tasks import NICENESS
from carbon_ray.core.errors import ForecastError
from tests.ray.forecasting import forecast_actor
from tests.ray.noise import REAL_RAY

pytestmark = [*REAL_RAY]

NOW = datetime(2022, 6, 1, tzinfo=UTC)
DAYS = 140


def write_trace(path: Path) -> None:
    hours = np.arange(DAYS * 24)
    noise = np.random.default_rng(0).standard_normal((2, len(hours)))
    times = pd.date_range(NOW - timedelta(days=DAYS), periods=len(hours), freq="h")
    rows = [
        pd.DataFrame({"zone": zone, "time_utc": times, "gco2_per_kwh": 300 + 100 * np.sin(hours / 24 * 2 * np.pi) + 10 * noise[number]})
        for number, zone in enumerate(("DE", "ES"))
    ]
    pd.concat(rows).assign(kind="average_lifecycle", source="made").to_parquet(path)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(state_dir: Path) -> Iterator[ForecastClient]:
    trace = state_dir / "trace.parquet"
    write_trace(trace)
    carbon = {
        "grid": {"provider": "trace", "path": str(trace)},
        "clock": {"mode": "replay", "start_at": NOW.isoformat()},
        "forecaster": "lightgbm",
        "forecasting": {"rows": 4000, "rounds": 20, "threads": 1},
        "regions": {"east": {"zone": "DE"}, "south": {"zone": "ES"}},
    }
    with forecast_actor("beside", state_dir, 0.0, **carbon) as client:
        yield client


def wait_for(what: Callable[[], bool], limit_s: float = 180.0) -> None:
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.02)


def tasks_beside(client: ForecastClient, name: str) -> list[int]:
    """Processes that run a task of that name, among those that the actor's parent has started."""
    found = []
    for one in psutil.Process(client.process_id()).parent().children():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if f"ray::{name}" in " ".join(one.cmdline()):
                found.append(one.pid)
    return found


def made_by(client: ForecastClient) -> set[str]:
    return {one.forecaster for one in client.snapshot().forecasts.values()}


def test_a_killed_training_is_repeated_and_nobody_waits_for_it(client: ForecastClient, state_dir: Path) -> None:
    assert made_by(client) == {"ewma"}, "forecasts are there before any model"
    wait_for(lambda: bool(tasks_beside(client, "train_model")))
    (pid,) = tasks_beside(client, "train_model")
    of_actor = psutil.Process(client.process_id()).nice()
    wait_for(lambda: psutil.Process(pid).nice() == min(19, of_actor + NICENESS), 20.0)  # its first act, after it has its name
    begun_s = time.monotonic()
    for _ in range(200):
        client.snapshot()
        client.health()
    assert time.monotonic() - begun_s < 20.0, "reads go on beside a training"
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "lost" in getattr(client.health().training, "problem", ""))
    assert made_by(client) == {"ewma"}
    assert not list((state_dir / "models").glob("*")) if (state_dir / "models").exists() else True
    wait_for(lambda: client.health().training.zones == ("DE", "ES"))  # type: ignore[union-attr]
    wait_for(lambda: made_by(client) == {"lightgbm"})
    training = client.health().training
    assert training is not None
    assert (training.trained_at, training.problem, training.is_training) == (NOW, "", False)
    assert [path.name for path in (state_dir / "models").iterdir()] == [f"{NOW:%Y%m%dT%H%M%SZ}.model"]
    assert (state_dir / TRACKS_FILE).is_file()


def test_a_killed_forecast_leaves_the_last_ones(client: ForecastClient) -> None:
    before = client.snapshot()
    until_at = before["DE"].end_at + timedelta(hours=24)
    refused: list[str] = []

    def ask() -> None:
        try:
            client.reach(until_at)
        except ForecastError as error:
            refused.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: bool(tasks_beside(client, "make_forecasts")))
    for pid in tasks_beside(client, "make_forecasts"):
        os.kill(pid, signal.SIGKILL)
    asking.join(60)
    assert refused, "who asked for more is told"
    assert "was lost" in refused[0]
    after = client.snapshot()
    assert (after.version, made_by(client)) == (before.version, {"lightgbm"})
    wait_for(lambda: not _is_refused(client, until_at))
    assert made_by(client) == {"lightgbm"}
    assert client.snapshot()["DE"].end_at >= until_at


def _is_refused(client: ForecastClient, until_at: datetime) -> bool:
    try:
        client.reach(until_at)
    except ForecastError:
        time.sleep(1.0)
        return True
    return False


def test_a_restarted_actor_takes_up_the_model(client: ForecastClient, state_dir: Path) -> None:
    (path,) = (state_dir / "models").iterdir()
    written_s, pid, version = path.stat().st_mtime_ns, client.process_id(), client.snapshot().version
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: client.process_id() != pid)
    wait_for(lambda: client.snapshot().version > version)  # forecast anew by the new process
    assert made_by(client) == {"lightgbm"}
    training = client.health().training
    assert training is not None
    assert (training.trained_at, training.zones) == (NOW, ("DE", "ES"))
    assert [one.stat().st_mtime_ns for one in (state_dir / "models").iterdir()] == [written_s], "it was not trained again"
