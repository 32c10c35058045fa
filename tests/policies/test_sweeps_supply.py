"""The cheapest hours of a sweep, where its trials are placed, and the limits of time and money."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.policies.sweeps.limits import affordable, room_of
from carbon_ray.policies.sweeps.placing import Guest, place
from carbon_ray.policies.sweeps.state import SweepView, TrialState, TrialView
from carbon_ray.policies.sweeps.supply import Fill, Ladder, Supply

T0 = datetime(2022, 3, 1, tzinfo=UTC)


def supply(*rows: tuple[float, ...], room: tuple[float, ...] | None = None) -> Supply:
    prices = np.array(rows, dtype=np.float64)
    return Supply(
        names=tuple("abcd"[: prices.shape[1]]),
        gco2_per_h=prices,
        room=np.array(room or (4.0,) * prices.shape[1]),
        slot_h=1.0,
    )


def fill(made: Supply, work_h: float, most: int, budget_gco2: float = math.inf) -> Fill:
    return Ladder.of(made, most).fill(work_h, budget_gco2)


@pytest.mark.parametrize(
    ("rows", "room", "work_h", "most", "now", "marginal", "gco2", "at_once"),
    [
        (((3.0,), (1.0,), (2.0,)), None, 4.0, 4, 0.0, 1.0, 4.0, 12.0),
        (((3.0,), (1.0,), (2.0,)), None, 6.0, 4, 0.0, 2.0, 8.0, 14.0),
        (((3.0,), (1.0,), (2.0,)), None, 9.0, 4, 1.0, 3.0, 15.0, 18.0),
        (((2.0,), (2.0,), (2.0,)), None, 4.0, 4, 4.0, 2.0, 8.0, 8.0),  # of equal hours the earliest
        (((3.0, 1.0), (2.0, 5.0)), None, 4.0, 4, 4.0, 1.0, 4.0, 4.0),  # of two regions the cleaner
        (((3.0, 1.0), (2.0, 5.0)), (4.0, 1.0), 4.0, 4, 1.0, 2.0, 7.0, 10.0),  # as far as it has room
    ],
)
def test_the_cheapest_hours(
    rows: tuple[tuple[float, ...], ...],
    room: tuple[float, ...] | None,
    work_h: float,
    most: int,
    now: float,
    marginal: float,
    gco2: float,
    at_once: float,
) -> None:
    plan = fill(supply(*rows, room=room), work_h, most)
    assert (plan.trials_now, plan.marginal_gco2_per_h, plan.gco2, plan.at_once_gco2, plan.fits) == pytest.approx(
        (now, marginal, gco2, at_once, True)
    )


def test_work_that_does_not_fit_is_told() -> None:
    assert not fill(supply((1.0,), (2.0,)), 9.0, 4).fits


def test_a_budget_pays_for_the_very_cheapest_hours() -> None:
    plan = fill(supply((3.0,), (1.0,), (2.0,)), 8.0, 4, budget_gco2=6.0)
    assert (plan.trials_now, plan.gco2, plan.marginal_gco2_per_h) == pytest.approx((0.0, 6.0, 2.0))


prices = st.lists(st.lists(st.integers(1, 9).map(float), min_size=2, max_size=2), min_size=1, max_size=3)


@settings(deadline=None)
@given(prices=prices, room=st.tuples(st.integers(0, 2), st.integers(1, 2)), most=st.integers(1, 3), work=st.integers(1, 4))
def test_no_other_choice_of_hours_emits_less(prices: list[list[float]], room: tuple[int, int], most: int, work: int) -> None:
    made = supply(*map(tuple, prices), room=(float(room[0]), float(room[1])))
    plan = fill(made, float(work), most)
    each_slot = [counts for counts in itertools.product(range(room[0] + 1), range(room[1] + 1)) if sum(counts) <= most]
    costs = [
        sum(n * price for counts, row in zip(chosen, prices, strict=True) for n, price in zip(counts, row, strict=True))
        for chosen in itertools.product(each_slot, repeat=len(prices))
        if sum(map(sum, chosen)) == work
    ]
    assert plan.fits == bool(costs)
    if costs:
        assert plan.gco2 == pytest.approx(min(costs))
        assert plan.gco2 <= plan.at_once_gco2 + 1e-9


@settings(max_examples=50, deadline=None)
@given(prices=prices, extra=prices, work=st.floats(0.1, 6.0))
def test_more_slack_never_costs_more(prices: list[list[float]], extra: list[list[float]], work: float) -> None:
    shorter, longer = supply(*map(tuple, prices)), supply(*map(tuple, prices + extra))
    if fill(shorter, work, 2).fits:
        assert fill(longer, work, 2).gco2 <= fill(shorter, work, 2).gco2 + 1e-9


def test_a_trial_changes_its_region_only_where_that_pays() -> None:
    made = supply((100.0, 95.0), (100.0, 95.0), room=(4.0, 1.0))
    short, long = Guest("s", "a", 0.5), Guest("l", "a", 2.0)
    assert place(made, [short], move_h=0.1) == ({"a": 1, "b": 0}, {})
    assert place(made, [long], move_h=0.1) == ({"a": 0, "b": 1}, {"l": "b"})
    assert place(made, [Guest(None, "", 1.0), long], move_h=0.1) == ({"a": 1, "b": 1}, {})  # the room is taken


def test_guests_without_room_are_left_out() -> None:
    made = supply((1.0, 2.0), room=(1.0, 1.0))
    slots, _ = place(made, [Guest(None, "", 1.0)] * 3, move_h=0.1)
    assert slots == {"a": 1, "b": 1}


def view(**changes: object) -> SweepView:
    given: dict[str, object] = {
        "started_at": T0,
        "deadline_at": T0 + timedelta(hours=20),
        "max_concurrency": 4,
        "unstarted": 10,
        "remaining_trial_s": 16 * 3600.0,
        "iteration_s": 1800.0,
        "max_iterations": 4,
    }
    return SweepView(**(given | changes))  # type: ignore[arg-type]


def running(name: str, iterations: int = 1, own_s: float = 1800.0) -> TrialView:
    return TrialView(trial_id=name, state=TrialState.RUNNING, iterations=iterations, seconds_per_iteration=own_s)


@pytest.mark.parametrize(
    ("hours", "is_forced", "is_past"),
    [(0.0, False, False), (13.9, False, False), (14.1, True, False), (19.4, True, False), (19.6, True, True), (21.0, True, True)],
)
def test_the_deadline_forces_in_time_for_the_longest_chain(hours: float, is_forced: bool, is_past: bool) -> None:
    # 16 h on 4 lanes, and 3/4 of a chain of 2 h behind: 5.5 h, and half an hour of margin.
    room = room_of(view(), now=T0 + timedelta(hours=hours), patience_s=0.0, safety_margin_s=1800.0)
    assert (room.is_forced, room.is_past) == (is_forced, is_past)
    assert room.window_s == pytest.approx((18.0 - hours) * 3600)


def test_a_trial_whose_chain_just_fits_is_urgent_and_one_whose_iteration_does_not_is_late() -> None:
    seen = view(trials=(running("slow", own_s=7200.0), running("quick", own_s=60.0)))
    at = {hour: room_of(seen, now=T0 + timedelta(hours=hour), patience_s=0.0, safety_margin_s=0.0) for hour in (10.0, 14.5, 18.5)}
    assert [set(at[hour].urgent) for hour in at] == [set(), {"slow"}, {"slow"}]
    assert [set(at[hour].late) for hour in at] == [set(), set(), {"slow"}]


def test_without_a_deadline_it_is_as_patient_as_it_was_told() -> None:
    room = room_of(view(deadline_at=None), now=T0 + timedelta(hours=5), patience_s=10 * 3600.0, safety_margin_s=0.0)
    assert not room.is_forced
    assert not room.is_past
    assert not room.urgent
    assert room.window_s == pytest.approx((10 - 5 + 4) * 3600)
    assert room_of(view(deadline_at=None), now=T0 + timedelta(days=9), patience_s=0.0, safety_margin_s=0.0).window_s > 0


def test_few_trials_have_few_lanes() -> None:
    assert room_of(view(unstarted=1, trials=(running("a"),)), now=T0, patience_s=0.0, safety_margin_s=0.0).lanes == 2
    assert room_of(view(unstarted=None), now=T0, patience_s=0.0, safety_margin_s=0.0).lanes == 4


@pytest.mark.parametrize(("left_gco2", "count"), [(1000.0, 13), (150.0, 2), (75.0, 1), (50.0, 1), (49.0, 0), (-1.0, 0)])
def test_the_budget_pays_for_so_many(left_gco2: float, count: int) -> None:
    # 100 g an hour; each may run on for a quarter of an hour and then ends an iteration of half an hour.
    seen = view(budget_gco2=2000.0, emitted_gco2=2000.0 - left_gco2)
    assert affordable(seen, 100.0, check_s=900.0) == count
    assert affordable(view(), 100.0, check_s=900.0) is None
