"""What a trial logged before it was held is still in its files when it goes on, with Tune's own loggers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ray.train._internal.session import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

from carbon_ray.tune.columns import CarbonColumns
from carbon_ray.tune.logged_rows import keep_rows


class NoBooks:
    """Accounts for nothing."""

    def note_started(self, trial: Trial) -> None:
        """A trial has its place."""


class StagedBeside(StorageContext):
    """Has the driver's copy beside the storage; Ray's own is in the session's directory, and there is none."""

    @property
    def experiment_driver_staging_path(self) -> str:
        return f"{self.storage_fs_path}-staging"


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial with a checkpoint whose first row alone is in the storage."""
    storage = StagedBeside(storage_path=str(tmp_path / "storage"), experiment_dir_name="sweep", trial_dir_name="one")
    made = Trial("a_trainable", stub=True, storage=storage, trial_id="one")
    made.init_local_path()
    made.run_metadata.checkpoint_manager._latest_checkpoint_result = _TrainingResult(checkpoint=Checkpoint(str(tmp_path)), metrics={})
    return made


def log_and_restart(trial: Trial, keeps: bool) -> tuple[int, int]:
    """Rows of result.json and of progress.csv after two rows, a copy to the storage after the first, a restart and a third row."""
    loggers, folder = (JsonLoggerCallback(), CSVLoggerCallback()), Path(trial.storage.trial_fs_path)
    folder.mkdir(parents=True, exist_ok=True)
    for iteration in (1, 2):
        for logger in loggers:
            logger.log_trial_result(iteration, trial, {"score": 0.5, "training_iteration": iteration})
        if iteration == 1:
            for name in ("result.json", "progress.csv"):
                shutil.copy(Path(trial.local_path, name), folder / name)
    if keeps:
        CarbonColumns(NoBooks()).on_trial_start(iteration=1, trials=[trial], trial=trial)
    for logger in loggers:
        logger.log_trial_start(trial)
        logger.log_trial_result(3, trial, {"score": 0.5, "training_iteration": 3})
        logger.log_trial_end(trial)
    rows = Path(trial.local_path, "result.json").read_text().splitlines()
    assert all(json.loads(row) for row in rows)
    return len(rows), len(Path(trial.local_path, "progress.csv").read_text().splitlines()) - 1


def test_tune_alone_loses_what_was_not_yet_in_the_storage(trial: Trial) -> None:
    """Why `keep_rows` is there; where this fails, Ray has mended it."""
    assert log_and_restart(trial, keeps=False)[0] == 2


def test_every_row_is_kept(trial: Trial) -> None:
    assert log_and_restart(trial, keeps=True) == (3, 3)


def test_a_new_driver_does_not_put_its_few_rows_in_the_place_of_many(trial: Trial) -> None:
    remote = Path(trial.storage.trial_fs_path, "result.json")
    remote.parent.mkdir(parents=True, exist_ok=True)
    remote.write_text('{"row": 1}\n{"row": 2}\n')
    keep_rows(trial)  # nothing written here yet
    Path(trial.local_path, "result.json").write_text('{"row": 3}\n')
    keep_rows(trial)
    assert remote.read_text() == '{"row": 1}\n{"row": 2}\n'


def test_a_trial_that_begins_has_nothing_to_keep(trial: Trial) -> None:
    trial.run_metadata.checkpoint_manager._latest_checkpoint_result = None
    Path(trial.local_path, "result.json").write_text('{"row": 1}\n')
    keep_rows(trial)
    assert not Path(trial.storage.trial_fs_path, "result.json").exists()
