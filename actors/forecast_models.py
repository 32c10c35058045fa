"""Files of trained forecast models: written whole or not at all, and read only if checksum and columns fit."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.model import ManyZoneModel
from carbon_ray.forecasting.model_codec import from_bytes, to_bytes


def write_model(path: Path, model: ManyZoneModel) -> None:
    """Write a model; a reader sees the old file or the new one.

    Args:
        path: Its directory is made.
        model: Trained.

    Raises:
        ForecastModelError: The file could not be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(to_bytes(model))
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
