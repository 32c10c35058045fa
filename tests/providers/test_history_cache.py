"""The cache of history: fetched once, revised where sources revise, safe on disk, and never the reason of a failure."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import ProviderResponseError, ProviderUnavailable, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.pieces import FetchRule, Piece, joined, span_to_ask, with_piece
from carbon_ray.testing import FakeProvider

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
RULE = FetchRule(settle_s=48 * 3600.0, recheck_s=1800.0)
KIND = IntensityKind.AVERAGE_LIFECYCLE


def series(start_h: int, count: int, value: float = 100.0, *, step_s: float = 3600.0, detail: str = "") -> IntensitySeries:
    return IntensitySeries(
        zone="DE",
        kind=KIND,
        start_at=T0 + start_h * HOUR,
        step_s=step_s,
        values_gco2_per_kwh=np.full(count, value) + np.arange(count),
        provenance=Provenance(provider="test", detail=detail),
    )


def piece(start_h: int, count: int, fetched_h: float, value: float = 100.0, **more: Any) -> Piece:
    return Piece(series=series(start_h, count, value, **more), fetched_at=T0 + fetched_h * HOUR)


# Pieces


def test_the_later_answer_wins_whatever_comes_first() -> None:
    old, new = piece(0, 10, 50, 100.0), piece(4, 3, 51, 500.0)
    for one, other in ((old, new), (new, old)):
        found = with_piece(with_piece((), one, RULE), other, RULE)
        whole = joined(found, T0, T0 + 10 * HOUR)
        assert whole is not None
        assert list(whole.values_gco2_per_kwh) == [100, 101, 102, 103, 500, 501, 502, 107, 108, 109]


def test_final_neighbours_of_one_provenance_become_one() -> None:
    found = with_piece(with_piece((), piece(0, 5, 99), RULE), piece(5, 5, 100), RULE)
    assert [(len(one.series), one.fetched_at) for one in found] == [(10, T0 + 100 * HOUR)]
    found = with_piece(with_piece((), piece(0, 5, 99), RULE), piece(5, 5, 100, detail="another file"), RULE)
    assert [len(one.series) for one in found] == [5, 5]
    assert len(with_piece(with_piece((), piece(0, 5, 20), RULE), piece(5, 5, 21), RULE)) == 2, "provisional ones keep their own time"


def test_another_grid_of_intervals_replaces_all() -> None:
    found = with_piece((piece(0, 10, 50),), piece(20, 8, 60, step_s=900.0), RULE)
    assert [one.series.step_s for one in found] == [900.0]


def test_provenance_is_the_newest_with_what_differs_written_out() -> None:
    pieces = [piece(hour, 1, 90 + hour, detail=f"answer {hour}") for hour in range(6)]
    whole = joined(pieces, T0, T0 + 6 * HOUR)
    assert whole is not None
    assert whole.provenance.detail == "answer 5; answer 4; answer 3 and 3 more"
    only = joined(pieces, T0 + HOUR, T0 + 2 * HOUR)
    assert only is not None
    assert only.provenance.detail == "answer 1"


@pytest.mark.parametrize(
    ("pieces", "now_h", "wanted"),
    [
        ((), 10.0, (0, 10)),
        ((piece(0, 10, 100),), 100.0, None),  # final
        ((piece(0, 10, 10),), 10.4, None),  # provisional, but just fetched
        ((piece(0, 10, 10),), 10.5, (0, 10)),
        ((piece(0, 10, 53),), 60.0, (5, 10)),  # the first five were two days old
        ((piece(0, 4, 100), piece(6, 4, 100)), 100.0, (4, 6)),
        ((piece(2, 2, 100), piece(6, 2, 100)), 100.0, (0, 10)),
        ((piece(0, 10, 9.9),), 9.95, None),
        ((piece(0, 10, 9.9),), 10.0, (9, 10)),  # the last one was under way, and has another value now
    ],
)
def test_what_is_asked_for_again(pieces: tuple[Piece, ...], now_h: float, wanted: tuple[int, int] | None) -> None:
    span = span_to_ask(pieces, T0, T0 + 10 * HOUR, now=T0 + now_h * HOUR, rule=RULE)
    assert span == (wanted and (T0 + wanted[0] * HOUR, T0 + wanted[1] * HOUR))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.one_of(st.integers(0, 47), st.integers(0, 200))), min_size=1, max_size=12)
)
def test_pieces_stay_disjoint_in_order_and_say_what_was_said_last(answers: list[tuple[int, int, int]]) -> None:
    found: tuple[Piece, ...] = ()
    latest: dict[int, tuple[int, int, float]] = {}
    for number, (start_h, count, fetched_h) in enumerate(answers):
        one = piece(start_h, count, fetched_h, 1000.0 * number)
        found = with_piece(found, one, RULE)
        for hour, value in zip(range(start_h, start_h + count), one.series.values_gco2_per_kwh, strict=True):
            if hour not in latest or (fetched_h, number) >= latest[hour][:2]:
                latest[hour] = (fetched_h, number, float(value))
    starts = [one.series.start_at for one in found]
    assert starts == sorted(starts)
    assert all(one.series.end_at <= other.series.start_at for one, other in pairwise(found))
    held = {
        round((one.series.start_at - T0) / HOUR) + index: float(value)
        for one in found
        for index, value in enumerate(one.series.values_gco2_per_kwh)
    }
    assert set(held) == set(latest)
    if max(fetched_h for _, _, fetched_h in answers) < 48:  # final neighbours share the time of the later one
        assert held == {hour: value for hour, (_, _, value) in latest.items()}


# The cached source


class Bench:
    """A source behind a cache."""

    def __init__(self, folder: Path, days: int = 60) -> None:
        self.clock = ManualClock(T0 + 30 * DAY)
        self.truth = series(0, days * 24)
        self.source = FakeProvider({"DE": self.truth})
        self.folder = folder
        self.cached = self.new()

    def new(self) -> CachedProvider:
        return CachedProvider(self.source, HistoryStore(self.folder, "fake", KIND), RULE, now=self.clock.now)

    def last(self, days: int) -> IntensitySeries:
        now = self.clock.now()
        return self.cached.history("DE", now - days * DAY, now)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def test_history_is_fetched_once_also_over_a_restart(bench: Bench) -> None:
    assert isinstance(bench.cached, HistoryProvider)
    assert bench.last(20) == bench.truth.window(T0 + 10 * DAY, T0 + 30 * DAY)
    assert bench.source.calls == 1
    bench.cached = bench.new()
    assert bench.last(20) == bench.truth.window(T0 + 10 * DAY, T0 + 30 * DAY)
    assert bench.source.calls == 1
    bench.clock.advance(HOUR)
    assert bench.last(20).end_at == bench.clock.now()
    _, start_at, end_at = bench.source.asked[-1]
    assert (start_at, end_at) == (T0 + 28 * DAY, T0 + 30 * DAY + HOUR), "what was provisional, and what is new"
    assert bench.cached.fetched_at("DE") == bench.clock.now()


def test_days_of_hours_asks_for_two_days_each_and_stays_small(bench: Bench) -> None:
    for _ in range(24 * 4):
        bench.last(20)
        bench.clock.advance(HOUR)
    assert all(end_at - start_at <= 2 * DAY + HOUR for _, start_at, end_at in bench.source.asked[1:])
    stored = HistoryStore(bench.folder, "fake", KIND).read("DE")
    assert len(stored) <= 51, "final hours are put together"


def test_revisions_replace(bench: Bench) -> None:
    bench.last(20)
    bench.source.distort = lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh + 7.0)
    bench.clock.advance(HOUR)
    found = bench.last(20).values_gco2_per_kwh - bench.truth.window(bench.clock.now() - 20 * DAY, bench.clock.now()).values_gco2_per_kwh
    assert list(found[:-49]) == [0.0] * (len(found) - 49), "older than two days: final"
    assert list(found[-49:]) == [7.0] * 49


def test_provenance_comes_back_from_disk(bench: Bench) -> None:
    bench.source.distort = lambda answer: replace(answer, provenance=Provenance(provider="grid", detail="estimated", is_embedded=True))
    bench.last(3)
    bench.cached = bench.new()
    assert bench.last(3).provenance == Provenance(provider="grid", detail="estimated", is_embedded=True)
    assert bench.source.calls == 1


def test_a_source_that_is_away_leaves_what_is_stored(bench: Bench) -> None:
    bench.last(20)
    bench.source.fail_after = bench.source.calls
    bench.clock.advance(HOUR)
    now = bench.clock.now()
    assert bench.cached.history("DE", now - 10 * DAY, now - HOUR).end_at == now - HOUR, "stored, though it should be looked at again"
    with pytest.raises(ProviderUnavailable, match="told to fail"):
        bench.last(20)
    bench.source.fail_after = None
    with pytest.raises(UnknownZoneError):
        bench.cached.history("XX", now - DAY, now)


def test_an_hour_that_was_under_way_is_not_served_as_if_it_had_ended(bench: Bench) -> None:
    bench.clock.advance(timedelta(minutes=55))
    bench.last(3)
    bench.source.fail_after = bench.source.calls
    bench.clock.advance(timedelta(minutes=5))
    with pytest.raises(ProviderUnavailable):
        bench.last(3)
    bench.source.fail_after = None
    assert bench.last(3).end_at == bench.clock.now()


def test_a_source_that_changes_from_hours_to_quarters_is_asked_for_all(bench: Bench) -> None:
    bench.last(5)
    quarters = series(0, 60 * 96, step_s=900.0)
    bench.source = FakeProvider({"DE": quarters})
    bench.cached = bench.new()
    bench.clock.advance(HOUR)
    found = bench.last(5)
    assert (found.step_s, found.end_at - found.start_at) == (900.0, 5 * DAY)
    assert found == quarters.window(found.start_at, found.end_at)


GARBAGE: dict[str, Callable[[IntensitySeries], IntensitySeries]] = {
    "zeros": lambda answer: replace(answer, values_gco2_per_kwh=np.zeros(len(answer))),
    "kilograms": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh / 1000),
    "tonnes": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh * 1000),
    "tripled": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh * 3),
    "another kind": lambda answer: replace(answer, kind=IntensityKind.MARGINAL),
    "another zone": lambda answer: replace(answer, zone="FR"),
    "another time": lambda answer: replace(answer, start_at=answer.start_at - DAY),
    "cut short": lambda answer: replace(answer, values_gco2_per_kwh=answer.values_gco2_per_kwh[:-1]),
    "too much": lambda answer: replace(answer, values_gco2_per_kwh=np.append(answer.values_gco2_per_kwh, [1.0])),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_and_nothing_of_it_is_stored(bench: Bench, name: str) -> None:
    bench.last(20)
    file = HistoryStore(bench.folder, "fake", KIND).path("DE")
    before = file.read_bytes()
    bench.source.distort = GARBAGE[name]
    bench.clock.advance(HOUR)
    for _ in range(6):
        with pytest.raises(ProviderResponseError, match=r"answered with|contradicts most"):
            bench.last(20)
        bench.clock.advance(timedelta(minutes=10))
    assert file.read_bytes() == before
    bench.source.distort = None
    assert bench.last(20) == bench.truth.window(bench.clock.now() - 20 * DAY, bench.clock.now())


def test_a_source_that_insists_on_another_past_is_believed_at_last(bench: Bench) -> None:
    bench.last(20)
    bench.source.distort = GARBAGE["tripled"]
    for _ in range(6):
        bench.clock.advance(HOUR)
        with pytest.raises(ProviderResponseError, match="it is believed from 2026-03-31T07:00Z on"):
            bench.last(20)
    bench.clock.advance(HOUR)
    expected = bench.truth.window(bench.clock.now() - 20 * DAY, bench.clock.now()).values_gco2_per_kwh * 3
    np.testing.assert_array_equal(bench.last(20).values_gco2_per_kwh, expected)


# Files


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "\x00" * 50,
        lambda text: text[:-20],
        lambda text: text.replace("101.0", "999.0", 1),  # a flipped digit that is still JSON
        lambda text: text.split("\n", 1)[1],
        lambda text: text.replace("history 1", "history 2"),
        lambda text: text[:100] + "[" * 100_000,
    ],
)
def test_a_spoilt_file_is_fetched_again(bench: Bench, spoil: Callable[[str], str]) -> None:
    wanted = bench.last(30)
    file = HistoryStore(bench.folder, "fake", KIND).path("DE")
    text = file.read_text()
    file.write_text(spoil(text))
    assert file.read_text() != text
    assert bench.last(30) == wanted
    assert bench.source.calls == 2
    assert bench.last(30) == wanted
    assert bench.source.calls == 2, "and it is whole again"


def test_binary_rubbish_is_fetched_again(bench: Bench) -> None:
    wanted = bench.last(3)
    HistoryStore(bench.folder, "fake", KIND).path("DE").write_bytes(bytes(range(256)))
    assert bench.last(3) == wanted


def test_a_folder_that_cannot_be_written_costs_requests_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bench = Bench(tmp_path / "file" / "cache")
    assert bench.last(3) == bench.truth.window(T0 + 27 * DAY, T0 + 30 * DAY)
    assert bench.last(3).end_at == bench.clock.now()
    assert bench.source.calls == 2


@pytest.mark.parametrize("zone", ["../../etc", "A/B", "ÅL", "US-CAL-CISO", "a b"])
def test_zones_are_no_paths(tmp_path: Path, zone: str) -> None:
    path = HistoryStore(tmp_path, "some/source", KIND).path(zone)
    assert path.parent.parent.parent == tmp_path


def test_kinds_are_kept_apart(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path, "fake", KIND)
    store.add("DE", piece(0, 5, 99), RULE)
    other = HistoryStore(tmp_path, "fake", IntensityKind.MARGINAL)
    assert other.read("DE") == ()
    other.path("DE").parent.mkdir()
    other.path("DE").write_bytes(store.path("DE").read_bytes())
    assert other.read("DE") == (), "also where somebody copied the file"


def _add_many(folder: str, first_h: int) -> None:
    store = HistoryStore(Path(folder), "fake", KIND)
    for hour in range(first_h, 120, 2):
        store.add("DE", piece(hour, 1, 500 + hour, float(hour)), RULE)


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add_many, args=(str(tmp_path), first_h)) for first_h in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    whole = joined(HistoryStore(tmp_path, "fake", KIND).read("DE"), T0, T0 + 120 * HOUR)
    assert whole is not None
    assert list(whole.values_gco2_per_kwh) == list(range(120))
    assert [path.name for path in tmp_path.rglob("*.draft")] == []
