"""The files that a sweep keeps in its experiment directory: lines that are only appended, and small files that are replaced whole.

A killed process loses at most the line that it was writing: every line is handed to the system at once, a torn last line is cut off
when the file is read again, and a replaced file is written beside the old one and renamed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from carbon_ray.core.clock import parse_utc

JOURNAL, DECISIONS, ALIVE, STATE, INFO = (
    "carbon_journal.jsonl",
    "carbon_decisions.jsonl",
    "carbon_alive.jsonl",
    "carbon_state.bin",
    "carbon_sweep.jsonl",
)
"""Names of the files: energy and prices, decisions, the last sign of life, state for a restore, and what the sweep was told.

None ends in `.json` or `.pkl`: Tune takes such files of a restored experiment for its own, keeps a copy, and writes it back over what
was written since (`sync_down_experiment_state`, Ray 2.60).
"""


class Lines:
    """A file of JSON lines that is appended to.

    Args:
        path: The file; made when the first line is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line, and hand it to the system."""
        if self._file is None:
            cut_torn_line(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file in their order; none where there is no file."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # torn by a kill
            yield json.loads(line)


def cut_torn_line(path: Path) -> None:
    """Cut off what a kill left of a last line, so that the next one is whole."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file such that a reader, or a kill, finds the old or the new one whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file."""
    replace_file(path, json.dumps(content, indent=1).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's content; None where there is no file."""
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def text_of(at: datetime) -> str:
    """An instant as the files write it."""
    return at.isoformat()


def instant_of(text: str) -> datetime:
    """An instant as the files write it."""
    return parse_utc(text)
