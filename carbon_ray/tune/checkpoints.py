"""How large a trial's checkpoint is: what moving it to another region would carry."""

from __future__ import annotations

from typing import Any

from pyarrow.fs import FileSelector


def checkpoint_bytes(trial: Any) -> int:
    """Size of the trial's newest checkpoint, bytes; 0 where there is none, or its directory cannot be listed now."""
    checkpoint = trial.checkpoint
    if checkpoint is None:
        return 0
    try:
        files = checkpoint.filesystem.get_file_info(FileSelector(checkpoint.path, recursive=True))
    except OSError:  # the storage may be away; the size is only needed to compare regions
        return 0
    return sum(int(one.size) for one in files if one.is_file)
