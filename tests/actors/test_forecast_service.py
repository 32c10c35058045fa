"""The forecast service: it refreshes when an interval has ended, survives on its own state, and never goes back in silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.actors.forecast_state import HISTORY_FILE, STATE_FILE
from carbon_ray.actors.timekeeping import SharedReplayClock, cluster_clock
from carbon_ray.config.settings import ClockSettings
from carbon_ray.core.clock import ManualClock, SystemClock
from carbon_ray.core.errors import ConfigError, ForecastError, OutsideDataError, ProviderError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.naive import Persistence
from carbon_ray.testing import FakeProvider, PerfectForecaster

T0 = datetime(2022, 5, 2, 12, tzinfo=UTC)
FIRST_AT = T0 - timedelta(days=10)


def series(zone: str, days: int = 20) -> IntensitySeries:
    hours = np.arange(days * 24)
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=FIRST_AT,
        step_s=3600.0,
        values_gco2_per_kwh=300 + 100 * np.sin(hours / 24 * 2 * np.pi) + hours / 10,
        provenance=Provenance(provider="test"),
    )


TRUTH = {zone: series(zone) for zone in ("A", "B")}


class Bench:
    """A service with a fake provider that can be taken away."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.changes = folder, changes
        self.clock = ManualClock(T0 + timedelta(minutes=20))
        self.provider = FakeProvider(TRUTH)
        self.made = 0
        self.is_gone = False
        self.service = self.new_service()

    def make_provider(self) -> FakeProvider:
        self.made += 1
        if self.is_gone:
            raise ConfigError("the provider is gone")
        return self.provider

    def new_service(self) -> ForecastService:
        given: dict[str, Any] = {
            "zones": ("A", "B"),
            "provider": self.make_provider,
            "forecaster": Persistence(),
            "clock": self.clock,
            "state_dir": self.folder,
            "history_days": 7,
            "horizon_h": 48.0,
        }
        return ForecastService(**{**given, **self.changes})


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda **changes: Bench(tmp_path / "state", **changes)


def test_it_forecasts_all_zones_from_what_has_ended(make_bench: Callable[..., Bench]) -> None:
    service = make_bench().service
    with pytest.raises(ForecastError, match="the first refresh has not ended"):
        service.snapshot()
    assert service.step()
    snapshot = service.snapshot()
    assert (snapshot.version, set(snapshot.forecasts)) == (1, {"A", "B"})
    assert snapshot["A"].issued_at == T0 + timedelta(minutes=20)
    assert snapshot["A"].start_at == T0
    assert snapshot["A"].end_at >= T0 + timedelta(hours=48)
    assert service.actual("A", T0 - timedelta(hours=3), T0).end_at == T0, "the interval that runs is not history"


def test_it_refreshes_once_an_hour(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert [bench.service.step() for _ in range(3)] == [True, False, False]
    calls = bench.provider.calls
    bench.clock.advance(timedelta(minutes=39))
    assert not bench.service.step()
    assert bench.provider.calls == calls
    bench.clock.advance(timedelta(minutes=1))
    assert bench.service.step()
    assert bench.service.version == 2


def test_a_restart_serves_at_once_without_its_provider(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    before = bench.service.snapshot()
    bench.is_gone = True
    again = bench.new_service()
    after = again.snapshot()
    assert (after.version, after.issued_at) == (before.version, before.issued_at)
    for zone in ("A", "B"):
        np.testing.assert_array_equal(after[zone].median.values_gco2_per_kwh, before[zone].median.values_gco2_per_kwh)
    assert again.actual("A", T0 - timedelta(days=2), T0) == bench.service.actual("A", T0 - timedelta(days=2), T0)
    assert not again.step()
    assert again.problem == "the provider is gone"
    assert again.version == 1


def test_a_failing_provider_leaves_what_there_is_and_recovers(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    bench.provider.fail_after = bench.provider.calls
    bench.clock.advance(timedelta(hours=1))
    made = bench.made
    assert not bench.service.step()
    assert "told to fail" in bench.service.problem
    assert bench.service.snapshot().version == 1
    assert not bench.service.step(), "and it is tried again"
    assert bench.made == made + 1, "with a new provider"
    bench.provider.fail_after = None
    assert bench.service.step()
    assert (bench.service.version, bench.service.problem) == (2, "")


def test_before_the_first_success_the_problem_is_told(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.is_gone = True
    assert not bench.service.step()
    with pytest.raises(ForecastError, match="no forecast yet: the provider is gone"):
        bench.service.snapshot()
    with pytest.raises(ForecastError, match="the provider is gone"):
        bench.service.reach(T0 + timedelta(hours=1))


def test_a_short_history_is_taken_as_it_is(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(history_days=30)
    assert bench.service.step()
    with pytest.raises(OutsideDataError):
        bench.service.actual("A", T0, T0 + timedelta(hours=1))
    assert bench.service.actual("A", T0 - timedelta(days=2), T0).start_at <= T0 - timedelta(days=2)


def test_forecasts_reach_as_far_as_was_asked_from_then_on_and_over_a_restart(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    until_at = T0 + timedelta(hours=100)
    assert bench.service.reach(T0 + timedelta(hours=40)).version == 1, "that far it reaches already"
    snapshot = bench.service.reach(until_at)
    assert (snapshot.version, min(one.end_at for one in snapshot.forecasts.values()) >= until_at) == (2, True)
    assert bench.service.reach(until_at).version == 2
    again = bench.new_service()
    bench.clock.advance(timedelta(hours=1))
    again.step()
    assert min(one.end_at for one in again.snapshot().forecasts.values()) >= until_at


def test_what_cannot_be_reached_is_refused_and_not_asked_for_again(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(forecaster=PerfectForecaster(TRUTH))
    bench.service.step()
    with pytest.raises(ForecastError, match=r"no forecast of A, B reaches 2022-06-11T12:00Z: zone A: the truth covers"):
        bench.service.reach(T0 + timedelta(days=40))
    bench.clock.advance(timedelta(hours=1))
    assert bench.service.step(), "one impossible wish does not spoil the forecasts of all"


def test_one_source_that_is_away_is_not_told_once_for_each_of_many_zones(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(zones=tuple("ABCDEFG"))
    assert not bench.service.step()
    assert "unknown grid zone 'C'" in bench.service.problem
    assert "unknown grid zone 'E'" not in bench.service.problem
    assert bench.service.problem.endswith("; and 3 more zones")


def test_nothing_is_forecast_for_centuries(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    calls = bench.provider.calls
    with pytest.raises(ForecastError, match="nothing is forecast for more than 400 days"):
        bench.service.reach(T0.replace(year=9000))
    assert (bench.service.version, bench.provider.calls) == (1, calls)


def test_reaching_farther_asks_the_source_for_nothing_that_is_known(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    calls = bench.provider.calls
    assert bench.service.reach(T0 + timedelta(hours=100)).version == 2
    assert bench.provider.calls == calls


def test_a_zone_that_is_new_in_the_configuration_is_forecast_at_once(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(zones=("A",))
    bench.service.step()
    bench.changes = {}
    again = bench.new_service()
    assert set(again.reach(T0 + timedelta(hours=10)).forecasts) == {"A", "B"}


@pytest.mark.parametrize("file", [STATE_FILE, HISTORY_FILE])
@pytest.mark.parametrize("text", ["", "{", "5", '{"snapshot": 3}', '{"snapshot": {"version": 1, "issued_at": 7, "forecasts": {}}}', "\x00"])
def test_a_spoilt_state_file_is_a_fresh_start(make_bench: Callable[..., Bench], text: str, file: str) -> None:
    bench = make_bench()
    bench.service.step()
    (bench.folder / file).write_text(text)
    again = bench.new_service()
    assert again.version == (0 if file == STATE_FILE else 1), "without its history, forecasts are served all the same"
    with pytest.raises(OutsideDataError):
        bench.new_service().actual("A", T0, T0 + timedelta(hours=1))
    assert again.step()
    assert bench.new_service().version == again.version
    assert bench.new_service().actual("A", T0 - timedelta(hours=2), T0).end_at == T0


def test_a_state_that_cannot_be_written_is_served_all_the_same(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    bench = Bench(blocked / "state")
    assert bench.service.step()
    assert bench.service.snapshot().version == 1
    assert not bench.service.step()


def test_actual_raises_outside_of_what_came_true(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    with pytest.raises(OutsideDataError, match="has not come true yet"):
        bench.service.actual("A", T0 - timedelta(hours=1), T0)
    bench.service.step()
    assert bench.service.actual("A", T0 - timedelta(hours=1), T0).at(T0 - timedelta(hours=1)) == TRUTH["A"].at(T0 - timedelta(hours=1))
    with pytest.raises(OutsideDataError, match="has not come true yet"):
        bench.service.actual("A", T0 - timedelta(hours=1), T0 + timedelta(minutes=1))
    with pytest.raises(UnknownZoneError):
        bench.service.actual("C", T0 - timedelta(hours=1), T0)


def test_what_is_older_than_the_kept_history_is_asked_of_the_provider(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    old_at = T0 - timedelta(days=9)
    assert bench.service.actual("A", old_at, old_at + timedelta(hours=2)).at(old_at) == TRUTH["A"].at(old_at)
    with pytest.raises(ProviderError):
        bench.service.actual("A", T0 - timedelta(days=99), old_at)


# The cluster's clock


class Origin:
    """The key-value store's one key."""

    def __init__(self) -> None:
        self.text: str | None = None

    def read(self) -> str | None:
        return self.text

    def put(self, text: str) -> None:
        self.text = self.text or text


def test_a_replay_stands_until_it_is_started_and_then_runs_alike_everywhere() -> None:
    origin = Origin()
    first, second = (SharedReplayClock(T0, 3600.0, origin.read, origin.put) for _ in range(2))
    assert first.now() == first.now() == T0
    assert first.running() is None
    first.start()
    text = origin.text
    second.start()
    assert origin.text == text, "started once"
    assert first.running() == second.running()
    assert T0 <= first.now() <= second.now() <= first.now()
    assert (first.speedup, second.speedup) == (3600.0, 3600.0)


def test_a_replay_that_began_elsewhere_is_joined() -> None:
    origin = Origin()
    origin.text = "2020-01-01T00:00:00+00:00"
    clock = SharedReplayClock(T0, 2.0, origin.read, origin.put)
    before = clock.now()
    assert before > T0 + timedelta(days=365)
    clock.start()
    assert origin.text.startswith("2020"), "a start that came first holds"


def test_the_configuration_chooses_the_clock() -> None:
    origin = Origin()
    assert isinstance(cluster_clock(ClockSettings(), origin.read, origin.put), SystemClock)
    replay = cluster_clock(ClockSettings(mode="replay", start_at=T0, speedup=60.0), origin.read, origin.put)
    assert isinstance(replay, SharedReplayClock)
    assert (replay.now(), replay.speedup) == (T0, 60.0)
