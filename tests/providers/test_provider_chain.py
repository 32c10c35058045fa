"""Sources in order: who serves, who stands in and from when, and that neither kinds nor sources are ever mixed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carbon_ray.config.grid import grid_chain
from carbon_ray.config.settings import GridSettings
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import ConfigError, ProviderNoDataError, ProviderUnavailable, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers import registry
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.breaker import BreakerRule, Circuit
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.chain import Link, ProviderChain, waits_until
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.pieces import FetchRule
from carbon_ray.providers.recent import LAGS, recent
from carbon_ray.testing import FakeProvider

T0 = datetime(2026, 3, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KIND = IntensityKind.AVERAGE_LIFECYCLE
PATIENCE_S = 3 * 3600.0
BREAKER = BreakerRule(failures=3, open_s=60.0, most_open_s=600.0)


def source(name: str, value: float, *zones: str, kind: IntensityKind = KIND, days: int = 60) -> FakeProvider:
    def series(zone: str) -> IntensitySeries:
        return IntensitySeries(
            zone=zone,
            kind=kind,
            start_at=T0 - 30 * DAY,
            step_s=3600.0,
            values_gco2_per_kwh=np.full(24 * days, value),
            provenance=Provenance(provider=name, detail="measured"),
        )

    return FakeProvider({zone: series(zone) for zone in zones or ("DE", "FR")}, name=name)


class Bench:
    """A chain of fakes on a clock that is moved by hand."""

    def __init__(self, *sources: HistoryProvider, anew: bool = False) -> None:
        self.clock = ManualClock(T0)
        self.made = 0
        self.sources = sources
        links = [Link(name=one.name, make=self.maker(one), is_made_anew=anew) for one in sources]
        self.chain = ProviderChain(links, kind=KIND, now=self.clock.now, patience_s=PATIENCE_S, breaker=BREAKER)

    def maker(self, one: HistoryProvider) -> Callable[[], HistoryProvider]:
        def make() -> HistoryProvider:
            self.made += 1
            return one

        return make

    def newest(self, zone: str = "DE") -> IntensitySeries:
        now = self.clock.now()
        return self.chain.recent(zone, now - 7 * DAY, now)


def fail(one: FakeProvider) -> None:
    one.fail_after = one.calls


def test_the_first_that_answers_serves_as_if_it_were_alone() -> None:
    first, second = source("first", 100.0), source("second", 200.0)
    bench = Bench(first, second)
    assert isinstance(bench.chain, HistoryProvider)
    assert (bench.chain.name, bench.chain.kind, bench.chain.zones()) == ("first, else second", KIND, ("DE", "FR"))
    assert bench.newest() == first.history("DE", T0 - 7 * DAY, T0)
    assert bench.chain.history("DE", T0 - DAY, T0) == first.history("DE", T0 - DAY, T0)
    assert second.calls == 0


def test_without_any_answer_before_the_next_one_stands_in_at_once_and_says_so() -> None:
    first, second = source("first", 100.0), source("second", 200.0)
    fail(first)
    found = Bench(first, second).newest()
    assert set(found.values_gco2_per_kwh) == {200.0}
    assert found.provenance == Provenance(provider="second", detail="measured; in place of first")


def test_after_an_answer_the_next_one_waits_for_the_patience_and_then_gives_way_at_once() -> None:
    first, second = source("first", 100.0), source("second", 200.0)
    bench = Bench(first, second)
    bench.newest()
    fail(first)
    for _ in range(17):
        bench.clock.advance(timedelta(minutes=10))
        with pytest.raises(ProviderUnavailable, match="second stands in from 2026-03-20T03:00Z on"):
            bench.newest()
    assert second.calls == 0
    bench.clock.advance(timedelta(minutes=10))
    assert set(bench.newest().values_gco2_per_kwh) == {200.0}
    first.fail_after = None
    bench.clock.advance(timedelta(seconds=600))  # the longest that it is left alone
    assert bench.newest().provenance.provider == "first"
    assert [one.circuit for one in bench.chain.health()] == [Circuit.CLOSED, Circuit.CLOSED]


def test_each_stand_in_is_waited_for_in_its_turn() -> None:
    first, second, third = source("first", 100.0), source("second", 200.0), source("third", 300.0)
    bench = Bench(first, second, third)
    fail(first)
    bench.newest()
    fail(second)
    bench.clock.advance(HOUR)
    with pytest.raises(ProviderUnavailable, match="third stands in from 2026-03-20T03:00Z on"):
        bench.newest()
    bench.clock.advance(2 * HOUR)
    assert bench.newest().provenance.detail == "measured; in place of first, second"


def test_zones_are_waited_for_one_by_one() -> None:
    first, second = source("first", 100.0), source("second", 200.0)
    bench = Bench(first, second)
    bench.newest("DE")
    fail(first)
    with pytest.raises(ProviderUnavailable, match="stands in from"):
        bench.newest("DE")
    assert bench.newest("FR").provenance.provider == "second", "nothing is there to be kept for it"
    assert [one.zones for one in bench.chain.health()] == [("DE",), ("FR",)]


def test_who_does_not_know_a_zone_is_passed_over_without_waiting() -> None:
    bench = Bench(source("first", 100.0, "DE"), source("second", 200.0, "FR"))
    bench.newest("DE")
    assert bench.newest("FR").provenance == Provenance(provider="second", detail="measured")
    with pytest.raises(UnknownZoneError, match="unknown grid zone 'ES'"):
        bench.newest("ES")
    assert [one.failures for one in bench.chain.health()] == [0, 0]


def test_another_kind_never_stands_in() -> None:
    first, second = source("first", 100.0), source("second", 200.0, kind=IntensityKind.MARGINAL)
    fail(first)
    bench = Bench(first, second)
    with pytest.raises(ProviderUnavailable, match="second counts marginal, not average_lifecycle; kinds never stand in"):
        bench.newest()
    assert second.calls == 0


def test_an_answer_of_another_kind_is_refused() -> None:
    liar = source("liar", 100.0)
    liar.distort = lambda answer: replace(answer, kind=IntensityKind.MARGINAL)
    bench = Bench(liar, source("second", 200.0))
    assert bench.newest().provenance.provider == "second"
    assert "kinds are never mixed" in bench.chain.health()[0].problem


def test_a_failing_source_is_left_alone_and_probed_with_one_request() -> None:
    first = source("first", 100.0)
    bench = Bench(first)
    fail(first)
    for _ in range(20):
        with pytest.raises(ProviderUnavailable):
            bench.newest()
    assert first.calls == 3
    assert bench.chain.health()[0].circuit is Circuit.OPEN
    with pytest.raises(ProviderUnavailable, match="left alone until 2026-03-20T00:01:00Z after first, zone DE: told to fail"):
        bench.newest()
    bench.clock.advance(timedelta(seconds=60))
    assert bench.chain.health()[0].circuit is Circuit.HALF_OPEN
    for _ in range(5):
        with pytest.raises(ProviderUnavailable):
            bench.newest()
    assert first.calls == 4
    first.fail_after = None
    bench.clock.advance(timedelta(seconds=120))
    bench.newest()
    assert bench.chain.health()[0] == replace(bench.chain.health()[0], circuit=Circuit.CLOSED, failures=0, open_until_at=None, problem="")


def test_a_plug_in_that_raises_anything_is_a_source_that_failed() -> None:
    first = source("first", 100.0)

    def burst(answer: IntensitySeries) -> IntensitySeries:
        raise ZeroDivisionError("in somebody's code")

    first.distort = burst
    bench = Bench(first, source("second", 200.0))
    assert bench.newest().provenance.provider == "second"
    assert "failed unexpectedly with ZeroDivisionError: in somebody's code" in bench.chain.health()[0].problem


def test_local_sources_are_made_anew_after_a_failure_and_others_kept() -> None:
    for anew, made in ((True, 3), (False, 1)):
        first = source("first", 100.0)
        fail(first)
        bench = Bench(first, anew=anew)
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                bench.newest()
        first.fail_after = None
        bench.newest()
        assert bench.made == made


@pytest.mark.parametrize(
    ("answers", "until"),
    [((), None), ((None,), None), ((T0,), T0 + timedelta(hours=3)), ((T0, None, T0 + HOUR), T0 + timedelta(hours=4))],
)
def test_until_when_a_stand_in_waits(answers: tuple[datetime | None, ...], until: datetime | None) -> None:
    assert waits_until(answers, PATIENCE_S) == until


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError):
        ProviderChain([], kind=KIND, now=ManualClock(T0).now)


# Sources that are late


@pytest.mark.parametrize("late_h", [0, 1, 2, 5, 30, 72])
def test_a_late_source_is_taken_as_it_is(late_h: int) -> None:
    late = source("late", 100.0)
    bench = Bench(late, source("second", 200.0))
    late.ends_at = T0 - late_h * HOUR
    found = bench.newest()
    assert found.provenance.provider == "late"
    assert timedelta(0) <= late.ends_at - found.end_at <= 24 * HOUR
    calls = late.calls
    assert bench.newest() == found
    assert late.calls - calls <= 4, "how late it was is remembered"


def test_a_source_that_has_caught_up_is_found_so() -> None:
    late = source("late", 100.0)
    bench = Bench(late)
    late.ends_at = T0 - 3 * HOUR
    bench.newest()
    late.ends_at = None
    ends = [bench.newest().end_at for _ in range(4)]
    assert ends == [T0 - 2 * HOUR, T0 - HOUR, T0, T0]


def test_a_source_that_is_too_late_has_none() -> None:
    late = source("late", 100.0)
    late.ends_at = T0 - 73 * HOUR
    bench = Bench(late)
    with pytest.raises(ProviderNoDataError, match="has nothing from"):
        bench.newest()
    assert bench.chain.health()[0].failures == 0, "it answers"
    bench = Bench(late, source("second", 200.0))
    assert bench.newest().provenance.provider == "second"
    late.ends_at = T0 - 5 * HOUR
    with pytest.raises(ProviderNoDataError):
        recent(late, "DE", T0 - 7 * DAY, T0, stale_after=timedelta(hours=4))


def test_a_short_history_is_taken_as_it_is_also_before_a_stand_in_with_more() -> None:
    bench = Bench(source("first", 100.0), source("second", 200.0))
    found = bench.chain.recent("DE", T0 - 90 * DAY, T0)
    assert (found.provenance.provider, found.start_at) == ("first", T0 - 21 * DAY)
    assert LAGS[0] == timedelta(0)


# From the configuration


def made(tmp_path: Path, clock: ManualClock, **grid: Any) -> ProviderChain:
    return grid_chain(GridSettings.model_validate(grid), cache_dir=tmp_path / "cache", now=clock.now)


def trace(path: Path, hours: int, value: float = 300.0, zone: str = "DE") -> Path:
    rows = [f"{zone},{T0 - 10 * DAY + hour * HOUR:%Y-%m-%dT%H:%MZ},{value},average_lifecycle" for hour in range(hours)]
    path.write_text("\n".join(["zone,time_utc,gco2_per_kwh,kind", *rows]) + "\n")
    return path


def test_a_trace_that_ends_is_followed_by_the_embedded_profile_which_is_marked(tmp_path: Path) -> None:
    clock = ManualClock(T0)
    path = trace(tmp_path / "trace.csv", 24 * 10)
    chain = made(tmp_path, clock, provider="trace", path=path, fallbacks=[{"provider": "embedded"}], stale_after_h=2)
    assert chain.recent("DE", T0 - 7 * DAY, T0).provenance.provider != "embedded"
    assert chain.recent("FR" if "FR" in EmbeddedProvider().zones() else "ES", T0 - 7 * DAY, T0).provenance.is_embedded
    clock.advance(6 * HOUR)
    found = chain.recent("DE", clock.now() - 7 * DAY, clock.now())
    assert found.provenance.is_embedded
    assert found.provenance.detail.endswith("in place of trace")
    trace(path, 24 * 10 + 6)
    found = chain.recent("DE", clock.now() - 7 * DAY, clock.now())
    assert not found.provenance.is_embedded, "the file is read again"
    assert not (tmp_path / "cache").exists(), "what is on this machine is not kept twice"


def test_a_source_that_cannot_be_made_does_not_stop_the_others(tmp_path: Path) -> None:
    clock = ManualClock(T0)
    chain = made(tmp_path, clock, provider="no_such_source", fallbacks=[{"provider": "embedded"}])
    assert chain.recent("DE", T0 - 7 * DAY, T0).provenance.is_embedded
    assert "unknown provider 'no_such_source'" in chain.health()[0].problem
    assert "DE" in chain.zones()


def test_patience_outlasts_a_restart_by_what_is_on_disk(tmp_path: Path) -> None:
    clock = ManualClock(T0)
    first, second = source("first", 100.0), source("second", 200.0)

    def chain() -> ProviderChain:
        def keep(guarded: HistoryProvider) -> CachedProvider:
            return CachedProvider(guarded, HistoryStore(tmp_path, "first", KIND), FetchRule(), now=clock.now)

        links = [Link(name="first", make=lambda: first, keep=keep), Link(name="second", make=lambda: second)]
        return ProviderChain(links, kind=KIND, now=clock.now, patience_s=PATIENCE_S)

    chain().recent("DE", T0 - 7 * DAY, T0)
    fail(first)
    clock.advance(HOUR)
    with pytest.raises(ProviderUnavailable, match="second stands in from 2026-03-20T03:00Z on"):
        chain().recent("DE", clock.now() - 7 * DAY, clock.now())
    clock.advance(2 * HOUR)
    assert chain().recent("DE", clock.now() - 7 * DAY, clock.now()).provenance.provider == "second"


def test_what_is_not_on_this_machine_is_kept_by_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, plug_in = ManualClock(T0), types.ModuleType("remote_source_of_this_test")
    made_sources: list[FakeProvider] = []

    def remote(area: str = "all") -> FakeProvider:
        made_sources.append(source("remote", 100.0 if area == "all" else 120.0))
        return made_sources[-1]

    plug_in.make = remote  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, plug_in.__name__, plug_in)
    found = EntryPoints([EntryPoint(name="remote", value=f"{plug_in.__name__}:make", group=registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    for _ in range(2):
        made(tmp_path, clock, provider="remote").recent("DE", T0 - 7 * DAY, T0)
    assert [one.calls for one in made_sources] == [1], "the second process finds it on disk, and does not even open the source"
    other = made(tmp_path, clock, provider="remote", options={"area": "south"}).recent("DE", T0 - 7 * DAY, T0)
    assert set(other.values_gco2_per_kwh) == {120.0}, "other settings, other answers"
    assert len(list((tmp_path / "cache").rglob("*.history"))) == 2
    made(tmp_path / "elsewhere", clock, provider="remote", cache={"enabled": False}).recent("DE", T0 - 7 * DAY, T0)
    assert not (tmp_path / "elsewhere").exists()


def kept_chain(tmp_path: Path, clock: ManualClock, first: FakeProvider, second: FakeProvider) -> ProviderChain:
    def keep(guarded: HistoryProvider) -> CachedProvider:
        return CachedProvider(guarded, HistoryStore(tmp_path, "first", KIND), FetchRule(), now=clock.now)

    links = [Link(name="first", make=lambda: first, keep=keep), Link(name="second", make=lambda: second)]
    return ProviderChain(links, kind=KIND, now=clock.now, patience_s=PATIENCE_S, breaker=BREAKER)


def test_what_is_kept_is_served_while_its_source_is_left_alone_and_is_no_answer_of_it(tmp_path: Path) -> None:
    clock, first, second = ManualClock(T0), source("first", 100.0), source("second", 200.0)
    chain = kept_chain(tmp_path, clock, first, second)
    chain.recent("DE", T0 - 20 * DAY, T0)
    fail(first)
    for _ in range(17):
        clock.advance(timedelta(minutes=10))
        with pytest.raises(ProviderUnavailable, match="second stands in from 2026-03-20T03:00Z on"):
            chain.recent("DE", clock.now() - 20 * DAY, clock.now())
        past = chain.history("DE", T0 - 19 * DAY, T0 - 18 * DAY)
        assert past.provenance.provider == "first"
    assert chain.health()[0].failures >= 3
    clock.advance(timedelta(minutes=10))
    assert chain.recent("DE", clock.now() - 20 * DAY, clock.now()).provenance.provider == "second", "looking back keeps nobody waiting"


def test_a_source_that_the_cache_does_not_believe_is_left_alone_and_stood_in_for(tmp_path: Path) -> None:
    clock, first, second = ManualClock(T0), source("first", 100.0), source("second", 200.0)
    chain = kept_chain(tmp_path, clock, first, second)
    chain.recent("DE", T0 - 20 * DAY, T0)
    first.distort = lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh * 3)
    clock.advance(HOUR)
    calls = first.calls
    for _ in range(20):
        with pytest.raises(ProviderUnavailable):
            chain.recent("DE", clock.now() - 20 * DAY, clock.now())
    assert first.calls - calls == 3
    assert chain.health()[0].left_alone == ("DE",)
    assert chain.health()[0].circuit is Circuit.CLOSED, "it answers"
    clock.advance(2 * HOUR)
    assert chain.recent("DE", clock.now() - 20 * DAY, clock.now()).provenance.provider == "second"
