"""How old a forecast may be that a sweep goes by: the last snapshot serves up to the limit, then the embedded profile or nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.testing import FakeForecasts
from carbon_ray.tune.grid import STALE_S, Grid
from tests.tune.sweeping import START, grid


def frozen(kind: IntensityKind = IntensityKind.AVERAGE_LIFECYCLE) -> tuple[Grid, FakeForecasts, ManualClock]:
    """A grid whose actor is not heard of again after the start, a whole hour."""
    clock = ManualClock(START)
    forecasts = FakeForecasts({"DE": replace(grid(values=(123.0,)), kind=kind)}, clock)
    made = Grid(forecasts, ["DE"], clock)
    assert made.snapshot(START) is not None
    forecasts.is_frozen = True
    return made, forecasts, clock


def look(made: Grid, clock: ManualClock, after_s: float) -> float | None:
    """The intensity that is gone by, g/kWh, so long after the start; None where there is none."""
    clock.advance(START + timedelta(seconds=after_s) - clock.now())
    snapshot = made.snapshot(clock.now())
    return None if snapshot is None else float(snapshot["DE"].median.at(clock.now()))


def test_up_to_the_limit_the_last_snapshot_serves(caplog: pytest.LogCaptureFixture) -> None:
    made, _, clock = frozen()
    with caplog.at_level(logging.WARNING):
        assert look(made, clock, STALE_S) == 123.0
    assert not caplog.records
    assert not made.source.startswith("embedded")


def test_beyond_it_the_embedded_profile_stands_in_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    made, forecasts, clock = frozen()
    with caplog.at_level(logging.WARNING):
        assert look(made, clock, STALE_S + 1) not in (None, 123.0)
        assert look(made, clock, STALE_S + 60) not in (None, 123.0)
    assert made.source.startswith("embedded profile of DE")
    assert [record.message for record in caplog.records if "StaleForecastError" in record.message] == [caplog.records[0].message]
    assert len(caplog.records) == 1
    forecasts.is_frozen = False
    with caplog.at_level(logging.WARNING):
        assert look(made, clock, STALE_S + 120) == 123.0
    assert "again" in caplog.records[-1].message
    assert not made.source.startswith("embedded")


def test_a_grid_that_counts_another_kind_is_not_stood_in_for() -> None:
    made, _, clock = frozen(IntensityKind.MARGINAL)
    assert look(made, clock, STALE_S) == 123.0
    assert look(made, clock, STALE_S + 5) is None  # it looks every five seconds
    assert made.source == "none"
