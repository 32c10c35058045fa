"""Statistics: closed forms, textbook tables, coverage of the bootstrap, and figures of known books."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from carbon_ray.core.errors import ConfigError
from carbon_ray.policies.run_now import RunNow
from carbon_ray.sim import statistics
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.results import Run
from carbon_ray.sim.summary import compare, summarise

T0 = datetime(2022, 3, 7, tzinfo=UTC)


def test_saving_of_a_set_is_that_of_sums() -> None:
    gco2, run_now = np.array([50.0, 300.0]), np.array([100.0, 300.0])
    assert statistics.saving_fraction(gco2, run_now) == pytest.approx(50 / 400)  # not the mean of 50 % and 0 %
    with pytest.raises(ValueError, match="emits nothing"):
        statistics.saving_fraction(np.zeros(2), np.zeros(2))


@pytest.mark.parametrize(("saving", "bound", "captured"), [(0.3, 0.4, 0.75), (-0.1, 0.4, -0.25), (0.0, 0.0, None), (0.4, 0.4, 1.0)])
def test_captured(saving: float, bound: float, captured: float | None) -> None:
    assert statistics.captured_fraction(saving, bound) == (captured if captured is None else pytest.approx(captured))


def test_bootstrap_draws_whole_days() -> None:
    """Within each day savings differ wildly, between days not at all: every resampled set saves the same."""
    days = np.repeat(np.arange(10), 2)
    gco2, run_now = np.tile([0.0, 100.0], 10), np.full(20, 100.0)
    draws = statistics.bootstrap_savings(gco2, run_now, days)
    assert draws.shape == (statistics.DRAWS,)
    assert draws == pytest.approx(np.full(statistics.DRAWS, 0.5))


def test_bootstrap_is_seeded_and_paired() -> None:
    random = np.random.default_rng(0)
    run_now, days = random.uniform(50, 100, 60), random.integers(0, 20, 60)
    one, other = run_now * random.uniform(0.3, 1.1, 60), run_now * 0.9
    both = statistics.bootstrap_savings(np.stack([one, other]), run_now, days, seed=3)
    assert np.array_equal(both[0], statistics.bootstrap_savings(one, run_now, days, seed=3))
    assert not np.array_equal(both[0], statistics.bootstrap_savings(one, run_now, days, seed=4))
    assert both[1] == pytest.approx(np.full(statistics.DRAWS, 0.1))
    assert both[0].mean() == pytest.approx(statistics.saving_fraction(one, run_now), abs=0.01)


def test_blocks_are_runs_of_neighbouring_days() -> None:
    """Days in fours alike: single days say too narrow an interval, blocks a wider one; a block of everything says nothing varies."""
    level = np.repeat(np.random.default_rng(1).uniform(0.2, 1.0, 15), 4)
    days, run_now = np.arange(60), np.full(60, 100.0)
    widths = []
    for block_days in (1, 4, 60):
        interval = statistics.interval_of(statistics.bootstrap_savings(100 * level, run_now, days, block_days=block_days))
        widths.append(interval.high - interval.low)
    assert widths[0] < 0.75 * widths[1]
    assert widths[2] == pytest.approx(0.0)


def test_interval_covers_the_true_saving_about_as_often_as_it_says() -> None:
    random, hits, tries = np.random.default_rng(2), 0, 200
    days, run_now = np.repeat(np.arange(40), 3), np.full(120, 100.0)
    for _ in range(tries):
        level = np.repeat(random.normal(0.6, 0.2, 40), 3) + random.normal(0, 0.05, 120)
        interval = statistics.interval_of(statistics.bootstrap_savings(100 * level, run_now, days, draws=400))
        hits += interval.low <= 0.4 <= interval.high
    assert 0.89 <= hits / tries <= 0.985


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.01], [0.01]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the textbook example
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert statistics.holm(p_values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_ever_raises_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = statistics.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[place] for place in order] == sorted(adjusted)


def test_wilcoxon() -> None:
    assert statistics.wilcoxon_p(np.zeros(20)) == 1.0
    assert statistics.wilcoxon_p(np.array([])) == 1.0
    assert statistics.wilcoxon_p(np.arange(1.0, 9.0)) == pytest.approx(2 / 2**8)  # all of one sign: exact
    some = np.random.default_rng(3).normal(0.3, 1.0, 80)
    assert statistics.wilcoxon_p(some) == pytest.approx(wilcoxon(some, method="approx").pvalue)
    assert statistics.wilcoxon_p(np.concatenate([some, np.zeros(40)])) == pytest.approx(statistics.wilcoxon_p(some))


@pytest.mark.parametrize(("block_days", "expected"), [(1, [0.1, -0.3]), (4, [0.1, -0.3]), (10, [-10 / 300])])
def test_paired_savings_of_a_day(block_days: int, expected: list[float]) -> None:
    ours, theirs = np.array([70.0, 90.0, 60.0, 5.0]), np.array([90.0, 90.0, 30.0, 5.0])
    run_now, days = np.array([100.0, 100.0, 100.0, 0.0]), np.array([2, 2, 7, 11])
    assert statistics.paired_by_day(ours, theirs, run_now, days, block_days=block_days) == pytest.approx(expected)


def test_backfire() -> None:
    run_now = np.array([100.0, 100.0, 200.0, 50.0])
    assert statistics.backfire(np.array([110.0, 90.0, 260.0, 50.0]), run_now) == pytest.approx((0.5, 0.2))
    assert statistics.backfire(run_now, run_now) == (0.0, 0.0)


@pytest.fixture
def runs(tools: SimpleNamespace) -> SimpleNamespace:
    where = tools.world(tools.weather(2, ["A", "B"], 24 * 20), usd_per_h=2.0)
    some = tools.jobs([(hour * 9.0, 4, 1) for hour in range(20)], ["A", "B"], slack_h=20)
    bound = clairvoyant_bound(where, some, slot_s=3600.0)
    return SimpleNamespace(bound=bound, at_once=simulate(where, some, RunNow(slot_s=3600.0), tools.clairvoyant(where)))


def test_figures_of_known_runs(runs: SimpleNamespace) -> None:
    nothing, best = summarise([runs.at_once], [runs.bound]), summarise([runs.bound], [runs.bound])
    assert (nothing.saving_fraction, nothing.captured_fraction) == pytest.approx((0.0, 0.0))
    assert (nothing.delay_mean_h, nothing.delay_p95_h, nothing.missed, nothing.backfire_fraction) == (0.0, 0.0, 0, 0.0)
    assert nothing.usd == nothing.run_now_usd == 20 * 4 * 2.0
    assert best.captured_fraction == pytest.approx(1.0)
    assert best.saving_interval.low < best.saving_fraction < best.saving_interval.high
    assert best.kgco2 == pytest.approx(sum(result.gco2 for result in runs.bound.jobs) / 1000)
    assert best.jobs == 20
    assert summarise([runs.bound], None).captured_fraction is None
    twice = summarise([runs.bound, runs.bound], [runs.bound, runs.bound])
    assert (twice.jobs, twice.saving_fraction) == (40, pytest.approx(best.saving_fraction))


def test_pairs(runs: SimpleNamespace) -> None:
    difference = compare([runs.bound], [runs.at_once])
    assert difference.saving_fraction == pytest.approx(summarise([runs.bound]).saving_fraction)
    assert 0 < difference.interval.low < difference.saving_fraction < difference.interval.high
    assert difference.median_fraction > 0
    assert difference.p < 0.01  # eight start days of one sign: 2 / 2**8
    same = compare([runs.bound], [runs.bound])
    assert (same.saving_fraction, same.interval.low, same.interval.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    fewer: Run = replace(runs.bound, jobs=runs.bound.jobs[1:])
    with pytest.raises(ConfigError, match="same jobs"):
        compare([fewer], [runs.at_once])


def test_late_jobs_are_counted(runs: SimpleNamespace) -> None:
    late = tuple(replace(result, is_missed=True, delay_h=30.0, finished_at=T0 + timedelta(days=3)) for result in runs.bound.jobs[:3])
    summary = summarise([replace(runs.bound, jobs=late + runs.bound.jobs[3:])])
    assert summary.missed == 3
    assert summary.delay_p95_h == 30.0
