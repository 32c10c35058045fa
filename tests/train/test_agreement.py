"""All ranks stop and save at the same boundaries, whatever the speed of the steps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.train.agreement import MAX_STRIDE, NOTHING, Agreement, Order

durations = st.lists(st.floats(1e-6, 50.0), min_size=1, max_size=60)


@settings(deadline=None)
@given(durations, st.integers(2, 5), st.sampled_from([0.0, 0.5, 2.0, 60.0]), st.data())
def test_ranks_that_take_the_same_orders_are_asked_at_the_same_boundaries(
    steps_s: list[float], ranks: int, every_s: float, data: st.DataObject
) -> None:
    agreements = [Agreement(ranks, every_s) for _ in range(ranks)]
    elapsed_s = 0.0
    for step_s in steps_s:
        elapsed_s += step_s
        due = {agreement.is_due() for agreement in agreements}
        assert len(due) == 1
        if due == {True}:
            wants_stop, can_save = data.draw(st.booleans()), data.draw(st.booleans())
            order = agreements[0].order(wants_stop=wants_stop, wants_save=False, can_save=can_save, elapsed_s=elapsed_s)
            assert 1 <= order.stride <= MAX_STRIDE
            for agreement in agreements:
                agreement.take(order)


@pytest.mark.parametrize(
    ("wants_stop", "wants_save", "can_save", "stop", "save"),
    [
        (False, False, True, False, False),
        (False, True, True, False, True),
        (False, True, False, False, False),
        (True, False, True, True, True),  # nobody stops without a checkpoint
        (True, True, True, True, True),
        (True, True, False, False, False),
        (True, False, False, False, False),
    ],
)
def test_a_segment_ends_only_where_a_checkpoint_can_be_taken(
    wants_stop: bool, wants_save: bool, can_save: bool, stop: bool, save: bool
) -> None:
    agreement = Agreement(2, 2.0)
    assert agreement.is_due()
    order = agreement.order(wants_stop=wants_stop, wants_save=wants_save, can_save=can_save, elapsed_s=1.0)
    assert (order.stop, order.save) == (stop, save)


def test_while_a_stop_waits_every_boundary_is_asked_about() -> None:
    agreement = Agreement(2, 100.0)
    for boundary in range(1, 50):
        assert agreement.is_due()
        order = agreement.order(wants_stop=True, wants_save=False, can_save=boundary == 49, elapsed_s=boundary * 0.01)
        assert (order.stride, order.stop) == (1, boundary == 49)
        agreement.take(order)


@pytest.mark.parametrize(
    ("step_s", "every_s", "stride"),
    [(0.01, 2.0, 200), (0.5, 2.0, 4), (1.5, 2.0, 1), (10.0, 2.0, 1), (1e-6, 2.0, MAX_STRIDE), (0.01, 0.0, 1)],
)
def test_questions_come_about_as_often_as_asked_for(step_s: float, every_s: float, stride: int) -> None:
    agreement, asked, boundary = Agreement(4, every_s), [], 0
    while len(asked) < 4:
        boundary += 1
        if agreement.is_due():
            asked.append(boundary)
            agreement.take(agreement.order(wants_stop=False, wants_save=False, can_save=True, elapsed_s=boundary * step_s))
    assert asked[:2] == [1, 2], "the speed is known after two questions"
    assert [after - before for before, after in pairwise(asked[1:])] == pytest.approx([stride] * 2, abs=1)


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    agreement = Agreement(2, 2.0)
    for _ in range(3):
        agreement.is_due()
        order = agreement.order(wants_stop=False, wants_save=False, can_save=True, elapsed_s=7.0)
        assert order.stride == 1
        agreement.take(order)


def test_a_single_rank_is_asked_at_every_boundary() -> None:
    agreement = Agreement(1, 2.0)
    for _ in range(10):
        assert agreement.is_due()
        agreement.take(Order(stride=1000))
    assert Order(stop=False, save=False, stride=1) == NOTHING
