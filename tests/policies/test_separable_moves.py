"""Where what a move costs is a part at either end, the faster recursion has the same values as the one for any pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.policies.programme import Initial, Problem, Programme


def problem(rng: np.random.Generator, slots: int, regions: int, quanta: int, startup: int, max_moves: int | None) -> Problem:
    elsewhere = 1.0 - np.eye(regions)
    unit = rng.uniform(50.0, 600.0, (slots, regions))
    return Problem(
        run=rng.uniform(50.0, 600.0, (slots, regions, 2)),
        hold=np.where(np.arange(slots)[:, None, None] + startup < slots, rng.uniform(0.0, 20.0, (slots, regions, 2)), np.inf),
        pause=0.05 * unit,
        unit=unit,
        move=rng.uniform(0.0, 2.0, regions)[None, :] * elsewhere,
        send=rng.uniform(0.0, 0.5, regions)[:, None] * elsewhere,
        fee=rng.uniform(0.0, 90.0, regions)[:, None] * elsewhere,
        restore=0.1,
        rescale=0.02,
        speed=np.array([1, 2]),
        waiting=float(rng.choice([0.0, 5.0])),
        startup_slots=startup,
        quanta=quanta,
        allowed=np.ones((slots, regions), dtype=np.bool_),
        max_moves=max_moves,
    )


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 5), st.integers(1, 9), st.integers(0, 2), st.sampled_from([None, 0, 1, 2])
)
def test_both_recursions_agree(seed: int, slots: int, regions: int, quanta: int, startup: int, max_moves: int | None) -> None:
    rng = np.random.default_rng(seed)
    any_pair = problem(rng, slots, regions, quanta, startup, max_moves)
    assert not any_pair.is_separable
    slow, fast = Programme(any_pair), Programme(replace(any_pair, is_separable=True))
    for one, other in zip(slow.by_moves, fast.by_moves, strict=True):
        for name in ("work", "begun", "ran", "idle", "fresh", "land"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-12)
    where = int(rng.integers(regions))
    initial = Initial(region=where, origin=where, is_running=bool(rng.integers(2)), is_started=True, pause=3.0)
    assert fast.solution(initial).cost == pytest.approx(slow.solution(initial).cost, rel=1e-12)
