"""The only reader of wall time. Everything else takes `now` as an argument or is handed a Clock.

`SystemClock` is the world's time. `ReplayClock` maps wall time to another day at another speed, which lets a real
cluster live through a day of grid data in minutes. `ManualClock` moves only when told to.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable


def require_utc(instant: datetime, name: str = "instant") -> datetime:
    """Return `instant` unchanged if it is aware and in UTC.

    A zone that is only at times at offset zero (London in winter) is refused too: adding a span to such an instant counts
    local time.

    Raises:
        ValueError: The instant is naive or in another time zone.
    """
    if instant.tzinfo is UTC:
        return instant
    if instant.tzinfo is None or instant.tzinfo.utcoffset(None) != timedelta(0):
        raise ValueError(f"{name} must be an aware UTC datetime, got {instant!r}")
    return instant


def parse_utc(text: str) -> datetime:
    """Read an ISO 8601 instant with an offset (`2022-05-02T16:00Z`) and return it in UTC.

    Raises:
        ValueError: The text is no ISO instant, or has no offset.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an ISO 8601 instant such as 2022-05-02T16:00Z") from None
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write 2022-05-02T16:00Z")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999 in UTC") from None


def wall_now() -> datetime:
    """The present instant of the real world, aware UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


@runtime_checkable
class Clock(Protocol):
    """Source of `now` for the parts that act."""

    @property
    def speedup(self) -> float:
        """Seconds of this clock per second of wall time."""
        ...

    def now(self) -> datetime:
        """The present instant, aware UTC; never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The real world's time."""

    @property
    def speedup(self) -> float:
        """Always 1."""
        return 1.0

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        return wall_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayClock:
    """Another day at another speed: `start_at` at the wall instant `origin_at`, then `speedup` seconds a second.

    Frozen and picklable: two processes with equal fields read the same time. Before `origin_at` it stands at `start_at`.

    Attributes:
        start_at: Replayed instant at the origin, aware UTC.
        speedup: Replayed seconds per wall second, above zero.
        origin_at: Wall instant at which the replay begins, aware UTC.
    """

    start_at: datetime
    speedup: float
    origin_at: datetime

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        require_utc(self.origin_at, "origin_at")
        if not 0 < self.speedup < math.inf:
            raise ValueError(f"speedup must be above 0 and finite, got {self.speedup}")

    @classmethod
    def starting_now(cls, start_at: datetime, speedup: float) -> ReplayClock:
        """A replay whose origin is the present wall instant."""
        return cls(start_at=start_at, speedup=speedup, origin_at=wall_now())

    def now(self) -> datetime:
        """The replayed instant, aware UTC."""
        elapsed = max(timedelta(0), wall_now() - self.origin_at)
        return self.start_at + elapsed * self.speedup


class ManualClock:
    """A clock that moves only by `advance`; for tests and simulation."""

    def __init__(self, now: datetime) -> None:
        self._now = require_utc(now, "now")

    @property
    def speedup(self) -> float:
        """Always 1."""
        return 1.0

    def now(self) -> datetime:
        """The instant last set."""
        return self._now

    def advance(self, span: timedelta) -> datetime:
        """Move forward by `span` and return the new instant.

        Raises:
            ValueError: The span is negative; time does not go back.
        """
        if span < timedelta(0):
            raise ValueError("time does not go back")
        self._now += span
        return self._now
