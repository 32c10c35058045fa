"""A source's bad day is not a job's bad day: outages, garbage, single zones, restarts, all on a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import OutsideDataError, ProviderUnavailable, StaleForecastError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.naive import Ewma, Persistence
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.breaker import BreakerRule, Circuit
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.chain import Link, ProviderChain
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.pieces import FetchRule
from carbon_ray.testing import FakeProvider

T0 = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
KIND = IntensityKind.AVERAGE_LIFECYCLE
ZONES = ("DE", "ES")
PATIENCE_S = 3 * 3600.0


def truth(zone: str, days: int = 60) -> IntensitySeries:
    hours = np.arange(24 * days)
    return IntensitySeries(
        zone=zone,
        kind=KIND,
        start_at=T0 - 40 * DAY,
        step_s=3600.0,
        values_gco2_per_kwh=400 + 150 * np.sin(hours / 24 * 2 * np.pi) + hours % 7,
        provenance=Provenance(provider="grid", detail="measured"),
    )


class World:
    """A service with a cached source and the embedded profile behind it."""

    def __init__(self, folder: Path, *, last_resort: HistoryProvider | None = None) -> None:
        self.folder = folder
        self.clock = ManualClock(T0)
        self.grid = FakeProvider({zone: truth(zone) for zone in ZONES}, name="grid")
        self.last_resort = last_resort or EmbeddedProvider()
        self.service = self.start()

    def start(self) -> ForecastService:
        def keep(guarded: HistoryProvider) -> CachedProvider:
            return CachedProvider(guarded, HistoryStore(self.folder / "history", "grid", KIND), FetchRule(), now=self.clock.now)

        links = [Link(name="grid", make=lambda: self.grid, keep=keep), Link(name=self.last_resort.name, make=lambda: self.last_resort)]
        breaker = BreakerRule(failures=3, open_s=60.0, most_open_s=1800.0)
        chain = ProviderChain(links, kind=KIND, now=self.clock.now, patience_s=PATIENCE_S, breaker=breaker)
        return ForecastService(
            zones=ZONES,
            provider=lambda: chain,
            forecaster=Ewma(),
            clock=self.clock,
            state_dir=self.folder,
            history_days=21,
            horizon_h=168.0,
        )

    def live(self, span: timedelta, every: timedelta = 10 * MINUTE, look: Callable[[], None] = lambda: None) -> None:
        """Let time pass, with a step of the service now and then."""
        end_at = self.clock.now() + span
        while self.clock.now() < end_at:
            self.clock.advance(min(every, end_at - self.clock.now()))
            self.service.step()
            look()

    def providers(self) -> set[str]:
        return {one.provenance.provider for one in self.service.snapshot().forecasts.values()}

    def medians(self) -> dict[str, Any]:
        return {zone: one.median.values_gco2_per_kwh.tolist() for zone, one in self.service.snapshot().forecasts.items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "state")
    assert world.service.step()
    return world


def test_a_day_without_the_source(world: World) -> None:
    world.live(6 * HOUR)
    before = world.service.snapshot()
    assert (before.issued_at, world.providers()) == (T0 + 6 * HOUR, {"grid"})
    world.grid.fail_after = world.grid.calls
    outage_at = world.clock.now()

    def within_patience() -> None:
        assert world.service.snapshot() is before, "forecasts stay"
        health = world.service.health()
        assert health.age_s == (world.clock.now() - before.issued_at).total_seconds(), "and their age is shown"
        assert health.version == before.version

    # The hour that has begun ends within the patience; the last answer was at its beginning.
    world.live(timedelta(seconds=PATIENCE_S) - 10 * MINUTE, look=within_patience)
    health = world.service.health()
    assert health.failures > 0
    assert "embedded stands in from 2026-03-20T21:00Z on" in health.problem
    assert health.sources[0].circuit is not Circuit.CLOSED

    world.live(10 * MINUTE)
    assert world.clock.now() == outage_at + timedelta(seconds=PATIENCE_S)
    stand_in = world.service.snapshot()
    assert world.providers() == {"embedded"}
    assert stand_in.issued_at == world.clock.now()
    for one in stand_in.forecasts.values():
        assert one.provenance.is_embedded
        assert one.provenance.detail.endswith("in place of grid")
    assert [zone.is_embedded for zone in world.service.health().zones] == [True, True]

    calls = world.grid.calls
    world.live(DAY - timedelta(seconds=PATIENCE_S))
    assert world.providers() == {"embedded"}
    assert world.service.snapshot().issued_at == world.clock.now(), "the stand-in is refreshed each hour"
    assert world.grid.calls - calls <= 21 * 2 * len(ZONES), "the source is only tried now and then"

    world.grid.fail_after = None
    world.live(HOUR + timedelta(seconds=1800))
    assert world.providers() == {"grid"}, "it serves again without anybody's doing"
    assert (world.service.problem, world.service.health().sources[0].circuit) == ("", Circuit.CLOSED)
    assert not any(one.provenance.is_embedded for one in world.service.snapshot().forecasts.values())
    past_at = outage_at + 5 * HOUR
    assert world.service.actual("DE", past_at, past_at + HOUR).at(past_at) == truth("DE").at(past_at), "the outage's hours are known now"


def test_without_a_stand_in_forecasts_stay_for_a_day_and_are_refused_when_they_are_too_old(tmp_path: Path) -> None:
    class Nothing(FakeProvider):
        def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
            raise ProviderUnavailable(self.name, zone, "away as well")

    world = World(tmp_path, last_resort=Nothing({"DE": truth("DE")}, name="other"))
    world.service.step()
    before = world.service.snapshot()
    world.grid.fail_after = world.grid.calls
    world.live(DAY)
    assert world.service.snapshot() is before
    assert before.require_fresh(world.clock.now(), 25 * 3600.0) is before
    with pytest.raises(StaleForecastError, match="issued at 2026-03-20T12:00Z, older than the 21600 s allowed"):
        before.require_fresh(world.clock.now(), 6 * 3600.0)
    assert "away as well" in world.service.problem
    world.grid.fail_after = None
    world.live(HOUR)
    assert world.service.snapshot().issued_at > before.issued_at


GARBAGE: dict[str, Callable[[IntensitySeries], IntensitySeries]] = {
    "zeros": lambda answer: replace(answer, values_gco2_per_kwh=np.zeros(len(answer))),
    "thousandfold": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh * 1000),
    "a thousandth": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh / 1000),
    "another zone": lambda answer: replace(answer, zone="FR"),
    "another kind": lambda answer: replace(answer, kind=IntensityKind.MARGINAL),
    "another day": lambda answer: replace(answer, start_at=answer.start_at - 3 * DAY),
    "cut off": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh[: len(answer) // 2]),
    "not numbers": lambda answer: replace(answer, values_gco2_per_kwh=np.full(len(answer), np.nan)),  # refused where it is made
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_hour_of_garbage_changes_nothing(world: World, tmp_path: Path, name: str) -> None:
    world.live(3 * HOUR)
    before, medians = world.service.snapshot(), world.medians()
    actual = world.service.actual("DE", T0 - DAY, T0)
    world.grid.distort = GARBAGE[name]

    def unchanged() -> None:
        assert world.service.snapshot() is before
        assert world.medians() == medians
        assert world.service.actual("DE", T0 - DAY, T0) == actual

    world.live(HOUR, look=unchanged)
    assert world.service.problem
    world.grid.distort = None
    world.live(HOUR)
    other = World(tmp_path / "never disturbed")
    other.service.step()
    other.live(5 * HOUR)
    assert world.clock.now() == other.clock.now()
    assert world.service.problem == ""
    assert world.medians() == other.medians(), "and nothing of it is left"
    assert world.service.actual("ES", T0 - DAY, T0 + 4 * HOUR) == other.service.actual("ES", T0 - DAY, T0 + 4 * HOUR)


def test_one_zone_that_fails_keeps_its_forecast_and_the_others_go_on(world: World) -> None:
    def only_es(answer: IntensitySeries) -> IntensitySeries:
        if answer.zone == "DE":
            raise ProviderUnavailable("grid", "DE", "no DE today")
        return answer

    world.grid.distort = only_es
    old = world.service.snapshot()["DE"]
    world.live(2 * HOUR)
    snapshot = world.service.snapshot()
    assert snapshot["DE"] == old or np.array_equal(snapshot["DE"].median.values_gco2_per_kwh, old.median.values_gco2_per_kwh)
    assert snapshot["DE"].issued_at == T0
    assert snapshot["ES"].issued_at > T0
    assert snapshot.issued_at == T0, "as old as the oldest of them, so that no limit of age is passed by"
    health = {zone.zone: zone for zone in world.service.health().zones}
    assert "no DE today" in health["DE"].problem
    assert (health["ES"].problem, health["DE"].age_s) == ("", 2 * 3600.0)
    version = world.service.version
    world.live(30 * MINUTE)
    assert world.service.version == version, "nothing is published while only the failing zone is tried again"
    world.grid.distort = None
    world.live(HOUR)
    assert world.service.snapshot()["DE"].issued_at > T0
    assert world.service.problem == ""


def test_a_restart_in_the_middle_of_an_outage_serves_what_there_was_and_keeps_the_patience(world: World) -> None:
    before = world.service.snapshot()
    world.grid.fail_after = world.grid.calls
    world.live(HOUR)
    world.service = world.start()
    after = world.service.snapshot()
    assert (after.version, after.issued_at) == (before.version, before.issued_at)
    world.live(HOUR)
    assert world.providers() == {"grid"}
    world.live(HOUR + 10 * MINUTE)
    assert world.providers() == {"embedded"}


def test_what_was_observed_before_an_outage_is_not_lost_to_the_profile(world: World) -> None:
    world.grid.fail_after = world.grid.calls
    world.live(5 * HOUR)
    assert world.providers() == {"embedded"}
    for service in (world.service, world.start()):
        assert service.actual("DE", T0 - 3 * HOUR, T0) == service.actual("DE", T0 - 10 * HOUR, T0)
        assert service.actual("DE", T0 - 3 * HOUR, T0).at(T0 - HOUR) == truth("DE").at(T0 - HOUR)
        assert service.actual("DE", T0, T0 + HOUR).provenance.is_embedded


def test_a_model_that_fails_changes_nothing(world: World) -> None:
    class Broken(Persistence):
        def forecast(self, *arguments: Any, **more: Any) -> dict[str, Forecast]:
            raise FloatingPointError("in somebody's model")

    before = world.service.snapshot()
    world.service._forecaster = Broken()
    world.live(2 * HOUR)
    assert world.service.snapshot() is before
    assert world.service.problem == "unexpected FloatingPointError: in somebody's model"
    with pytest.raises(OutsideDataError):
        world.service.actual("DE", T0, T0 + HOUR)


def test_looking_back_is_limited(world: World) -> None:
    for _ in range(2):
        world.service._looking_back.acquire()
    with pytest.raises(ProviderUnavailable, match="2 requests for the past are under way already"):
        world.service.actual("DE", T0 - 30 * DAY, T0 - 29 * DAY)
    world.service._looking_back.release()
    assert world.service.actual("DE", T0 - 30 * DAY, T0 - 29 * DAY).start_at == T0 - 30 * DAY
