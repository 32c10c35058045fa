"""The circuit breaker: opens after failures in a row, lets one probe through, and closes by a success alone."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.providers.breaker import CLOSED, Breaker, BreakerRule, Circuit, admit, failed

T0 = datetime(2026, 3, 1, tzinfo=UTC)
RULE = BreakerRule(failures=3, open_s=60.0, growth=2.0, most_open_s=200.0, probe_s=30.0)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def opened() -> Breaker:
    breaker = CLOSED
    for _ in range(3):
        breaker = failed(breaker, RULE, T0)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = CLOSED
    for count in (1, 2):
        breaker = failed(breaker, RULE, T0)
        assert (breaker.failures, breaker.circuit(T0)) == (count, Circuit.CLOSED)
        assert admit(breaker, RULE, T0) == (breaker, True)
    breaker = failed(breaker, RULE, T0)
    assert breaker.circuit(T0) is Circuit.OPEN
    assert breaker.open_until_at == at(60)
    assert admit(breaker, RULE, at(59.9)) == (breaker, False)


def test_a_success_between_them_forgets_the_failures() -> None:
    breaker = failed(failed(CLOSED, RULE, T0), RULE, T0)
    assert failed(failed(CLOSED, RULE, T0), RULE, T0) == breaker


def test_half_open_lets_one_probe_through_and_another_when_that_is_lost() -> None:
    breaker, is_admitted = admit(opened(), RULE, at(60))
    assert is_admitted
    assert breaker.circuit(at(60)) is Circuit.HALF_OPEN
    assert admit(breaker, RULE, at(61))[1] is False
    assert admit(breaker, RULE, at(89.9))[1] is False
    assert admit(breaker, RULE, at(90))[1] is True


def test_each_failed_probe_opens_for_longer_up_to_the_limit() -> None:
    breaker, now, spans = opened(), T0, []
    for _ in range(4):
        assert breaker.open_until_at is not None
        spans.append((breaker.open_until_at - now).total_seconds())
        now = breaker.open_until_at
        probing, is_admitted = admit(breaker, RULE, now)
        assert is_admitted
        breaker = failed(probing, RULE, now)
    assert spans == [60.0, 120.0, 200.0, 200.0]
    assert CLOSED.circuit(now) is Circuit.CLOSED


def test_a_source_that_asks_to_be_left_alone_is() -> None:
    breaker = failed(CLOSED, RULE, T0, not_before_at=at(3600))
    assert breaker.open_until_at == at(3600)
    assert failed(CLOSED, RULE, T0, not_before_at=at(5)).open_until_at == at(60), "and never for less than the rule says"
    assert failed(CLOSED, RULE, T0, not_before_at=at(-5)).open_until_at is None


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"open_s": 0.0}, {"open_s": 300.0}, {"growth": 0.5}, {"probe_s": 0.0}, {"most_open_s": math.inf}]
)
def test_an_impossible_rule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a breaker needs"):
        BreakerRule(**{"most_open_s": 200.0, **wrong})  # type: ignore[arg-type]  # a table


@given(st.lists(st.tuples(st.floats(0, 500), st.booleans()), max_size=60))
def test_whatever_happens_it_is_never_shut_for_good_and_a_success_closes_it(steps: list[tuple[float, bool]]) -> None:
    breaker, now = CLOSED, T0
    for pause, is_good in steps:
        now += timedelta(seconds=pause)
        before = breaker
        breaker, is_admitted = admit(breaker, RULE, now)
        if before.circuit(now) is Circuit.OPEN:
            assert not is_admitted
        if is_admitted:
            breaker = CLOSED if is_good else failed(breaker, RULE, now)
            assert not is_good or breaker == CLOSED
        assert breaker.open_until_at is None or breaker.open_until_at <= now + timedelta(seconds=RULE.most_open_s)
    later = now + timedelta(seconds=RULE.most_open_s + RULE.probe_s)
    assert admit(breaker, RULE, later)[1]


def test_months_of_failures_do_not_overflow() -> None:
    breaker, now = opened(), T0
    for _ in range(3000):
        now = breaker.open_until_at or now
        breaker = failed(admit(breaker, RULE, now)[0], RULE, now)
    assert breaker.opened == 3001
