"""Circuit breaking for a source of many zones: one zone's trouble is not the source's, and the source's trouble is every zone's.

Each zone has a breaker of its own, and the source has one. The source's opens when requests fail in as many different zones as it
takes, or in all that were ever asked for; an answer, even a useless one, closes it. Values and functions, as in `breaker`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from carbon_ray.providers.breaker import CLOSED, Breaker, BreakerRule, Circuit, admit, failed


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBreaker:
    """What is remembered of one source.

    Attributes:
        whole: Of the source.
        zones: Of zones that failed last.
        asked: Zones that were ever asked for.
    """

    whole: Breaker = CLOSED
    zones: Mapping[str, Breaker] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()

    def left_alone(self, now: datetime) -> tuple[str, ...]:
        """Zones that are not asked for because of their own failures, sorted."""
        return tuple(sorted(zone for zone, one in self.zones.items() if one.circuit(now) is Circuit.OPEN))

    def open_until_at(self, zone: str) -> datetime | None:
        """Until when a zone is left alone, for whichever reason lasts longer; None where it is not."""
        known = [one.open_until_at for one in (self.whole, self.zones.get(zone, CLOSED)) if one.open_until_at is not None]
        return max(known, default=None)


def admit_zone(breaker: SourceBreaker, zone: str, rule: BreakerRule, now: datetime) -> tuple[SourceBreaker, bool]:
    """Whether the source may be asked for a zone now; the breaker to keep if it is."""
    of_zone, zone_may = admit(breaker.zones.get(zone, CLOSED), rule, now)
    whole, source_may = admit(breaker.whole, rule, now)
    if not (zone_may and source_may):
        return breaker, False
    zones = {**breaker.zones, zone: of_zone} if zone in breaker.zones else breaker.zones
    return replace(breaker, whole=whole, zones=zones, asked=breaker.asked | {zone}), True


def zone_answered(breaker: SourceBreaker, zone: str) -> SourceBreaker:
    """After an answer for a zone."""
    return replace(breaker, whole=CLOSED, zones={name: one for name, one in breaker.zones.items() if name != zone})


def zone_refused(breaker: SourceBreaker, zone: str, rule: BreakerRule, now: datetime) -> SourceBreaker:
    """After an answer that is of no use: the source is there, and the zone has a failure more."""
    return replace(breaker, whole=CLOSED, zones={**breaker.zones, zone: failed(breaker.zones.get(zone, CLOSED), rule, now)})


def zone_failed(
    breaker: SourceBreaker, zone: str, rule: BreakerRule, now: datetime, *, not_before_at: datetime | None = None
) -> SourceBreaker:
    """After a request without an answer.

    Args:
        breaker: Before it.
        zone: What was asked for.
        rule: When to open, and for how long.
        now: Aware UTC.
        not_before_at: The source itself asked not to be asked before this instant, for whatever zone.
    """
    after = zone_refused(breaker, zone, rule, now)
    whole = breaker.whole
    is_everywhere = len(after.zones) >= min(rule.failures, len(breaker.asked))
    if is_everywhere or whole.open_until_at is not None or not_before_at is not None:
        whole = failed(whole, rule, now, not_before_at=not_before_at)
    else:  # counted, and opened only when another zone fails too
        whole = replace(whole, failures=min(whole.failures + 1, rule.failures - 1))
    return replace(after, whole=whole)
