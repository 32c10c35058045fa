"""The refreshing thread: one thing at a time, a short line, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from carbon_ray.actors.refreshing import Refreshing
from carbon_ray.core.errors import ForecastError, ProviderUnavailable

LONG_S = 30.0


class Source:
    """Something slow that is let go by the test, and that counts how many are in it at once."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_begun = threading.Event()
        self.inside = self.most = self.calls = 0
        self._lock = threading.Lock()

    def ask(self) -> int:
        with self._lock:
            self.inside += 1
            self.calls += 1
            self.most = max(self.most, self.inside)
        self.has_begun.set()
        assert self.may_end.wait(LONG_S)
        with self._lock:
            self.inside -= 1
            return self.calls


def test_rounds_go_on_whatever_they_raise() -> None:
    done = threading.Semaphore(0)

    def turn() -> float:
        done.release()
        return 0.001

    refreshing = Refreshing(turn)
    assert not refreshing.wait_for_round(0.0)
    refreshing.start()
    for _ in range(5):
        assert done.acquire(timeout=LONG_S)
    assert refreshing.wait_for_round(LONG_S)
    assert refreshing.load().rounds >= 4
    assert refreshing.load().last_s is not None


def test_a_surprise_in_a_round_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    def turn() -> float:
        raise RuntimeError("surprise")

    refreshing = Refreshing(turn)
    refreshing.start()
    assert refreshing.wait_for_round(LONG_S)
    assert refreshing.do(lambda: 5) == 5
    assert "forecast-refresh failed" in caplog.text


def in_thread(pool: ThreadPoolExecutor, call: Callable[[], object]) -> Callable[[], object]:
    future = pool.submit(call)
    return lambda: future.result(LONG_S)


def test_requests_pile_up_to_a_limit_and_never_run_side_by_side() -> None:
    source = Source()
    refreshing = Refreshing(lambda: 60.0, most_waiting=3, patience_s=LONG_S)
    refreshing.start()
    assert refreshing.wait_for_round(LONG_S)
    with ThreadPoolExecutor(8) as pool:
        first = in_thread(pool, lambda: refreshing.do(source.ask))
        assert source.has_begun.wait(LONG_S)
        load = refreshing.load()
        assert load.running_s is not None
        waiting = []
        while refreshing.load().waiting < 3:
            before = refreshing.load().waiting
            waiting.append(in_thread(pool, lambda: refreshing.do(source.ask)))
            while refreshing.load().waiting == before:
                threading.Event().wait(0.001)
        for count in (1, 2):
            with pytest.raises(ForecastError, match="3 requests wait for a refresh already"):
                refreshing.do(source.ask)
            assert refreshing.load().refused == count
        source.may_end.set()
        assert sorted([first(), *(one() for one in waiting)]) == [1, 2, 3, 4]  # type: ignore[type-var]  # numbers
    assert source.most == 1
    assert refreshing.load().waiting == 0


def test_who_waits_too_long_is_told_and_what_nobody_waits_for_is_not_done() -> None:
    source = Source()
    refreshing = Refreshing(lambda: 60.0, most_waiting=3, patience_s=0.05)
    refreshing.start()
    assert refreshing.wait_for_round(LONG_S)
    with pytest.raises(ForecastError, match=r"has not ended within 0\.05 s"):
        refreshing.do(source.ask)
    with pytest.raises(ForecastError, match=r"has not ended within 0\.05 s"):
        refreshing.do(source.ask)
    source.may_end.set()
    patient = Refreshing(lambda: 60.0)
    patient.start()
    assert patient.do(lambda: "done") == "done"
    while refreshing.load().waiting or refreshing.load().running_s is not None:
        threading.Event().wait(0.001)
    assert source.calls == 1


def test_errors_go_to_who_asked() -> None:
    def fail() -> None:
        raise ProviderUnavailable("grid", "DE", "away")

    refreshing = Refreshing(lambda: 60.0)
    refreshing.start()
    with pytest.raises(ProviderUnavailable, match="grid, zone DE: away"):
        refreshing.do(fail)
    assert refreshing.do(lambda: 1) == 1
