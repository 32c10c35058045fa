"""The policy is told how large the checkpoint of a held trial is, and nothing is looked up for one that runs."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs
import pytest
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.schedulers import FIFOScheduler

from carbon_ray.policies.sweeps.state import TrialState
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.testing.tune_trials import virtual_trial
from carbon_ray.tune.checkpoints import checkpoint_bytes
from tests.tune.sweeping import carbon_aware, sweep


def saved(folder: Path, *sizes: int) -> Checkpoint:
    (folder / "deeper").mkdir(parents=True)
    for number, size in enumerate(sizes):
        (folder / ("deeper" if number else ".") / f"part{number}").write_bytes(b"x" * size)
    return Checkpoint.from_directory(folder)


def test_all_files_of_the_newest_checkpoint_count(tmp_path: Path) -> None:
    trial = virtual_trial("a", {})
    assert checkpoint_bytes(trial) == 0
    manager = trial.run_metadata.checkpoint_manager
    manager._latest_checkpoint_result = _TrainingResult(checkpoint=saved(tmp_path / "one", 1000, 234), metrics={})
    assert checkpoint_bytes(trial) == 1234


def test_a_storage_that_is_away_is_no_failure(tmp_path: Path) -> None:
    trial = virtual_trial("a", {})
    away = Checkpoint(path=str(tmp_path / "gone"), filesystem=pyarrow.fs.LocalFileSystem())
    trial.run_metadata.checkpoint_manager._latest_checkpoint_result = _TrainingResult(checkpoint=away, metrics={})
    assert checkpoint_bytes(trial) == 0


def test_a_policy_sees_the_size_of_held_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []

    def size(trial: object) -> int:
        looked_up.append(trial)
        return 77

    monkeypatch.setattr("carbon_ray.tune.book.checkpoint_bytes", size)
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (3.0, "all")])
    sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy))[0].run()
    seen = [one for _, view in policy.asked for one in view.trials]
    held = [one for one in seen if one.state is TrialState.HELD]
    assert len(held) > 4
    assert {one.state_bytes for one in held} == {77}
    assert {one.state_bytes for one in seen if one.iterations < min(one.iterations for one in held)} == {0}
    assert len(looked_up) == len({one.trial_id for one in held})  # once a hold, however often the policy is asked
