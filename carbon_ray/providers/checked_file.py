"""Values on disk with a checksum: written whole or not at all, shared by any number of processes, empty where they cannot be read."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock, Timeout

from carbon_ray.core import codec
from carbon_ray.core.errors import CarbonRayError

log = logging.getLogger(__name__)

_LOCK_S = 10.0
"""Seconds to wait for another process that writes the same file, which takes it milliseconds."""

T = TypeVar("T")


class CheckedFile(Generic[T]):
    """A file that holds one value of a dataclass.

    A file that cannot be read is nothing lost: it counts as empty, what was in it is fetched again, and it is written anew.

    Args:
        path: Its directory is made when something is written.
        form: Name and version of the contents; a file of another form counts as empty.
        cls: What it holds.
        fits: Whether a value that was read is one of this file; raises ValueError where it is not.
    """

    def __init__(self, path: Path, form: str, cls: type[T], fits: Callable[[T], None]) -> None:
        self._path, self._form, self._cls, self._fits = path, form, cls, fits

    def read(self) -> T | None:
        """What it holds; None where it is not there or not whole."""
        try:
            head, _, body = self._path.read_text(encoding="utf-8").partition("\n")
            if head != f"{self._form} {_digest(body)}":
                raise ValueError("its checksum does not fit, or it is of another version")
            value = codec.loads(self._cls, body)
            self._fits(value)
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError, KeyError, RecursionError, CarbonRayError) as error:
            log.warning("stored %s is not usable (%s); it is fetched again", self._path, error)
            return None
        return value

    def change(self, by: Callable[[T | None], T]) -> T:
        """Replace what it holds, as it is by now, and return that; where it cannot be written, that is logged."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock", timeout=_LOCK_S):
                value = by(self.read())  # another process may have written since it was read last
                self._replace(codec.dumps(value))
                return value
        except (OSError, Timeout) as error:
            log.warning("%s cannot be stored (%s); it will be fetched again", self._path, error)
            return by(self.read())

    def forget(self) -> None:
        """Remove it."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("stored %s cannot be removed (%s)", self._path, error)

    def _replace(self, body: str) -> None:
        handle, draft = tempfile.mkstemp(prefix=f"{self._path.name}.", suffix=".draft", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{self._form} {_digest(body)}\n{body}")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
