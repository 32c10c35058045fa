"""The benchmark of ways to decide under uncertainty: scenarios of no width change nothing, and its command writes a row a way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import uncertainty
from benchmarks.hourly import Overheads, Replanning, simulate
from benchmarks.uncertainty import RiskAdjusted, Scenarios
from carbon_ray.core.intensity import FloatArray

HOURS = 30


class Constant:
    """A forecast of the usual day with the same spread everywhere."""

    def __init__(self, truth: FloatArray, spread: float) -> None:
        self._truth, self._spread = truth, spread

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        median = np.tile(self._truth[:24], (4, 1))[issue % 24 :][:hours]
        return median, np.full_like(median, self._spread)


@pytest.fixture
def truth() -> FloatArray:
    random, hours = np.random.default_rng(3), np.arange(10 * 24)[:, None]
    table: FloatArray = 300 + 100 * np.cos(2 * np.pi * (hours + np.array([0, 9])) / 24) + random.normal(0, 40, (len(hours), 2))
    return table


def test_scenarios_without_spread_are_the_median(truth: FloatArray) -> None:
    starts, certain = range(24, 96, 5), Constant(truth, 0.0)
    plain = simulate(truth, starts, 6, 24, Overheads(), Replanning(truth=truth, forecasts=certain))
    blended = simulate(truth, starts, 6, 24, Overheads(), Scenarios(truth=truth, forecasts=certain, share=0.4, horizon=HOURS))
    assert np.array_equal(plain.gco2, blended.gco2)


def test_scenarios_see_a_value_in_waiting(truth: FloatArray) -> None:
    starts, vague = range(24, 96, 5), Constant(truth, 120.0)
    plain = simulate(truth, starts, 6, 24, Overheads(), Replanning(truth=truth, forecasts=vague))
    blended = simulate(truth, starts, 6, 24, Overheads(), Scenarios(truth=truth, forecasts=vague, share=0.9, horizon=HOURS))
    assert blended.delay_h.mean() > plain.delay_h.mean()


def test_a_price_of_risk_moves_the_median_and_leaves_the_spread(truth: FloatArray) -> None:
    median, spread = RiskAdjusted(Constant(truth, 50.0), 0.5).at(0, 10)
    assert np.array_equal(median, np.maximum(truth[:10] + 25.0, 0.0))
    assert np.array_equal(spread, np.full((10, 2), 50.0))


def test_the_command_writes_a_row_for_every_way(tmp_path: Path, truth: FloatArray) -> None:
    start_at, lines = datetime(2021, 12, 10, tzinfo=UTC), ["zone,time_utc,gco2_per_kwh,kind"]
    for hour, row in enumerate(np.tile(truth, (4, 1))):
        at = (start_at + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines += [f"{zone},{at},{value},average_lifecycle" for zone, value in zip("AB", row, strict=True)]
    trace, out = tmp_path / "trace.csv", tmp_path / "out.json"
    trace.write_text("\n".join(lines) + "\n")
    options = ["--traces", str(trace), "--zones", "A,B", "--year", "2022", "--forecaster", "ewma", "--step-hours", "97"]
    assert uncertainty.main([*options, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["way"] for row in rows] == ["clairvoyant", "ewma", "median", *["risk_adjusted"] * 4, *["scenarios"] * 3]
    assert all(row["saving_fraction"] <= rows[0]["saving_fraction"] + 1e-12 for row in rows)
    assert uncertainty.main([*options[:3], "A,X", *options[4:]]) == 2
