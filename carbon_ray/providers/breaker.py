"""Circuit breaking, as values and functions: a source that keeps failing is left alone, and tried again with one request.

    closed     asked as usual
    open       not asked until `open_until_at`; each time longer, up to a limit
    half open  that instant has come: one request is let through, and its end closes the circuit or opens it again

No clock and no I/O: `now` is an argument, and the caller keeps the value.
Source: M. Nygard, Release It! (2007), "Circuit Breaker".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Circuit(StrEnum):
    """State of a breaker, as health and metrics show it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When to leave a source alone, and for how long.

    Attributes:
        failures: Failures in a row that open the circuit, at least 1.
        open_s: Seconds that it is open for the first time.
        growth: Factor of that from one opening to the next, at least 1.
        most_open_s: Seconds that it is open at most.
        probe_s: Seconds after which a probe that did not end counts as lost, and the next one may go.
    """

    failures: int = 3
    open_s: float = 60.0
    growth: float = 2.0
    most_open_s: float = 1800.0
    probe_s: float = 120.0

    def __post_init__(self) -> None:
        if self.failures < 1 or not 0 < self.open_s <= self.most_open_s < math.inf or not self.growth >= 1 or not self.probe_s > 0:
            raise ValueError(f"a breaker needs failures and growth of at least 1 and 0 < open_s <= most_open_s, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is remembered of one source.

    Attributes:
        failures: Failures in a row.
        opened: Openings in a row, without a success between them.
        open_until_at: Until when the source is not asked; None while the circuit is closed.
        probing_since_at: When the one request of a half-open circuit went; None without one.
    """

    failures: int = 0
    opened: int = 0
    open_until_at: datetime | None = None
    probing_since_at: datetime | None = None

    def circuit(self, now: datetime) -> Circuit:
        """The state at an instant."""
        if self.open_until_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self.open_until_at else Circuit.HALF_OPEN


CLOSED = Breaker()
"""Nothing has failed; also the breaker after any success."""


def admit(breaker: Breaker, rule: BreakerRule, now: datetime) -> tuple[Breaker, bool]:
    """Whether the source may be asked now; the breaker to keep if it is."""
    circuit = breaker.circuit(now)
    if circuit is Circuit.CLOSED:
        return breaker, True
    since_at = breaker.probing_since_at
    if circuit is Circuit.OPEN or (since_at is not None and now < since_at + timedelta(seconds=rule.probe_s)):
        return breaker, False
    return replace(breaker, probing_since_at=now), True


def failed(breaker: Breaker, rule: BreakerRule, now: datetime, *, not_before_at: datetime | None = None) -> Breaker:
    """The breaker after a failure.

    Args:
        breaker: Before it.
        rule: When to open, and for how long.
        now: Aware UTC.
        not_before_at: The source itself asked not to be asked before this instant: the circuit opens until then, at least.
    """
    failures = breaker.failures + 1
    is_probe = breaker.open_until_at is not None
    if not is_probe and failures < rule.failures and (not_before_at is None or not_before_at <= now):
        return replace(breaker, failures=failures)
    # The exponent is bounded, because a source may be away for months and a float ends at 1e308.
    open_s = min(rule.most_open_s, rule.open_s * rule.growth ** min(breaker.opened, 64))
    until_at = now + timedelta(seconds=open_s)
    if not_before_at is not None:
        until_at = max(until_at, not_before_at)
    return Breaker(failures=failures, opened=breaker.opened + 1, open_until_at=until_at)
