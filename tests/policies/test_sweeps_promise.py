"""What a trial promises: its curve carried on, its rank, and what a new trial promises beside it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.policies.sweeps.promise import extrapolated, fresh_promise, milestone_of, promise_of, ranked_chance
from carbon_ray.policies.sweeps.state import TrialState, TrialView

RUNGS = {1: [float(score) for score in range(30)], 3: [float(score) for score in range(10, 20)], 9: [18.0, 20.0, 25.0]}


def curve(last: int, top: float, fall: float = 6.0) -> tuple[tuple[int, float], ...]:
    return tuple((at, top - fall / math.sqrt(at)) for at in range(1, last + 1))


def trial(scores: tuple[tuple[int, float], ...]) -> TrialView:
    return TrialView(trial_id="t", state=TrialState.RUNNING, iterations=len(scores), scores=scores, seconds_per_iteration=3600.0)


def test_a_curve_of_the_form_is_carried_on_exactly() -> None:
    expected, error = extrapolated(curve(9, 30.0), 27)
    assert expected == pytest.approx(30.0 - 6.0 / math.sqrt(27))
    assert error == pytest.approx(expected - curve(9, 30.0)[-1][1])  # the gain that it foretells may be all wrong


def test_a_falling_curve_is_not_expected_to_rise_above_its_best() -> None:
    expected, error = extrapolated(curve(9, 30.0, fall=-6.0), 27)
    assert expected == 36.0
    assert error < 0.01


def test_a_dip_widens_the_error_and_leaves_the_best() -> None:
    smooth = curve(9, 30.0)
    dipped = (*smooth[:-1], (9, 20.0))
    assert extrapolated(dipped, 27)[0] >= smooth[-2][1]
    assert extrapolated(dipped, 27)[1] > extrapolated(smooth, 27)[1]


def test_no_gain_is_expected_beyond_the_last_iteration() -> None:
    scores = curve(9, 30.0)
    assert extrapolated(scores, 9)[0] == pytest.approx(scores[-1][1])


@settings(deadline=None)
@given(count=st.integers(1, 50), milestone=st.sampled_from([1, 3, 9, 27]))
def test_chances_of_a_rung_fall_with_the_place_and_sum_to_at_most_one(count: int, milestone: int) -> None:
    chances = [ranked_chance(place, count, milestone, 27) for place in range(count)]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-6
    assert sum(chances) > 0.4


def test_a_better_curve_promises_more() -> None:
    at = [promise_of(trial(curve(9, top)), 25.0, RUNGS, 27, 3600.0).chance for top in (15.0, 22.0, 26.0, 30.0)]
    assert at == sorted(at)
    assert at[0] < 1e-3
    assert at[-1] > 0.5


def test_what_is_left_to_run_grows_with_the_chance() -> None:
    weak, good = (promise_of(trial(curve(3, top)), 25.0, RUNGS, 27, 3600.0) for top in (5.0, 30.0))
    assert 6.0 <= weak.remaining_h < good.remaining_h <= 24.0


def test_a_trial_of_which_nothing_is_known_promises_nothing_special() -> None:
    assert promise_of(trial(()), None, {}, None, 3600.0).chance == 0.0


def test_a_new_trial_is_the_best_of_all_with_an_even_chance() -> None:
    fresh = fresh_promise(50, RUNGS, 27, 3600.0)
    assert fresh.chance == pytest.approx(1 / 50)
    assert fresh.remaining_h == pytest.approx(1 + 30 / 31 * 2 + 10 / 31 * 6 + 3 / 31 * 18)
    assert fresh_promise(0, {}, None, 3600.0).chance == 1.0


@pytest.mark.parametrize(("iterations", "milestone"), [(0, None), (1, 1), (8, 3), (9, 9), (40, 9)])
def test_the_last_milestone(iterations: int, milestone: int | None) -> None:
    assert milestone_of(iterations, (1, 3, 9)) == milestone
