"""Breakers of a source and of its zones: whose trouble is whose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from carbon_ray.providers.breaker import BreakerRule, Circuit
from carbon_ray.providers.source_breaker import SourceBreaker, admit_zone, zone_answered, zone_failed, zone_refused

T0 = datetime(2026, 3, 1, tzinfo=UTC)
RULE = BreakerRule(failures=3, open_s=60.0, most_open_s=600.0, probe_s=30.0)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def ask(breaker: SourceBreaker, zone: str, now: datetime = T0) -> SourceBreaker:
    breaker, is_admitted = admit_zone(breaker, zone, RULE, now)
    assert is_admitted
    return breaker


def may(breaker: SourceBreaker, zone: str, now: datetime = T0) -> bool:
    return admit_zone(breaker, zone, RULE, now)[1]


def test_a_zone_that_fails_alone_is_left_alone_by_itself() -> None:
    breaker = zone_answered(ask(SourceBreaker(), "ES"), "ES")
    for _ in range(5):
        if may(breaker, "DE"):
            breaker = zone_failed(ask(breaker, "DE"), "DE", RULE, T0)
    assert (may(breaker, "DE"), may(breaker, "ES")) == (False, True)
    assert breaker.left_alone(T0) == ("DE",)
    assert breaker.whole.circuit(T0) is Circuit.CLOSED
    assert breaker.open_until_at("DE") == at(60)
    assert breaker.open_until_at("ES") is None


def test_failures_in_enough_zones_spare_the_others() -> None:
    breaker, asked = SourceBreaker(), 0
    for zone in "ABCDEFGH":
        breaker = zone_answered(ask(breaker, zone), zone)
    for zone in "ABCDEFGH":
        if may(breaker, zone):
            breaker, asked = zone_failed(ask(breaker, zone), zone, RULE, T0), asked + 1
    assert asked == 3
    assert breaker.whole.circuit(T0) is Circuit.OPEN
    assert not may(breaker, "H", at(59))
    assert may(breaker, "H", at(60))


def test_the_only_zone_of_a_source_opens_both() -> None:
    breaker = SourceBreaker()
    for _ in range(3):
        breaker = zone_failed(ask(breaker, "DE"), "DE", RULE, T0)
    assert breaker.whole.circuit(T0) is Circuit.OPEN
    breaker = zone_answered(ask(breaker, "DE", at(60)), "DE")
    assert breaker == SourceBreaker(asked=frozenset({"DE"}))


def test_one_probe_for_the_whole_source() -> None:
    breaker = SourceBreaker()
    for zone in "ABC":
        breaker = zone_failed(ask(breaker, zone), zone, RULE, T0)
    breaker = ask(breaker, "A", at(60))
    assert not may(breaker, "B", at(61))
    breaker = zone_failed(breaker, "A", RULE, at(61))
    assert not may(breaker, "B", at(180))
    assert may(breaker, "B", at(181))


def test_a_useless_answer_shows_that_the_source_is_there() -> None:
    breaker = SourceBreaker()
    for zone in "ABC":
        breaker = zone_failed(ask(breaker, zone), zone, RULE, T0)
    breaker = zone_refused(ask(breaker, "A", at(60)), "A", RULE, at(60))
    assert breaker.whole.circuit(at(60)) is Circuit.CLOSED
    assert may(breaker, "B", at(60))
    for _ in range(2):
        breaker = zone_refused(breaker, "A", RULE, at(60))
    assert (may(breaker, "A", at(60)), may(breaker, "B", at(60))) == (False, True)


def test_a_source_that_asks_for_peace_gets_it_for_all_zones() -> None:
    breaker = zone_answered(ask(SourceBreaker(), "ES"), "ES")
    breaker = zone_failed(ask(breaker, "DE"), "DE", RULE, T0, not_before_at=at(3600))
    assert not may(breaker, "ES", at(3599))
    assert breaker.open_until_at("ES") == at(3600)
    assert may(breaker, "ES", at(3600))
