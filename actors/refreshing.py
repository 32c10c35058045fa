"""One thread that does everything slow, one thing at a time: what is asked of it waits in a short line, or is sent away.

However long a source takes, at most one refresh is in flight, and readers are never behind it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, TypeVar

from carbon_ray.actors.forecast_health import RefreshLoad
from carbon_ray.core.errors import ForecastError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Refreshing:
    """Runs `turn` again and again in a thread of its own, and between its turns what others ask for.

    Args:
        turn: Done in every round; answers after how many seconds the next one is due. What it raises is logged.
        most_waiting: Requests that may wait; more are refused.
        patience_s: Seconds that a request waits for its answer.
        name: Of the thread.
    """

    def __init__(
        self, turn: Callable[[], float], *, most_waiting: int = 8, patience_s: float = 60.0, name: str = "forecast-refresh"
    ) -> None:
        self._turn, self._patience_s = turn, patience_s
        self._line: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue(most_waiting)
        self._began_s: float | None = None
        self._last_s: float | None = None
        self._rounds = self._refused = 0
        self._has_turned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with the first round."""
        self._thread.start()

    def wait_for_round(self, timeout_s: float) -> bool:
        """Wait for the end of the first round; True if it has ended."""
        return self._has_turned.wait(timeout_s)

    def do(self, work: Callable[[], T]) -> T:
        """Have something done by the thread, and wait for its answer.

        Raises:
            ForecastError: Too many wait already, or there was no answer in time.
            Exception: Whatever `work` raises.
        """
        answer: Future[T] = Future()
        try:
            self._line.put_nowait((answer, work))
        except queue.Full:
            self._refused += 1
            raise ForecastError(f"{self._line.maxsize} requests wait for a refresh already; ask again in some seconds") from None
        try:
            return answer.result(self._patience_s)
        except NotInTime:
            if not answer.cancel() and answer.done():  # it came just now
                return answer.result()
            raise ForecastError(f"a refresh has not ended within {self._patience_s:g} s; what there is, is still served") from None

    def load(self) -> RefreshLoad:
        """What it has to do now."""
        began_s = self._began_s
        return RefreshLoad(
            running_s=None if began_s is None else time.monotonic() - began_s,
            last_s=self._last_s,
            rounds=self._rounds,
            waiting=self._line.qsize(),
            refused=self._refused,
        )

    def _run(self) -> None:
        while True:
            pause_s = self._timed(self._round)
            due_s = time.monotonic() + pause_s
            while (left_s := due_s - time.monotonic()) > 0:
                try:
                    answer, work = self._line.get(timeout=left_s)
                except queue.Empty:
                    break
                self._timed(lambda answer=answer, work=work: self._answer(answer, work))  # type: ignore[misc]  # bound now, not later

    def _round(self) -> float:
        try:
            return self._turn()
        except Exception:  # the thread must outlive any surprise; what is served stays
            log.exception("%s failed", self._thread.name)
            return 10.0
        finally:
            self._rounds += 1
            self._has_turned.set()

    def _timed(self, work: Callable[[], T]) -> T:
        self._began_s = began_s = time.monotonic()
        try:
            return work()
        finally:
            self._last_s, self._began_s = time.monotonic() - began_s, None

    @staticmethod
    def _answer(answer: Future[Any], work: Callable[[], Any]) -> None:
        if not answer.set_running_or_notify_cancel():  # who asked has given up
            return
        try:
            answer.set_result(work())
        except Exception as error:  # goes to who asked
            answer.set_exception(error)
