"""Generation and forecasts on disk: asked for once, again while they may be revised, served while the source is away, never mixed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import ProviderAccessError, ProviderResponseError, ProviderUnavailable
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers.base import Capabilities, covering
from carbon_ray.providers.beside_store import hourly, hours_to_ask, laid_over, window
from carbon_ray.providers.breaker import BreakerRule
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.chain import Link, ProviderChain
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.pieces import FetchRule

T0 = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KIND = IntensityKind.AVERAGE_LIFECYCLE
RULE = FetchRule(settle_s=48 * 3600.0, recheck_s=1800.0)


def mix_of(start_at: datetime, gas: FloatArray, step_s: float = 3600.0) -> GenerationMix:
    power = {Fuel.GAS: gas, Fuel.WIND: np.where(np.isnan(gas), np.nan, 50.0)}
    return GenerationMix(zone="DE", start_at=start_at, step_s=step_s, power_mw=power, provenance=Provenance(provider="grid"))


class Source:
    """Tells quarter hours of generation, history and forecasts; `level` is what it says now, `fails` what it raises."""

    name, kind = "grid", KIND

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.level, self.fails = clock, 100.0, dict[str, Exception]()
        self.asked: list[tuple[str, datetime, datetime]] = []
        self.ends_at: datetime | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(history=True, forecast=True, mix=True, marginal=False, zones=("DE",), resolution_s=900.0, horizon_s=48 * 3600.0)

    def zones(self) -> tuple[str, ...]:
        return ("DE",)

    def _note(self, what: str, start_at: datetime, end_at: datetime) -> None:
        self.asked.append((what, start_at, end_at))
        if what in self.fails:
            raise self.fails[what]

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        self._note("history", start_at, end_at)
        hours = 24 * 60
        series = IntensitySeries(
            zone=zone,
            kind=KIND,
            start_at=T0 - 40 * DAY,
            step_s=3600.0,
            values_gco2_per_kwh=np.full(hours, 300.0),
            provenance=Provenance(provider="grid"),
        )
        return covering(series, start_at, end_at, provider="grid")

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        self._note("mix", start_at, end_at)
        last_at = min(end_at, self.ends_at or end_at, self.clock.now())
        quarters = (last_at - start_at) // timedelta(minutes=15)
        return mix_of(start_at, np.full(quarters, self.level), 900.0) if quarters > 0 else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        now = self.clock.now()
        self._note("forecast", now, now + timedelta(seconds=horizon_s))
        return Forecast(
            zone=zone,
            kind=KIND,
            issued_at=now,
            start_at=now.replace(minute=0),
            step_s=3600.0,
            quantiles_gco2_per_kwh={0.5: np.full(24, self.level)},
            forecaster="grid",
            provenance=Provenance(provider="grid"),
        )


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(T0)
        self.source = Source(self.clock)
        self.folder = folder
        self.restart()

    def restart(self) -> None:
        def keep(guarded: object) -> CachedProvider:
            return CachedProvider(guarded, HistoryStore(self.folder, "grid", KIND), RULE, now=self.clock.now)  # type: ignore[arg-type]

        link = Link(name="grid", make=lambda: self.source, keep=keep)  # type: ignore[arg-type, return-value]
        self.chain = ProviderChain([link], kind=KIND, now=self.clock.now, breaker=BreakerRule(failures=2, open_s=60.0))
        self.chain.recent("DE", T0 - 7 * DAY, self.clock.now())

    def count(self, what: str) -> int:
        return sum(one[0] == what for one in self.source.asked)

    def mix(self, days: int = 7) -> GenerationMix:
        found = self.chain.mix("DE", self.clock.now() - days * DAY, self.clock.now())
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_generation_is_asked_for_once_and_kept_as_hourly_means(bench: Bench) -> None:
    first = bench.mix()
    assert (first.start_at, first.end_at, first.step_s) == (T0 - 7 * DAY, T0, 3600.0)
    assert set(first.power_mw[Fuel.GAS]) == {100.0}
    bench.restart()
    again = bench.mix()
    assert bench.count("mix") == 1, "from disk"
    np.testing.assert_array_equal(again.power_mw[Fuel.WIND], first.power_mw[Fuel.WIND])
    assert again.provenance == first.provenance


def test_what_may_be_revised_is_asked_for_again_and_replaced(bench: Bench) -> None:
    bench.mix()
    bench.source.level = 80.0
    bench.clock.advance(HOUR)
    found = bench.mix()
    what, start_at, end_at = bench.source.asked[-1]
    assert (what, start_at, end_at) == ("mix", T0 - 48 * HOUR, T0 + HOUR), "what has settled is not asked for again"
    assert list(found.power_mw[Fuel.GAS][[0, -50, -49, -1]]) == [100.0, 100.0, 80.0, 80.0]


def test_a_source_that_is_away_is_served_from_what_is_kept(bench: Bench) -> None:
    before = bench.mix()
    bench.source.fails["mix"] = ProviderUnavailable("grid", "DE", "away")
    bench.clock.advance(5 * HOUR)
    found = bench.mix()
    assert found.end_at == before.end_at
    with pytest.raises(ProviderUnavailable):
        bench.chain.mix("DE", T0 - 90 * DAY, T0 - 89 * DAY)


def test_a_forecast_is_asked_for_again_after_a_while_and_outlives_its_source(bench: Bench) -> None:
    first = bench.chain.forecast("DE", 86400.0)
    assert first is not None
    bench.clock.advance(timedelta(minutes=20))
    bench.restart()
    again = bench.chain.forecast("DE", 86400.0)
    assert again is not None
    assert (again.issued_at, bench.count("forecast")) == (first.issued_at, 1)
    bench.clock.advance(timedelta(minutes=20))
    newer = bench.chain.forecast("DE", 86400.0)
    assert newer is not None
    assert newer.issued_at > first.issued_at
    bench.source.fails["forecast"] = ProviderUnavailable("grid", "DE", "away")
    bench.clock.advance(20 * HOUR)
    last = bench.chain.forecast("DE", 86400.0)
    assert last is not None
    assert last.issued_at == newer.issued_at, "with the instant at which it was issued"
    bench.clock.advance(5 * HOUR)
    with pytest.raises(ProviderUnavailable):
        bench.chain.forecast("DE", 86400.0)


def test_a_plan_without_forecasts_never_costs_the_history(bench: Bench) -> None:
    bench.source.fails = {"forecast": ProviderAccessError("grid", "DE", "not in the plan"), "mix": ValueError("a fault of a plug-in")}
    for _ in range(5):
        with pytest.raises(ProviderAccessError if bench.count("forecast") < 2 else ProviderUnavailable):
            bench.chain.forecast("DE", 86400.0)
        with pytest.raises(ProviderResponseError if bench.count("mix") < 2 else ProviderUnavailable):
            bench.mix()
    assert (bench.count("forecast"), bench.count("mix")) == (2, 2), "it is left alone with that"
    bench.clock.advance(HOUR)
    assert bench.chain.recent("DE", T0 - 7 * DAY, bench.clock.now()).end_at == bench.clock.now()
    (health,) = bench.chain.health()
    assert (health.failures, health.left_alone, health.problem) == (0, (), "")


@pytest.mark.parametrize("what", ["mix", "forecast"])
@pytest.mark.parametrize("how", ["cut", "flipped", "other zone", "other version"])
def test_a_damaged_file_is_fetched_again(bench: Bench, what: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    ask: Callable[[], object] = bench.mix if what == "mix" else lambda: bench.chain.forecast("DE", 86400.0)
    ask()
    (path,) = bench.folder.rglob(f"DE.{what}")
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-9],
            "flipped": data[:-9] + b"x" + data[-8:],
            "other zone": data.replace(b'"DE"', b'"ES"'),
            "other version": data.replace(f"{what} 1".encode(), f"{what} 2".encode()),
        }[how]
    )
    assert ask() is not None
    assert bench.count(what) == 2
    assert "is not usable" in caplog.text


def test_what_is_no_answer_is_refused(bench: Bench) -> None:
    bench.source.forecast = lambda zone, horizon_s: replace_zone(Source(bench.clock).forecast(zone, horizon_s))  # type: ignore[method-assign]
    with pytest.raises(ProviderResponseError, match="forecast zone ES"):
        bench.chain.forecast("DE", 3600.0)


def replace_zone(forecast: Forecast) -> Forecast:
    return replace(forecast, zone="ES")


def test_means_of_hours_leave_gaps_where_a_part_is_missing() -> None:
    quarters = np.array([1.0, 2, 3, 4, 5, np.nan, 7, 8, 9, 10, 11, 12, 13])
    found = hourly(mix_of(T0 - timedelta(minutes=0), quarters, 900.0))
    assert found is not None
    np.testing.assert_array_equal(found.power_mw[Fuel.GAS], [2.5, np.nan, 10.5])
    late = hourly(mix_of(T0 + timedelta(minutes=15), quarters, 900.0))
    assert late is not None
    assert late.start_at == T0 + HOUR
    assert hourly(mix_of(T0, quarters[:3], 900.0)) is None
    assert hourly(mix_of(T0, quarters, 7200.0)) is None
    assert hourly(mix_of(T0 + timedelta(minutes=7), quarters, 900.0)) is None


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(0, 100), st.booleans()), min_size=1, max_size=6)


@settings(deadline=None)
@given(spans)
def test_the_newest_answer_counts_for_every_hour_of_its_span(answers: list[tuple[int, int, int, bool]]) -> None:
    kept, expected = None, dict[int, float]()
    for number, (first, count, level, is_there) in enumerate(answers):
        span = (T0 + first * HOUR, T0 + (first + count) * HOUR)
        new = mix_of(span[0], np.full(count, float(level))) if is_there else None
        kept = laid_over(kept, new, span, T0 + number * HOUR)
        if kept is not None:
            expected |= {hour: float(level) if is_there else np.nan for hour in range(first, first + count)}
    there = {hour: value for hour, value in expected.items() if value == value}
    found = None if kept is None else window(kept.mix, T0 - DAY, T0 + 10 * DAY)
    if found is None:
        assert not there
        return
    gas = found.power_mw[Fuel.GAS]
    assert {(found.start_at - T0) // HOUR + index: value for index, value in enumerate(gas.tolist()) if value == value} == there


def test_only_hours_that_may_have_changed_are_asked_for() -> None:
    assert hours_to_ask(None, T0, T0 + DAY, T0 + DAY, RULE) == (T0, T0 + DAY)
    kept = laid_over(None, mix_of(T0, np.full(24, 1.0)), (T0, T0 + DAY), T0 + DAY)
    assert kept is not None
    for age, asked in (
        (timedelta(minutes=29), None),
        (timedelta(minutes=31), (T0, T0 + DAY)),
        (3 * DAY, (T0, T0 + DAY)),
    ):
        assert hours_to_ask(kept, T0, T0 + DAY, T0 + DAY + age, RULE) == asked
    settled = laid_over(kept, mix_of(T0, np.full(24, 1.0)), (T0, T0 + DAY), T0 + 3 * DAY)
    assert hours_to_ask(settled, T0, T0 + DAY, T0 + 30 * DAY, RULE) is None
    assert hours_to_ask(settled, T0 - HOUR, T0 + DAY, T0 + 30 * DAY, RULE) == (T0 - HOUR, T0)
