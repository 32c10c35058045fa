"""Where nothing has to be held, a sweep is the base scheduler's own: same decisions, same order, same times, seed by seed."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.testing.tune_loop import ListedTrials, LoopTiming
from tests.tune.sweeping import BASES, carbon_aware, ends, happened, sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # PB2's gaussian process does not converge on so little
    pytest.mark.filterwarnings("ignore:.*clip.*"),
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("seed", range(3))
def test_on_a_flat_grid_every_base_decides_as_it_does_alone(base: str, seed: int) -> None:
    if base == "pb2" and seed:
        pytest.skip("one seed of PB2 takes as long as three of all others")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = happened(sweep(lambda clock: BASES[base](), seed=seed)[0].run())
        wrapped = happened(sweep(lambda clock: carbon_aware(BASES[base](), clock), seed=seed)[0].run())
    assert wrapped == alone
    assert len({event[0] for event in alone}) == 12


@pytest.mark.parametrize("base", [name for name in BASES if name not in ("pb2", "median")])
def test_with_a_limit_of_its_own_that_does_not_bind_it_is_the_same(base: str) -> None:
    """Median stopping is left out: which of two trials that it paused goes first differs, as they ask for no place meanwhile."""
    alone = happened(sweep(lambda clock: BASES[base]())[0].run())
    wrapped = happened(sweep(lambda clock: carbon_aware(BASES[base](), clock, max_concurrency=4))[0].run())
    assert wrapped == alone


@pytest.mark.parametrize("base", ["fifo", "asha", "hyperband"])
def test_a_searcher_that_limits_live_trials_and_slow_starts_change_nothing(base: str) -> None:
    def run(make: Any) -> list[Any]:
        searcher = ListedTrials([{"curve": one, "x": 0.5} for one in range(12)], max_live=6)
        loop, _ = sweep(make, searcher=searcher, max_pending=6, timing=LoopTiming(startup_s=5.0, save_every=2, stop_s=2.0))
        return happened(loop.run())

    assert run(lambda clock: carbon_aware(BASES[base](), clock)) == run(lambda clock: BASES[base]())


@pytest.mark.parametrize("base", ["fifo", "asha", "hyperband", "bohb", "pbt", "pbt in step", "median", "resources"])
def test_a_hold_loses_no_trial_and_repeats_no_iteration(base: str) -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (3.0, 2), (3.2, "all")])
    held, _ = sweep(lambda clock: carbon_aware(BASES[base](), clock, policy))
    held.run()
    assert len(ends(held)) == 12
    for trial_id in ends(held):
        iterations = [event.iteration for event in held.events if event.trial_id == trial_id and event.kind == "result"]
        if base not in ("pbt",):  # there a trial goes on from another's checkpoint
            assert iterations == list(range(1, len(iterations) + 1))


@pytest.mark.parametrize("base", ["fifo", "asha"])
def test_a_hold_does_not_change_how_far_trials_come(base: str) -> None:
    """FIFO sees no order; ASHA is shown the results in the same order, as all are held and released together."""
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (3.0, "all")])
    alone = ends(sweep(lambda clock: BASES[base]())[0].run())
    held = ends(sweep(lambda clock: carbon_aware(BASES[base](), clock, policy))[0].run())
    assert held == alone
