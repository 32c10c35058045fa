"""Fetched history on disk: a file for each zone, written whole or not at all, shared by any number of processes.

A file that cannot be read is nothing lost: it counts as empty, what was in it is fetched again, and it is written anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from carbon_ray.core import codec
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.pieces import FetchRule, Piece, with_piece

log = logging.getLogger(__name__)

_FORMAT = "carbon_ray history 1"
_LOCK_S = 10.0
"""Seconds to wait for another process that writes the same zone, which takes it milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    pieces: tuple[Piece, ...]


class HistoryStore:
    """History of one source and kind.

    Args:
        folder: Where its files are; made when something is written.
        source: Name of the source, with whatever tells its settings from others that answer otherwise.
        kind: What is counted; kinds have folders of their own.
    """

    def __init__(self, folder: Path, source: str, kind: IntensityKind) -> None:
        self._folder = folder / quote(source, safe=" ,=") / kind.value
        self._kind = kind

    def path(self, zone: str) -> Path:
        """File of a zone."""
        return self._folder / f"{quote(zone, safe='')}.history"

    def read(self, zone: str) -> tuple[Piece, ...]:
        """What is stored of a zone; nothing where the file is not there or not whole."""
        path = self.path(zone)
        try:
            head, _, body = path.read_text(encoding="utf-8").partition("\n")
            if head != f"{_FORMAT} {_digest(body)}":
                raise ValueError("its checksum does not fit, or it is of another version")
            pieces = codec.loads(_Contents, body).pieces
            if any(one.series.zone != zone or one.series.kind is not self._kind for one in pieces):
                raise ValueError("it holds another zone or kind")
        except FileNotFoundError:
            return ()
        except (OSError, TypeError, ValueError, KeyError, RecursionError, CarbonRayError) as error:
            log.warning("stored history %s is not usable (%s); it is fetched again", path, error)
            return ()
        return pieces

    def add(self, zone: str, piece: Piece, rule: FetchRule) -> tuple[Piece, ...]:
        """Store a piece beside what is there by now, and return all of it.

        Where it cannot be written, that is logged, and the pieces are returned all the same.
        """
        path = self.path(zone)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", timeout=_LOCK_S):
                pieces = with_piece(self.read(zone), piece, rule)  # another process may have written since it was read last
                _replace(path, codec.dumps(_Contents(pieces=pieces)))
                return pieces
        except (OSError, Timeout) as error:
            log.warning("history of zone %s cannot be stored in %s (%s); it will be fetched again", zone, path, error)
            return with_piece(self.read(zone), piece, rule)

    def forget(self, zone: str) -> None:
        """Remove what is stored of a zone."""
        try:
            self.path(zone).unlink(missing_ok=True)
        except OSError as error:
            log.warning("stored history %s cannot be removed (%s)", self.path(zone), error)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _replace(path: Path, body: str) -> None:
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".draft", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{_FORMAT} {_digest(body)}\n{body}")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
