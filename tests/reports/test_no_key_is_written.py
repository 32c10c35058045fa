"""A whole run of services with keys, over real sockets: everything that is written on the way is searched for the keys."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from carbon_ray.actors.forecast_context import GridContext
from carbon_ray.actors.forecast_making import BesideForecaster
from carbon_ray.actors.forecast_models import ModelFolder
from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.actors.forecast_tracks import TRACKS_FILE, TrackFile
from carbon_ray.actors.forecast_weather import WeatherKeeper
from carbon_ray.actors.model_training import ModelTraining
from carbon_ray.books import Ledger
from carbon_ray.config.cluster_yaml import parse_cluster_config
from carbon_ray.config.grid import grid_chain, weather_sources
from carbon_ray.core import codec
from carbon_ray.core.clock import SystemClock, parse_utc, wall_now
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.forecasting.model import Recipe
from carbon_ray.reports.assemble import assemble
from carbon_ray.reports.html import write_html
from carbon_ray.testing import Asked, FakeService, FakeTasks, Reply
from tests.providers.services.samples import KEYS, TOKEN, eia, open_meteo, reply, watttime

SMALL = Recipe(leads=24, issue_hours=(0,), rows=2000, rounds=4, leaves=7, folds=2, calibration_issues=10, threads=1)
ZONE = "US-CAL-CISO"


def forms() -> Iterator[bytes]:
    """Every way in which a key may be written."""
    for value in [*KEYS.values(), TOKEN]:
        encoded = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], base64.b64encode(value.encode()).decode()}
        yield from (one.encode() for one in encoded)
    user, password = KEYS["CARBON_RAY_WATTTIME_USERNAME"], KEYS["CARBON_RAY_WATTTIME_PASSWORD"]
    yield base64.b64encode(f"{user}:{password}".encode())


FORMS = tuple(forms())


def require_no_key(written: bytes, where: str) -> None:
    for form in FORMS:
        assert form not in written, f"a key is in {where}"


class World:
    """Two services and a weather service that know what they are asked for, and sometimes send all of it back as an error."""

    def __init__(self) -> None:
        self.is_careless = False

    def __call__(self, asked: Asked) -> Reply:
        params = dict(asked.params)
        if self.is_careless and asked.path != "/login":
            return reply({"error": f"bad: {asked.params} {dict(asked.headers)}"}, status=400)
        if asked.path == "/login":
            return reply({"token": TOKEN})
        now = wall_now().replace(minute=0, second=0, microsecond=0)
        if asked.path == "/v1/forecast":
            return open_meteo(now.replace(hour=0), [80.0 + hour % 24 for hour in range(216)])
        if "facets[respondent][]" in params:
            first, last = (datetime.fromisoformat(params[name] + ":00").replace(tzinfo=UTC) for name in ("start", "end"))
            last = min(last, now)
            hours = max(0, (last - first) // timedelta(hours=1) + 1)
            return eia(first - timedelta(hours=1), [200.0 + 50 * (hour % 24 > 12) for hour in range(hours)])
        if asked.path == "/v3/historical":
            first, last = (parse_utc(params[name]) for name in ("start", "end"))
            steps = max(0, (min(last, now) - first) // timedelta(minutes=5) + 1)
            return watttime(first, [400.0] * steps)
        return watttime(now, [410.0] * 288)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[World, str]]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CARBON_RAY_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    world = World()
    service = FakeService(world)
    with service.on_this_machine() as url:
        yield world, url
    seen = b" ".join(f"{asked.params} {dict(asked.headers)}".encode() for asked in service.asked)
    assert any(form in seen for form in FORMS), "the services have seen keys"


FAST = {"min_interval_s": 0, "retries": 0, "backoff_s": 0.01, "cache_s": 0}


@pytest.mark.parametrize(("provider", "kind"), [("eia", "average_lifecycle"), ("watttime", "marginal")])
def test_a_run_writes_no_key(
    provider: str,
    kind: str,
    world: tuple[World, str],
    tmp_path: Path,
    run_made: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    services, url = world
    state_dir = tmp_path / "state"
    config = parse_cluster_config(
        {
            "provider": {
                "carbon": {
                    "grid": {"provider": provider, "kind": kind, "options": {"base_url": url, "network": FAST}},
                    "forecaster": "lightgbm",
                    "forecasting": {"weather": {"plan": "commercial", "base_url": url, "network": FAST, "areas": {ZONE: "52.5,13.4"}}},
                    "regions": {"west": {"zone": ZONE}},
                    "node_types": {"gpu": {"tdp_w": 1.0}},
                    "state_dir": str(state_dir),
                }
            },
            "available_node_types": {"gpu": {"labels": {"ray.io/availability-region": "west"}}},
        }
    )
    carbon, written = config.carbon, list[object]()
    chain = grid_chain(carbon.grid, cache_dir=state_dir / "history")
    assert carbon.forecasting.weather is not None
    keeper = WeatherKeeper(*weather_sources(carbon.forecasting.weather), state_dir / "weather")
    context, models, tasks = GridContext(chain, keeper), ModelFolder(state_dir / "models"), FakeTasks()
    tracks = TrackFile(state_dir / TRACKS_FILE)
    forecaster = BesideForecaster(tasks=tasks, models=models, tracks=tracks, context=context, limit_s=60.0, wall=wall_now)
    training = ModelTraining(
        zones=(ZONE,),
        source=lambda: chain,
        context=context,
        tasks=tasks,
        models=models,
        recipe=SMALL,
        train_days=100,
        refit_days=28,
        limit_s=600.0,
        clock=SystemClock(),
        wall=wall_now,
    )
    service = ForecastService(
        zones=(ZONE,),
        provider=lambda: chain,
        forecaster=forecaster,
        clock=SystemClock(),
        state_dir=state_dir,
        history_days=40,
        horizon_h=24.0,
    )
    assert service.step(), service.problem
    training.turn()
    assert training.health().problem == ""
    assert tasks.ran == ["train_model"]
    assert service.refresh(), service.problem
    snapshot = service.snapshot()
    assert snapshot[ZONE].forecaster in ("lightgbm", "ewma")
    assert list((state_dir / "weather").iterdir()), "weather was asked for with its key"
    truth = service.actual(ZONE, snapshot.issued_at - timedelta(days=2), snapshot.issued_at - timedelta(days=1))

    run = run_made()
    run.intensity = {name: replace(series, provenance=truth.provenance) for name, series in run.intensity.items()}
    with Ledger(tmp_path / "books.db") as ledger:
        run.write(ledger)
        report = assemble(**run.arguments(ledger))
    write_html(report, run.intensity, tmp_path / "report.html")
    assert provider in "".join(report.provenance)

    services.is_careless = True
    for path in [*(state_dir / "history").rglob("*.*"), *(state_dir / "weather").iterdir()]:
        (tmp_path / f"kept-{path.name}").write_bytes(path.read_bytes())
        path.unlink()  # all must be asked for again, and is sent back as an error
    assert not service.refresh()
    assert "answered 400" in service.problem
    errors: list[CarbonRayError] = []
    for ask in (
        lambda: chain.history(ZONE, truth.start_at, truth.end_at),
        lambda: chain.mix(ZONE, truth.start_at, truth.end_at),
        lambda: chain.forecast(ZONE, 3600.0),
        lambda: weather_sources(carbon.forecasting.weather)[0].weather(ZONE),  # type: ignore[arg-type]
    ):
        try:
            ask()
        except CarbonRayError as error:
            errors.append(error)
    assert len(errors) >= 2
    written += [service.health(), training.health(), snapshot, truth, report, service.problem, config, chain, keeper, *errors]
    for one in written:
        require_no_key(repr(one).encode(), f"the repr of {type(one).__name__}")
    for one in (snapshot, truth, service.health(), config, *errors):
        require_no_key(pickle.dumps(one), f"the pickled {type(one).__name__}")
    require_no_key((codec.dumps(snapshot) + codec.dumps(truth)).encode(), "JSON")
    require_no_key("".join(line for error in errors for line in traceback.format_exception(error)).encode(), "a traceback")
    require_no_key((caplog.text + repr([record.__dict__ for record in caplog.records])).encode(), "the log")
    require_no_key("".join(capfd.readouterr()).encode(), "the output")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"books.db", "report.html", "forecasts.json", "history.json"} <= {path.name for path in files}
    for path in files:
        require_no_key(path.read_bytes(), path.name)
        require_no_key(str(path).encode(), "the name of a file")


def test_the_search_finds_a_planted_key() -> None:
    for form in FORMS:
        with pytest.raises(AssertionError, match="a key is in here"):
            require_no_key(b"x" + form + b"x", "here")
