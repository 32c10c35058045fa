"""Gates of the studies without a published trace: CAP's and PCAPS's thresholds, CarbonScaler's greedy against linear programming."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import lambertw

from carbon_ray.policies.baselines.carbon_scaler import greedy_scaling
from carbon_ray.policies.baselines.pcaps import cap_quota, cap_thresholds, competitive_ratio, pcaps_threshold

NBODY_100K = (  # throughput and W of 1..7 nodes
    (1757.89, 3496.40, 5104.39, 6661.95, 8073.21, 9447.75, 10747.78),
    (54.78, 109.80, 161.22, 217.61, 273.15, 331.23, 390.73),
)
NBODY_10K = (
    (16130.26, 26084.90, 34977.82, 41228.85, 47430.99, 52196.29, 56212.42),
    (51.99, 104.87, 154.73, 207.53, 259.10, 311.59, 366.35),
)
lows = st.floats(0.0, 900.0)
spreads = st.floats(1.0, 900.0)


@given(low=lows, spread=spreads)
def test_the_ratio_is_that_of_lamberts_function(low: float, spread: float) -> None:
    share = low / (low + spread)
    assume(share > 1e-6)  # at 0 Lambert's function has a branch point, and the ratio no bound
    expected = 1 / (1 + lambertw((share - 1) / np.e).real)
    assert competitive_ratio(low, low + spread) == pytest.approx(expected, rel=1e-5)


@given(low=lows, spread=spreads, executors=st.integers(1, 120), data=st.data())
def test_cap_allows_all_at_the_lowest_and_the_base_at_the_highest(low: float, spread: float, executors: int, data: st.DataObject) -> None:
    base, high = data.draw(st.integers(0, executors)), low + spread
    assert cap_quota(low, low, high, executors, base) == cap_quota(0.9 * low, low, high, executors, base) == executors
    assert cap_quota(high, low, high, executors, base) == cap_quota(1.1 * high, low, high, executors, base) == base
    between = [cap_quota(now, low, high, executors, base) for now in np.linspace(low, high, 50)]
    assert between == sorted(between, reverse=True)
    thresholds = cap_thresholds(low, high, executors - base)
    assert len(thresholds) == executors - base
    assert (np.diff(thresholds) <= 0).all()
    assert ((thresholds >= low - 1e-6) & (thresholds < high)).all()


def test_cap_in_numbers() -> None:
    """Phi_1 = high / a, and each threshold by its formula, written out for low 100, high 400, M 4, B 1."""
    ratio = 1 / (1 + lambertw((100 / 400 - 1) / np.e).real)
    expected = [400 * (1 - (1 - 1 / ratio) * (1 + 1 / (ratio * 3)) ** power) for power in range(3)]
    assert cap_thresholds(100.0, 400.0, 3) == pytest.approx(expected, rel=1e-6)
    assert expected[0] == pytest.approx(400 / ratio)
    quotas = [cap_quota(now, 100.0, 400.0, 4, 1) for now in (expected[0] + 1, expected[0] - 1, expected[1] - 1, expected[2] - 1)]
    assert quotas == [1, 2, 3, 4]


def test_cap_waits_for_nothing_where_nothing_changes() -> None:
    assert cap_quota(300.0, 300.0, 300.0, 5, 1) == 5


@given(low=lows, spread=spreads, gamma=st.floats(0.0, 1.0), importance=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0))
def test_pcaps_threshold(low: float, spread: float, gamma: float, importance: float, more: float) -> None:
    high, near = low + spread, pytest.approx
    psi = pcaps_threshold(importance, low, high, gamma)
    assert low - 1e-9 <= psi <= high + 1e-9
    assert pcaps_threshold(1.0, low, high, gamma) == near(high)
    assert pcaps_threshold(0.0, low, high, gamma) == near(gamma * low + (1 - gamma) * high)
    assert pcaps_threshold(importance, low, high, 0.0) == near(high)
    assert pcaps_threshold(max(importance, more), low, high, gamma) >= psi - 1e-9
    assert pcaps_threshold(importance, low, high, max(gamma, more)) <= psi + 1e-9


def emissions(values: np.ndarray, shares: np.ndarray, power: tuple[float, ...]) -> float:
    return float((values @ shares) @ np.diff([0.0, *power]))


def linear_programme(values: np.ndarray, work: float, throughput: tuple[float, ...], power: tuple[float, ...]) -> float:
    """Least emissions over the share of every worker in every slot; the order of workers follows from concavity."""
    cost = np.outer(values, np.diff([0.0, *power])).ravel()
    does = np.tile(np.diff([0.0, *throughput]), len(values))
    solved = linprog(cost, A_eq=does[None], b_eq=[work], bounds=(0, 1))
    assert solved.success
    return float(solved.fun)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(1, 500), min_size=1, max_size=8),
    gains=st.lists(st.floats(0.05, 1.0), max_size=3),
    used=st.floats(0.01, 1.0),
)
def test_the_greedy_plan_is_the_optimum_of_the_linear_programme(values: list[int], gains: list[float], used: float) -> None:
    throughput = tuple(np.cumsum([1.0, *sorted(gains, reverse=True)]).tolist())
    power = tuple(float(worker + 1) for worker in range(len(throughput)))
    array, work = np.array(values, dtype=float), used * len(values) * throughput[-1]
    shares = greedy_scaling(array, work, throughput, power)
    assert (shares @ np.diff([0.0, *throughput])).sum() == pytest.approx(work, rel=1e-6)
    assert emissions(array, shares, power) == pytest.approx(linear_programme(array, work, throughput, power), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(1, 50), min_size=1, max_size=4), work=st.integers(1, 12))
def test_the_greedy_plan_is_the_best_of_all_whole_plans_where_workers_are_equal(values: list[int], work: int) -> None:
    assume(work <= 3 * len(values))
    linear = (1.0, 2.0, 3.0)
    shares = greedy_scaling(np.array(values, dtype=float), float(work), linear, linear)
    plans = (plan for plan in itertools.product(range(4), repeat=len(values)) if sum(plan) == work)
    best = min(sum(count * value for count, value in zip(plan, values, strict=True)) for plan in plans)
    assert emissions(np.array(values, dtype=float), shares, linear) == pytest.approx(best)


@pytest.mark.parametrize(("throughput", "power"), [NBODY_100K, NBODY_10K], ids=["100k", "10k"])
@pytest.mark.parametrize("work", [0.5, 6.0, 24.0, 47.3])
def test_published_profiles(throughput: tuple[float, ...], power: tuple[float, ...], work: float) -> None:
    rates, powers = tuple(rate / throughput[0] for rate in throughput), tuple(watts / power[0] for watts in power)
    values = 250.0 + 150.0 * np.sin(np.arange(24) * np.pi / 12)
    shares = greedy_scaling(values, work, rates[:4], powers[:4])
    assert (shares @ np.diff([0.0, *rates[:4]])).sum() == pytest.approx(work)
    assert (np.diff(np.ceil(shares), axis=1) <= 0).all(), "a worker is added only to those before it"
    assert np.count_nonzero((shares > 0) & (shares < 1)) <= 1
    assert emissions(values, shares, powers[:4]) >= linear_programme(values, work, rates[:4], powers[:4]) - 1e-6


def test_work_that_does_not_fit_takes_everything_that_is_open() -> None:
    assert greedy_scaling(np.array([1.0, np.inf]), 9.0, (1.0, 2.0), (1.0, 2.0)).tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_a_worker_that_is_worth_more_than_the_one_before_it_still_comes_after_it() -> None:
    throughput, power = (1.0, 1.1, 2.5), (1.0, 2.0, 3.0)
    assert greedy_scaling(np.array([1.0, 5.0]), 1.5, throughput, power).tolist() == [[1.0, 0.0, 0.0], [0.5, 0.0, 0.0]]
    assert greedy_scaling(np.array([1.0, 20.0]), 1.8, throughput, power).tolist() == [[1.0, 1.0, pytest.approx(0.5)], [0.0, 0.0, 0.0]]
