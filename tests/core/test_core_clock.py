"""Time: what counts as UTC, and the three clocks."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.clock import Clock, ManualClock, ReplayClock, SystemClock, parse_utc, require_utc, wall_now

START_AT = datetime(2022, 5, 2, 16, tzinfo=UTC)
NAIVE = START_AT.replace(tzinfo=None)
INSTANTS = st.integers(0, 8 * 10**15).map(lambda us: NAIVE.replace(year=1950) + timedelta(microseconds=us))


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(0)), ZoneInfo("UTC")])
def test_utc_is_accepted_and_returned(zone: timezone) -> None:
    instant = datetime(2022, 7, 1, tzinfo=zone)
    assert require_utc(instant) is instant


@pytest.mark.parametrize(
    "instant",
    [
        NAIVE,
        datetime(2022, 7, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(2022, 7, 1, tzinfo=ZoneInfo("Europe/London")),
        datetime(2022, 1, 1, tzinfo=ZoneInfo("Europe/London")),  # at offset zero just now, but not in summer
    ],
)
def test_anything_but_utc_is_refused_by_name(instant: datetime) -> None:
    with pytest.raises(ValueError, match="begins_at must be an aware UTC"):
        require_utc(instant, "begins_at")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-05-02T16:00Z", START_AT),
        ("2022-05-02T16:00:00+00:00", START_AT),
        ("2022-05-02 18:00+02:00", START_AT),
        ("2022-05-02T11:30:00.250-04:30", START_AT + timedelta(milliseconds=250)),
        ("20220502T160000Z", START_AT),
    ],
)
def test_parse_utc_reads_iso_with_an_offset(text: str, expected: datetime) -> None:
    parsed = parse_utc(text)
    assert parsed == expected
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("2022-05-02T16:00", "has no UTC offset"),
        ("2022-05-02", "has no UTC offset"),
        ("tomorrow", "is not an ISO 8601 instant"),
        ("2022-13-01T00:00Z", "is not an ISO 8601 instant"),
        ("", "is not an ISO 8601 instant"),
        ("0001-01-01T00:00+10:00", "outside the years"),
        ("9999-12-31T23:00-10:00", "outside the years"),
    ],
)
def test_parse_utc_refuses(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parse_utc(text)


@given(INSTANTS, st.integers(-14 * 60, 14 * 60))
def test_parse_utc_reads_any_offset(naive: datetime, offset_min: int) -> None:
    local = naive.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    assert parse_utc(local.isoformat()) == local


@pytest.mark.parametrize("clock", [SystemClock(), ReplayClock.starting_now(START_AT, 60.0), ManualClock(START_AT)])
def test_every_clock_is_a_clock_in_utc(clock: Clock) -> None:
    assert isinstance(clock, Clock)
    assert require_utc(clock.now()) <= clock.now()


def test_the_system_clock_tells_the_wall_time() -> None:
    before = wall_now()
    assert before <= SystemClock().now() <= wall_now()
    assert SystemClock().speedup == 1


@pytest.mark.parametrize("speedup", [0.5, 1.0, 60.0, 720.0])
def test_a_replay_runs_at_its_speed(speedup: float) -> None:
    ago = timedelta(seconds=100)
    earliest = START_AT + (ago * speedup)
    clock = ReplayClock(start_at=START_AT, speedup=speedup, origin_at=(before := wall_now()) - ago)
    now = clock.now()
    assert earliest <= now <= earliest + (wall_now() - before) * speedup + timedelta.resolution  # rounding


def test_a_replay_stands_still_before_its_origin() -> None:
    clock = ReplayClock(start_at=START_AT, speedup=1000.0, origin_at=wall_now() + timedelta(hours=1))
    assert clock.now() == START_AT


def test_a_replay_never_goes_back() -> None:
    clock = ReplayClock.starting_now(START_AT, 3600.0)
    readings = [clock.now() for _ in range(1000)]
    assert readings == sorted(readings)
    assert readings[0] >= START_AT


def test_two_processes_with_equal_fields_read_the_same_time() -> None:
    clock = ReplayClock(start_at=START_AT, speedup=60.0, origin_at=wall_now() - timedelta(hours=1))
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).now().isoformat())"
    before = clock.now()
    there = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(clock), capture_output=True, check=True).stdout
    assert before <= datetime.fromisoformat(there.decode().strip()) <= clock.now()
    assert pickle.loads(pickle.dumps(clock)) == clock


@pytest.mark.parametrize("speedup", [0.0, -1.0, math.nan, math.inf])
def test_a_replay_needs_a_finite_speed_above_zero(speedup: float) -> None:
    with pytest.raises(ValueError, match="speedup must be above 0 and finite"):
        ReplayClock(start_at=START_AT, speedup=speedup, origin_at=START_AT)


@pytest.mark.parametrize("field", ["start_at", "origin_at"])
def test_a_replay_needs_utc(field: str) -> None:
    instants = {"start_at": START_AT, "origin_at": START_AT, field: NAIVE}
    with pytest.raises(ValueError, match=field):
        ReplayClock(speedup=1.0, **instants)


@given(st.lists(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30)), max_size=20))
def test_a_manual_clock_adds_up_its_advances(spans: list[timedelta]) -> None:
    clock = ManualClock(START_AT)
    for span in spans:
        assert clock.advance(span) == clock.now()
    assert clock.now() == START_AT + sum(spans, timedelta(0))
    assert clock.speedup == 1


def test_a_manual_clock_does_not_go_back() -> None:
    clock = ManualClock(START_AT)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-timedelta.resolution)
    assert clock.now() == START_AT
