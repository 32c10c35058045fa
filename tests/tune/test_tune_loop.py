"""The virtual loop itself: it must treat base schedulers as Tune does, else nothing that is shown with it counts."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, HyperBandScheduler, TrialScheduler

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.tune_loop import ListedTrials, LoopStalled, LoopTiming, RecordedCurves, TuneLoop
from tests.tune.sweeping import carbon_aware, sweep

START = datetime(2022, 5, 1, tzinfo=UTC)


def curves(count: int, iterations: int, seed: int = 1) -> dict[int, list[float]]:
    draw = np.random.default_rng(seed)
    steps = np.arange(1, iterations + 1)
    return {one: list(draw.uniform(0.2, 1) * (1 - np.exp(-steps / draw.uniform(2, 10)))) for one in range(count)}


def loop(scheduler: TrialScheduler, count: int = 12, slots: int = 4, **options: object) -> TuneLoop:
    random.seed(0)
    np.random.seed(0)
    trainable = RecordedCurves(curves=curves(count, 9), default_s=60.0)
    searcher = ListedTrials([{"curve": one} for one in range(count)])
    return TuneLoop(scheduler, trainable, searcher, clock=ManualClock(START), slots=slots, **options)  # type: ignore[arg-type]


def test_without_a_stopping_rule_every_trial_runs_to_its_end_in_its_slot() -> None:
    run = loop(FIFOScheduler()).run()
    assert Counter(event.kind for event in run.events) == {"started": 12, "result": 108, "ended": 12}
    assert sum((one.end_at - one.start_at).total_seconds() for one in run.stretches) == 108 * 60
    assert run.events[-1].at == START + timedelta(minutes=27)


def test_no_more_trials_run_than_there_are_slots() -> None:
    run = loop(FIFOScheduler(), slots=3, timing=LoopTiming(stop_s=7.0, startup_s=3.0)).run()
    edges = sorted([(one.start_at, 1) for one in run.stretches] + [(one.end_at, -1) for one in run.stretches])
    held = most = 0
    for _, change in edges:
        held += change
        most = max(most, held)
    assert most == 3


def test_asha_stops_trials_and_hyperband_pauses_and_resumes_them() -> None:
    asha = loop(ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3)).run()
    ends = {event.trial_id: event.iteration for event in asha.events if event.kind == "ended"}
    assert len(ends) == 12
    assert min(ends.values()) == 1
    assert max(ends.values()) == 9
    band = loop(HyperBandScheduler(max_t=9, reduction_factor=3)).run()
    kinds = Counter(event.kind for event in band.events)
    assert kinds["paused"] > 0
    assert kinds["started"] == kinds["paused"] + kinds["ended"] + kinds["stopped"] - _stopped_while_paused(band)


def _stopped_while_paused(run: TuneLoop) -> int:
    paused: set[str] = set()
    count = 0
    for event in run.events:
        if event.kind == "paused":
            paused.add(event.trial_id)
        elif event.kind == "started":
            paused.discard(event.trial_id)
        elif event.kind in ("ended", "stopped") and event.trial_id in paused:
            count += 1
    return count


def test_a_lost_node_sends_the_trial_back_to_its_last_checkpoint() -> None:
    run = loop(FIFOScheduler(), count=1, slots=1, fail_at={"00000": 6}, timing=LoopTiming(save_every=4)).run()
    assert [event.iteration for event in run.events if event.kind == "result"] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9]


def test_a_trial_without_checkpoints_begins_again() -> None:
    run = loop(FIFOScheduler(), count=1, slots=1, fail_at={"00000": 3}, timing=LoopTiming(save_every=0)).run()
    assert [event.iteration for event in run.events if event.kind == "result"] == [1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_sweep_that_stands_still_is_told() -> None:
    class Never(FIFOScheduler):  # type: ignore[misc]
        def on_trial_result(self, tune_controller: object, trial: object, result: object) -> str:
            return str(TrialScheduler.PAUSE)

        def choose_trial_to_run(self, tune_controller: object) -> None:
            return None

    with pytest.raises(LoopStalled, match="PAUSED"):
        loop(Never(), end_at=START + timedelta(days=2)).run()


def test_a_scheduler_that_lets_trials_in_one_by_one_fills_its_slots_at_once() -> None:
    run, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, max_concurrency=4), count=20, max_pending=4)
    begun = [event.at for event in run.run().events if event.kind == "started"]
    assert begun == [START + timedelta(minutes=9 * (number // 4)) for number in range(20)], "no time passes between two rounds of the loop"
