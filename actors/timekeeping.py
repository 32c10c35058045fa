"""The cluster's clock, the same in every process: system time, or a replay that begins with the first submission."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from carbon_ray.config.settings import ClockSettings
from carbon_ray.core.clock import Clock, ReplayClock, SystemClock, parse_utc, wall_now

ORIGIN_KEY = "replay_origin_at"


class SharedReplayClock:
    """A replay that stands at its first instant until some process starts it, and then runs alike in all of them.

    Args:
        start_at: Replayed instant at the start, aware UTC.
        speedup: Replayed seconds per wall second.
        read_origin: Returns the wall instant of the start as text, or None before it.
        put_origin: Stores that text if none is there yet.
    """

    def __init__(
        self, start_at: datetime, speedup: float, read_origin: Callable[[], str | None], put_origin: Callable[[str], object]
    ) -> None:
        self._start_at, self._speedup = start_at, speedup
        self._read_origin, self._put_origin = read_origin, put_origin
        self._running: ReplayClock | None = None

    @property
    def speedup(self) -> float:
        """Replayed seconds per wall second."""
        return self._speedup

    def now(self) -> datetime:
        """The replayed instant; the first one until the replay was started."""
        running = self.running()
        return self._start_at if running is None else running.now()

    def running(self) -> ReplayClock | None:
        """The clock since its start; None before."""
        if self._running is None and (origin := self._read_origin()) is not None:
            self._running = ReplayClock(start_at=self._start_at, speedup=self._speedup, origin_at=parse_utc(origin))
        return self._running

    def start(self) -> None:
        """Start the replay, if nobody did."""
        if self.running() is None:
            self._put_origin(wall_now().isoformat())


def cluster_clock(settings: ClockSettings, read_origin: Callable[[], str | None], put_origin: Callable[[str], object]) -> Clock:
    """The clock that a configuration asks for."""
    if settings.start_at is None:
        return SystemClock()
    return SharedReplayClock(settings.start_at, settings.speedup, read_origin, put_origin)
