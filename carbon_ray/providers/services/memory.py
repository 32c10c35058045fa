"""What a client remembers: answers for a while, and questions that are left alone because the key was refused."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from carbon_ray.core.clock import Clock
from carbon_ray.providers.services.answer import Answer

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Path and query of a question."""

MAX_ANSWERS, MAX_BODY_BYTES = 32, 2**22
FIRST_COOLDOWN, LAST_COOLDOWN = timedelta(seconds=30), timedelta(seconds=3600)


class AnswerMemory:
    """The last answers, each for `keep_s` seconds; 0 keeps none."""

    def __init__(self, clock: Clock, keep_s: float) -> None:
        self._clock, self._keep_s = clock, keep_s
        self._answers: OrderedDict[Key, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Answer | None:
        """The answer to a question, unless it has become too old."""
        with self._lock:
            answer = self._answers.get(key)
        if answer is None:
            return None
        age_s = (self._clock.now() - answer.fetched_at).total_seconds()
        return answer if 0 <= age_s < self._keep_s else None

    def keep(self, key: Key, answer: Answer) -> None:
        """Remember an answer, unless it is large."""
        if not self._keep_s or len(answer.body) > MAX_BODY_BYTES:
            return
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)


class Cooldown:
    """Questions that are left alone: for 30 s at first, twice as long every further time, an hour at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[Key, tuple[datetime, timedelta]] = {}
        self._lock = threading.Lock()

    def begin(self, key: Key) -> None:
        """Leave a question alone from now on."""
        with self._lock:
            _, last = self._until.get(key, (None, FIRST_COOLDOWN / 2))
            span = min(last * 2, LAST_COOLDOWN)
            self._until[key] = (self._clock.now() + span, span)

    def forget(self, key: Key) -> None:
        """A question was answered."""
        with self._lock:
            self._until.pop(key, None)

    def until(self, key: Key) -> datetime | None:
        """Until when a question is left alone; None if it may be asked."""
        with self._lock:
            until_at, _ = self._until.get(key, (None, None))
        return until_at if until_at is not None and self._clock.now() < until_at else None
