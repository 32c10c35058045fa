"""The books of a sweep: energy is a fact, a price may change once, and the journal gives the same sums again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import ForecastError
from carbon_ray.tune.journal import Lines, read_json, read_lines, write_json
from carbon_ray.tune.ledger import Interval, SweepLedger

START = datetime(2022, 5, 1, 10, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Hours:
    """Intensities by hour of the day: 100 g/kWh at ten, 200 at eleven, ...; true ones are half of that once `is_known`."""

    def __init__(self) -> None:
        self.is_known = self.is_away = False

    def interval(self, zone: str, at: datetime) -> Interval:
        if self.is_away:
            raise ForecastError("away")
        start_at = at.replace(minute=0, second=0, microsecond=0)
        return Interval(zone, start_at, start_at + HOUR, 100.0 * (start_at.hour - 9), "forecast")

    def settled(self, interval: Interval) -> Interval | None:
        return interval._replace(gco2_per_kwh=interval.gco2_per_kwh / 2, source="truth") if self.is_known else None


class Kept(list[Any]):
    """A journal in memory."""

    def append(self, line: Any) -> None:
        super().append(dict(line))


def begun(ledger: SweepLedger, trial_id: str = "a", at: datetime = START) -> None:
    ledger.begin(trial_id, at, region="here", zone="DE", pue=2.0, power_w=500.0)


def test_energy_is_power_times_pue_times_time_split_at_the_hours() -> None:
    ledger = SweepLedger(Hours())
    begun(ledger)
    ledger.accrue("a", START + HOUR, 1)
    assert ledger.account("a").energy_kwh == pytest.approx(1.0)
    assert ledger.gco2("a") == pytest.approx(0.5 * 100 + 0.5 * 200)
    assert ledger.total_gco2 == pytest.approx(150.0)


def test_a_trial_that_does_not_run_draws_nothing() -> None:
    ledger = SweepLedger(Hours())
    begun(ledger)
    ledger.end("a", START + HOUR)
    ledger.hold("a", START + HOUR)
    ledger.accrue("a", START + 5 * HOUR)
    assert ledger.account("a").energy_kwh == pytest.approx(1.0)
    assert ledger.held_s("a", START + 3 * HOUR) == 7200.0
    begun(ledger, at=START + 4 * HOUR)
    assert ledger.held_s("a", START + 9 * HOUR) == 3 * 3600.0


def test_a_price_that_comes_true_replaces_the_forecast_once() -> None:
    hours = Hours()
    ledger = SweepLedger(hours)
    begun(ledger)
    begun(ledger, "b")
    for trial_id in "ab":
        ledger.accrue(trial_id, START + HOUR, 1)
    hours.is_known = True
    assert ledger.settle(START + HOUR) == 1  # eleven o'clock still lasts
    assert ledger.gco2("a") == pytest.approx(0.5 * 50 + 0.5 * 200)
    assert ledger.settle(START + HOUR) == 0
    ledger.accrue("a", START + 2 * HOUR, 2)
    assert ledger.settle(START + 2 * HOUR) == 1
    assert ledger.total_gco2 == pytest.approx(ledger.gco2("a") + ledger.gco2("b"))
    assert ledger.gco2("b") == pytest.approx(0.5 * 50 + 0.5 * 100)


def test_energy_is_booked_while_nothing_is_known_and_priced_later() -> None:
    hours = Hours()
    hours.is_away = True
    ledger = SweepLedger(hours)
    begun(ledger)
    ledger.accrue("a", START + 0.5 * HOUR, 1)
    assert ledger.account("a").energy_kwh == pytest.approx(0.5)
    assert ledger.total_gco2 == 0.0
    hours.is_known, hours.is_away = True, False
    assert ledger.settle(START + HOUR) == 1


@given(
    spans=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5000), st.booleans()), min_size=1, max_size=30),
    settled_after=st.integers(0, 30),
)
def test_the_journal_gives_the_same_books_again(spans: list[tuple[str, int, bool]], settled_after: int) -> None:
    hours, journal = Hours(), Kept()
    ledger, now = SweepLedger(hours, journal), START.replace(hour=10)
    for step, (trial_id, span_s, ends) in enumerate(spans):
        begun(ledger, trial_id, now)
        now += timedelta(seconds=span_s)
        ledger.accrue(trial_id, now, step)
        if ends:
            ledger.end(trial_id, now)
            ledger.hold(trial_id, now)
        if step == settled_after:
            hours.is_known = True
            ledger.settle(now)
        if now.hour < 10:
            return
    again = SweepLedger(Hours())
    again.replay(journal)
    assert again.total_gco2 == pytest.approx(ledger.total_gco2)
    assert again.total_kwh == pytest.approx(ledger.total_kwh)
    assert {trial_id: one.energy_kwh for trial_id, one in again.accounts.items()} == pytest.approx(
        {trial_id: one.energy_kwh for trial_id, one in ledger.accounts.items()}
    )
    assert again.running() == ledger.running()
    assert sum(again.gco2(trial_id) for trial_id in again.accounts) == pytest.approx(again.total_gco2)


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = Lines(path)
    lines.append({"a": 1})
    lines.close()
    with path.open("a") as file:
        file.write('{"b": 2')
    assert list(read_lines(path)) == [{"a": 1}]
    lines.append({"c": 3})
    lines.close()
    assert list(read_lines(path)) == [{"a": 1}, {"c": 3}]


def test_a_replaced_file_leaves_nothing_behind(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"at": 1})
    write_json(tmp_path / "x.json", {"at": 2})
    assert read_json(tmp_path / "x.json") == {"at": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert read_json(tmp_path / "none.json") is None
