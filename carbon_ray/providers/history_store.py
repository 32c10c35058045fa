"""Fetched history on disk: a file for each zone, written whole or not at all, shared by any number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.checked_file import CheckedFile
from carbon_ray.providers.pieces import FetchRule, Piece, with_piece

_FORM = "carbon_ray history 1"


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

    @property
    def folder(self) -> Path:
        """Of this source and kind, for what else is kept of it."""
        return self._folder

    def path(self, zone: str) -> Path:
        """File of a zone."""
        return self._folder / f"{quote(zone, safe='')}.history"

    def read(self, zone: str) -> tuple[Piece, ...]:
        """What is stored of a zone; nothing where the file is not there or not whole."""
        contents = self._file(zone).read()
        return contents.pieces if contents is not None else ()

    def add(self, zone: str, piece: Piece, rule: FetchRule) -> tuple[Piece, ...]:
        """Store a piece beside what is there by now, and return all of it.

        Where it cannot be written, that is logged, and the pieces are returned all the same.
        """

        def longer(before: _Contents | None) -> _Contents:
            return _Contents(pieces=with_piece(before.pieces if before is not None else (), piece, rule))

        return self._file(zone).change(longer).pieces

    def forget(self, zone: str) -> None:
        """Remove what is stored of a zone."""
        self._file(zone).forget()

    def _file(self, zone: str) -> CheckedFile[_Contents]:
        def fits(contents: _Contents) -> None:
            if any(one.series.zone != zone or one.series.kind is not self._kind for one in contents.pieces):
                raise ValueError("it holds another zone or kind")

        return CheckedFile(self.path(zone), _FORM, _Contents, fits)
