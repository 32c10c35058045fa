"""A sweep that is taken up after its driver was killed: books, held trials, and the base scheduler's state."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.testing.tune_loop import ListedTrials, RecordedCurves, TuneLoop
from carbon_ray.testing.tune_trials import virtual_trial
from carbon_ray.tune import CarbonAwareTuneScheduler, journal
from carbon_ray.tune.journal import JOURNAL, STATE, read_lines
from tests.tune.sweeping import BASES, carbon_aware, curves, ends, sweep


def restored(trial: Trial) -> Trial:
    """What Tune makes of a trial from its saved state: another object, PENDING unless it has ended."""
    again = virtual_trial(trial.trial_id, trial.config)
    again.run_metadata.checkpoint_manager._latest_checkpoint_result = trial.latest_checkpoint_result
    again.run_metadata.last_result = dict(trial.run_metadata.last_result)
    again.run_metadata.last_result_time = trial.run_metadata.last_result_time
    again.status = trial.status if trial.is_finished() else Trial.PENDING
    return again


def killed_and_taken_up(base: str, directory: Path, steps: int, policy: ScriptedSweep) -> tuple[TuneLoop, TuneLoop, Any]:
    """A sweep that is killed after so many steps, just after Tune saved its state, and the one that takes it up."""
    clocks: list[ManualClock] = []

    def make(clock: ManualClock) -> CarbonAwareTuneScheduler:
        clocks.append(clock)
        return carbon_aware(BASES[base](), clock, policy)

    first, _ = sweep(make, directory=str(directory))
    for _ in range(steps):
        first.step()
    first._callbacks.save_to_dir(str(directory))
    first._scheduler_alg.run.accounting.close_files()  # as the system does when it kills a process
    random.seed(5)
    np.random.seed(5)
    scheduler: Any = carbon_aware(BASES[base](), clocks[0], policy)
    trainable = RecordedCurves(curves=curves(12, seed=1), default_s=60.0)
    left = ListedTrials(first.search_alg._left, first=12 - len(first.search_alg._left))
    left.total_samples = 12
    second = TuneLoop(scheduler, trainable, left, clock=clocks[0], slots=4, directory=str(directory), end_at=first._end_at)
    for trial in sorted(first.get_trials(), key=lambda one: one.run_metadata.last_result_time or 0.0, reverse=True):
        second.add_trial(restored(trial))
    return first, second, scheduler


@pytest.mark.parametrize("base", ["fifo", "asha", "hyperband", "bohb", "pbt in step", "median"])
@pytest.mark.parametrize("steps", [40, 90])
def test_every_base_goes_on_where_it_was(base: str, steps: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, _ = killed_and_taken_up(base, tmp_path, steps, ScriptedSweep())
    second.run()
    assert not [record for record in caplog.records if "begins anew" in record.message]
    assert set(ends(first)) | set(ends(second)) == {f"{one:05d}" for one in range(12)}


def test_the_rungs_are_those_of_before(tmp_path: Path) -> None:
    first, second, scheduler = killed_and_taken_up("asha", tmp_path, 60, ScriptedSweep())
    before = [(at, dict(recorded)) for at, recorded in first._scheduler_alg.base._brackets[0]._rungs]
    second.step()
    scheduler.run.accounting.close_files()
    after = scheduler.base._brackets[0]._rungs
    assert scheduler.base is not BASES["asha"]
    assert any(recorded for _, recorded in before)
    for (at, recorded), (at_again, recorded_again) in zip(before, after, strict=True):
        assert at == at_again
        assert recorded.items() <= recorded_again.items()


def test_held_trials_are_still_held(tmp_path: Path) -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (5.0, "all")])
    first, second, scheduler = killed_and_taken_up("fifo", tmp_path, 60, policy)
    held = set(first._scheduler_alg.run.book.held)
    assert len(held) == 4
    second.step()
    assert set(scheduler.run.book.held) == held
    assert {trial.trial_id for trial in second.get_trials() if trial.status == Trial.PAUSED} == held
    second.run()
    assert set(ends(second).values()) == {9}
    assert all(event.iteration > 3 or event.trial_id not in held for event in second.events if event.kind == "result")


@pytest.mark.parametrize("steps", [25, 60, 100])
def test_no_gram_is_counted_twice_or_lost(steps: int, tmp_path: Path) -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.08, 0), (2.0, "all")])
    first, second, scheduler = killed_and_taken_up("fifo", tmp_path, steps, policy)
    second.run()
    ledger = scheduler.run.accounting.ledger
    spans: dict[str, list[tuple[str, str]]] = {}
    for line in read_lines(tmp_path / JOURNAL):
        if "run" in line:
            spans.setdefault(line["run"], []).append((line["start_at"], line["end_at"]))
    for trial_id, stretches in spans.items():
        assert all(before[1] <= after[0] for before, after in pairwise(stretches)), trial_id
    booked = sum(one.running_s for one in ledger.accounts.values())
    held_places = [*first.stretches, *second.stretches]
    lived = sum((one.end_at - one.start_at).total_seconds() for one in held_places)
    cut_off = sum(  # of trials that ran when the driver was killed, up to its last result
        (first._clock.now() - slot.stretch.start_at).total_seconds() for slot in first._trial_to_actor.values() if slot.stretch is not None
    )
    assert lived <= booked + 1e-6
    assert booked <= lived + max(0.0, cut_off) + 4 * 60.0


def test_a_state_that_does_not_fit_is_not_taken_up_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, scheduler = killed_and_taken_up("asha", tmp_path, 60, ScriptedSweep())
    (tmp_path / STATE).write_bytes(b"torn")
    other: Any = carbon_aware(BASES["asha"](), first._clock, ScriptedSweep())
    trainable = RecordedCurves(curves=curves(12, seed=1), default_s=60.0)
    third = TuneLoop(other, trainable, ListedTrials([]), clock=first._clock, slots=4, directory=str(tmp_path), end_at=first._end_at)
    for trial in first.get_trials():
        third.add_trial(restored(trial))
    third.run()
    assert [record for record in caplog.records if "begins anew" in record.message]
    assert len(set(ends(first)) | set(ends(third))) == 12
    assert second is not third
    assert scheduler is not other
    second._scheduler_alg.run.accounting.close_files()


def test_a_base_that_cannot_be_pickled_is_told_and_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(type(BASES["fifo"]())):  # type: ignore[misc]
        def __reduce__(self) -> Any:
            raise TypeError("not me")

    def make(clock: ManualClock) -> TrialScheduler:
        return carbon_aware(Stubborn(), clock)

    loop, _ = sweep(make, directory=str(tmp_path))
    loop.step()
    loop._callbacks.save_to_dir(str(tmp_path))
    assert [record for record in caplog.records if "cannot be saved" in record.message]
    assert len(ends(loop.run())) == 12


def test_no_file_is_named_as_those_that_tune_writes_back_over_newer_ones_after_a_restore() -> None:
    for name in (journal.JOURNAL, journal.DECISIONS, journal.ALIVE, journal.STATE, journal.INFO):
        assert not name.endswith((".json", ".pkl")), name
