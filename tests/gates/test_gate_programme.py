"""Gate of the exact programme: published and enumerated optima, the worked example, and elastic plans against all that there are."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks import gates
from benchmarks.instances import FREE, Moving, one_workload, random_instance
from benchmarks.reference_programme import cost_of_plan, least_cost
from carbon_ray.policies.baselines.carbon_scaler import greedy_scaling
from carbon_ray.policies.programme import IDLE, Initial, Problem, solve

EVERY_NTH_ROW = 37  # a prime, so that all zones, lengths and slacks come by; `python -m benchmarks.gates` takes all
AT_HOME = Initial(region=0, origin=0)


def test_every_gate_has_its_place() -> None:
    found = gates.Gate(name="a", compared=1, deviation=0.1, tolerance=0.1, unit="g")
    assert found.passed
    assert not replace(found, deviation=0.2).passed
    assert not replace(found, compared=0).passed, "a gate that compares nothing must not pass"
    assert not replace(found, deviation=float("nan")).passed


def test_worked_example() -> None:
    found = gates.example()
    assert found.passed, str(found)
    assert found.compared == 10


def test_eurosys_optima(data: Path) -> None:
    found = gates.eurosys_programme(data, every=EVERY_NTH_ROW)
    assert found.passed, str(found)
    assert found.compared == 4 * -(-9544 // EVERY_NTH_ROW)


@pytest.mark.parametrize(("gate", "compared"), [(gates.dp_small, 600), (gates.dp_real, 300)])
def test_known_optima(gate: object, compared: int, data: Path) -> None:
    assert callable(gate)
    found = gate(data)
    assert found.passed, str(found)
    assert found.compared == compared


def test_a_wrong_expectation_fails(data: Path, tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    text = (data / "golden" / "dp_small.json").read_text()
    changed = text.replace('"optimal_cost": 451.064', '"optimal_cost": 451.065', 1)
    assert changed != text
    (tmp_path / "golden" / "dp_small.json").write_text(changed)
    assert not gates.dp_small(tmp_path).passed


def test_absent_data_is_an_error_of_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        gates.main(["--data", str(tmp_path)])
    assert caught.value.code == 2
    assert "set CARBON_RAY_DATA" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(30))
def test_the_forward_programme_gives_the_same_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slots, regions = int(rng.integers(1, 16)), int(rng.integers(1, 5))
    quanta, home = int(rng.integers(1, slots + 2)), int(rng.integers(regions))  # at times more work than slots
    ci, moving = random_instance(rng, slots, regions)
    problem = one_workload(ci, quanta, moving)
    solution = solve(problem, Initial(region=home, origin=home))
    assert solution.cost == pytest.approx(least_cost(ci, quanta, home, moving), rel=1e-9)
    assert cost_of_plan(problem, home, solution.path, solution.levels) == pytest.approx(solution.cost, rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_without_overheads_the_free_bound_is_reached(seed: int) -> None:
    ci = np.random.default_rng(seed).uniform(20.0, 700.0, (30, 4))
    bound = np.sort(ci.min(axis=1))[:11].sum()
    assert solve(one_workload(ci, 11, FREE), AT_HOME).cost == pytest.approx(bound, rel=1e-12)
    assert solve(one_workload(ci, 11, Moving()), AT_HOME).cost > bound


concave = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(lambda gains: np.cumsum(sorted(gains, reverse=True)).tolist())
intensities = st.lists(st.integers(1, 500), min_size=1, max_size=10).map(lambda values: np.array(values, dtype=np.float64))


def greedy(values: np.ndarray, quanta: int, speed: list[int]) -> tuple[float, float]:
    """Cost of the greedy plan, and what completing the worker that it uses in part would add."""
    throughput, power = [one / speed[0] for one in speed], [float(worker + 1) for worker in range(len(speed))]
    shares = greedy_scaling(values, quanta / speed[0], throughput, power)
    part = np.ceil(shares - 1e-9) - shares
    return float((values @ shares).sum()), float((values @ part).sum())


@settings(max_examples=150, deadline=None)
@given(values=intensities, speed=concave, data=st.data())
def test_elastic_at_home_without_overheads_is_the_greedy_plan(values: np.ndarray, speed: list[int], data: st.DataObject) -> None:
    quanta = data.draw(st.integers(1, speed[-1] * len(values)))
    bound, last_step = greedy(values, quanta, speed)
    problem = one_workload(values[:, None], quanta, FREE, speed=speed, power=range(1, len(speed) + 1))
    cost = solve(problem, AT_HOME).cost
    assert bound - 1e-6 <= cost <= bound + last_step + 1e-6


@settings(max_examples=100, deadline=None)
@given(values=intensities, speed=concave, data=st.data())
def test_where_the_greedy_plan_uses_whole_workers_both_cost_the_same(values: np.ndarray, speed: list[int], data: st.DataObject) -> None:
    gains = np.diff([0, *speed])
    prices = np.outer(values, 1 / gains).ravel()
    order = np.argsort(prices, kind="stable")[: data.draw(st.integers(1, len(prices)))]
    quanta = int(np.tile(gains, len(values))[order].sum())
    bound, last_step = greedy(values, quanta, speed)
    assume(last_step < 1e-6)  # of equal prices it may have taken another worker, and that in part
    problem = one_workload(values[:, None], quanta, FREE, speed=speed, power=range(1, len(speed) + 1))
    assert solve(problem, AT_HOME).cost == pytest.approx(bound, rel=1e-9)


def all_plans(problem: Problem) -> float:
    """Least cost over every sequence of (region, workers) or nothing, of every length."""
    slots, regions, levels = problem.run.shape
    choices = [(IDLE, IDLE), *itertools.product(range(regions), range(levels))]
    plans = itertools.chain.from_iterable(itertools.product(choices, repeat=length) for length in range(1, slots + 1))
    return min(cost_of_plan(problem, 0, [where for where, _ in plan], [level for _, level in plan]) for plan in plans)


@pytest.mark.parametrize("shortest_slots", [1, 2])
@pytest.mark.parametrize("max_moves", [None, 0, 1])
@pytest.mark.parametrize("startup_slots", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_elastic_plans_enumerated(seed: int, startup_slots: int, max_moves: int | None, shortest_slots: int) -> None:
    rng = np.random.default_rng([seed, startup_slots, shortest_slots])
    slots, regions, speed = 4, 2, [2, 3]
    ci, moving = random_instance(rng, slots, regions)
    moving = replace(moving, move_h=moving.move_h * rng.uniform(0.0, 0.4), restore_h=rng.uniform(0.0, 0.2))
    plain = one_workload(
        ci, int(rng.integers(1, 11)), moving, speed=speed, power=[1.0, 1.8], shortest_slots=shortest_slots, max_moves=max_moves
    )
    hold = ci[:, :, None] * np.array([0.2, 0.4]) * startup_slots
    hold[slots - startup_slots :] = np.inf
    problem = replace(
        plain,
        hold=hold,
        startup_slots=startup_slots,
        waiting=float(rng.choice([0.0, 20.0])),
        send=rng.uniform(0.0, 0.1, (regions, regions)) * (1 - np.eye(regions)),
        fee=rng.uniform(0.0, 10.0, (regions, regions)) * (1 - np.eye(regions)),
    )
    solution, best = solve(problem, AT_HOME), all_plans(problem)
    assert solution.cost == pytest.approx(best, rel=1e-9)
    if np.isfinite(best):
        assert cost_of_plan(problem, 0, solution.path, solution.levels) == pytest.approx(best, rel=1e-9)
    else:
        assert solution.path == ()


def test_the_enumerated_limits_bind() -> None:
    """Two regions that are clean by turns: each limit makes the best plan dearer, and by how much is known."""
    ci = np.array([[10.0, 100.0], [100.0, 10.0], [10.0, 100.0], [100.0, 10.0]])
    moving = Moving(write_h=0.0, restore_h=0.0, move_h=0.1)
    found = {
        (shortest, moves): solve(one_workload(ci, 4, moving, shortest_slots=shortest, max_moves=moves), AT_HOME).cost
        for shortest in (1, 2)
        for moves in (None, 0, 1)
    }
    assert found == {
        (1, None): pytest.approx(43.0),
        (1, 0): pytest.approx(220.0),
        (1, 1): pytest.approx(131.0),
        (2, None): pytest.approx(131.0),  # three slots, and one that ends the work
        (2, 0): pytest.approx(220.0),
        (2, 1): pytest.approx(131.0),
    }
