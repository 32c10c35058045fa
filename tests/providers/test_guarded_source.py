"""A source under guard: what it says of itself decides how long, and for which zones, it is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import (
    CarbonRayError,
    ProviderAccessError,
    ProviderQuotaError,
    ProviderRequestError,
    ProviderResponseError,
    ProviderUnavailable,
)
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.breaker import BreakerRule
from carbon_ray.providers.guarded import GuardedSource

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RULE = BreakerRule(failures=2, open_s=60.0, most_open_s=600.0, probe_s=30.0)


class Failing:
    """A source that has one thing to say."""

    name, kind = "failing", IntensityKind.AVERAGE_LIFECYCLE

    def __init__(self, error: CarbonRayError) -> None:
        self.error, self.asked = error, list[str]()

    def zones(self) -> tuple[str, ...]:
        return "DE", "ES"

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        self.asked.append(zone)
        raise self.error


def guarded(error: CarbonRayError) -> tuple[GuardedSource, Failing, ManualClock]:
    source, clock = Failing(error), ManualClock(T0)
    return GuardedSource("failing", lambda: source, kind=Failing.kind, rule=RULE, now=clock.now), source, clock


def ask(one: GuardedSource, zone: str, clock: ManualClock) -> type[CarbonRayError]:
    with pytest.raises(CarbonRayError) as caught:
        one.history(zone, clock.now() - DAY, clock.now())
    return type(caught.value)


def test_who_asks_to_wait_is_left_alone_for_all_zones_until_then() -> None:
    one, source, clock = guarded(ProviderQuotaError("failing", "DE", "used up", T0 + timedelta(hours=2)))
    assert ask(one, "DE", clock) is ProviderQuotaError
    assert ask(one, "ES", clock) is ProviderUnavailable
    clock.advance(timedelta(seconds=7199))
    assert ask(one, "DE", clock) is ProviderUnavailable
    assert source.asked == ["DE"]
    clock.advance(timedelta(seconds=2))
    assert ask(one, "DE", clock) is ProviderQuotaError
    assert source.asked == ["DE", "DE"]


@pytest.mark.parametrize("kind", [ProviderAccessError, ProviderRequestError, ProviderResponseError])
def test_what_is_wrong_with_one_zone_does_not_concern_the_others(kind: type[CarbonRayError]) -> None:
    one, source, clock = guarded(kind("failing", "DE", "not for you"))
    for _ in range(5):
        ask(one, "DE", clock)
    assert source.asked == ["DE"] * RULE.failures
    assert ask(one, "ES", clock) is kind
