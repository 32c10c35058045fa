"""Rows that the loggers wrote of a trial: brought to the experiment's storage before Ray Tune 2.60 reads them back from there.

When a trial goes on from a checkpoint, Tune's loggers replace their files by the copies in the storage, which are some ten seconds old at
best. A trial that was held for less than that, or moved at once, would lose the rows since then, the one of its pause among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow.fs import FileType, LocalFileSystem, copy_files
from ray.tune.result import EXPR_PROGRESS_FILE, EXPR_RESULT_FILE


def keep_rows(trial: Any) -> None:
    """Copy the trial's logged results to where they are read from, if they are further than what is there.

    Args:
        trial: Is about to go on; before its loggers are told.
    """
    if trial.storage is None or trial.checkpoint is None or trial.local_path is None:
        return
    filesystem, folder = trial.storage.storage_filesystem, trial.storage.trial_fs_path
    for name in (EXPR_RESULT_FILE, EXPR_PROGRESS_FILE):
        local, remote = Path(trial.local_path, name), f"{folder}/{name}"
        if not local.exists():
            continue  # a new driver, which has written nothing yet
        there = filesystem.get_file_info(remote)
        if there.type == FileType.File and there.size >= local.stat().st_size:
            continue
        filesystem.create_dir(folder, recursive=True)
        copy_files(str(local), remote, source_filesystem=LocalFileSystem(), destination_filesystem=filesystem)
