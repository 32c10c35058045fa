"""The gate of one client: so many requests at a time, so far apart, so many in a span, and none while a service is closed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from carbon_ray.core.clock import Clock
from carbon_ray.providers.base import Quota


class Gate:
    """Lets requests through one by one. Safe to use from several threads.

    A lane is a part of a service with a limit of its own, such as a data set; `min_interval_s` holds within a lane, the quota
    over all.

    Args:
        clock: Tells the time.
        sleep: Pauses.
        max_in_flight: Requests at the same time.
        min_interval_s: Least time between the beginnings of two requests in a lane.
        quota: Requests in a span, over all lanes; None for no limit.
        max_wait_s: Longest pause; beyond it `refuse` is called.
    """

    def __init__(
        self,
        clock: Clock,
        sleep: Callable[[float], None],
        *,
        max_in_flight: int = 1,
        min_interval_s: float = 0.0,
        quota: Quota | None = None,
        max_wait_s: float = 60.0,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._interval, self._quota, self._max_wait = timedelta(seconds=min_interval_s), quota, timedelta(seconds=max_wait_s)
        self._lock = threading.Lock()
        self._begun: deque[datetime] = deque()
        self._next_at: dict[str, datetime] = {}
        self._closed_until: dict[str, datetime] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold one of the places for requests."""
        with self._slots:
            yield

    def pass_through(self, lane: str = "") -> datetime | None:
        """Wait until a request may begin, and count it.

        Returns:
            None if it may begin now; an instant if that would be too long a wait: nothing was counted then.
        """
        while True:
            with self._lock:
                now = self._clock.now()
                at = self._free_at(lane, now)
                if at <= now:
                    self._begun.append(now)
                    self._next_at[lane] = now + self._interval
                    return None
            if at - now > self._max_wait:
                return at
            self._sleep((at - now).total_seconds())

    def close(self, until_at: datetime, lane: str = "") -> None:
        """Let nothing through before `until_at`."""
        with self._lock:
            self._closed_until[lane] = max(until_at, self._closed_until.get(lane, until_at))

    def _free_at(self, lane: str, now: datetime) -> datetime:
        at = max(now, self._next_at.get(lane, now), self._closed_until.get(lane, now))
        if self._quota is not None:
            span = timedelta(seconds=self._quota.per_s)
            while self._begun and self._begun[0] <= now - span:
                self._begun.popleft()
            if len(self._begun) >= self._quota.requests:
                at = max(at, self._begun[-self._quota.requests] + span)
        else:
            self._begun.clear()
        return at
