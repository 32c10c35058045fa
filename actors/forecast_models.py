"""Files of trained forecast models: written whole or not at all, read only if checksum and columns fit, the newest first.

A folder of models holds one file for each training, named by the instant of it; the last two are kept, so that one that turns out to be
damaged has a predecessor.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.model import ManyZoneModel
from carbon_ray.forecasting.model_codec import from_bytes, to_bytes

log = logging.getLogger(__name__)

KEPT_MODELS = 2
_NAME = re.compile(r"(\d{8}T\d{6}Z)\.model")
_STAMP = "%Y%m%dT%H%M%SZ"


def write_model(path: Path, model: ManyZoneModel) -> None:
    """Write a model; a reader sees the old file or the new one.

    Args:
        path: Its directory is made.
        model: Trained.

    Raises:
        ForecastModelError: The file could not be written.
    """
    write_bytes(path, to_bytes(model))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; see `write_model`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise ForecastModelError(str(path), f"could not be written: {error.strerror}") from None


def read_model(path: Path) -> ManyZoneModel:
    """Read a model.

    Raises:
        ForecastModelError: The file is not there, damaged, or of another format or schema of columns.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ForecastModelError(str(path), f"could not be read: {error.strerror}") from None
    return from_bytes(data, str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A model that can be used.

    Attributes:
        path: Its file.
        trained_at: When it was trained, on the cluster's clock, aware UTC.
        zones: That it was trained on.
    """

    path: Path
    trained_at: datetime
    zones: tuple[str, ...]


class ModelFolder:
    """The models of one cluster.

    Args:
        folder: Made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: dict[Path, StoredModel | None] = {}  # None: looked at, and of no use

    def newest(self, now: datetime) -> StoredModel | None:
        """The newest model that fits; None where there is none.

        A model of a later instant is passed over: on a cluster that replays a day it would know what has not come true.

        Args:
            now: On the cluster's clock, aware UTC.
        """
        for path in sorted(self._files(), reverse=True):
            if path not in self._checked:
                self._checked[path] = self._look(path)
            found = self._checked[path]
            if found is not None and found.trained_at <= now:
                return found
        return None

    def keep(self, data: bytes, trained_at: datetime) -> StoredModel:
        """Store a model, and remove the oldest ones, and those of later instants.

        Args:
            data: As of `model_codec.to_bytes`.
            trained_at: Aware UTC.

        Raises:
            ForecastModelError: It is no model, or could not be written.
        """
        path = self._folder / f"{trained_at:{_STAMP}}.model"
        zones = tuple(from_bytes(data, str(path)).zones)
        write_bytes(path, data)
        stored = self._checked[path] = StoredModel(path=path, trained_at=trained_at.replace(microsecond=0), zones=zones)
        files = sorted(self._files(), reverse=True)
        kept = [one for one in files if one.name <= path.name][:KEPT_MODELS]  # a later one is of another life of this folder
        for other in set(files) - set(kept):
            with suppress(OSError):
                other.unlink()
            self._checked.pop(other, None)
        return stored

    def reject(self, model: StoredModel, problem: str) -> None:
        """Use a model no more, because its file has turned out to be of no use."""
        log.warning("forecast model is not used any more: %s", problem)
        self._checked[model.path] = None

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        except OSError:
            return []

    def _look(self, path: Path) -> StoredModel | None:
        try:
            trained_at = datetime.strptime(path.stem, _STAMP).replace(tzinfo=UTC)
            return StoredModel(path=path, trained_at=trained_at, zones=tuple(read_model(path).zones))
        except (ForecastModelError, ValueError) as error:
            log.warning("forecast model is not usable, another one will be trained: %s", error)
            return None
