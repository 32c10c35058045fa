"""Tracks as bytes: versioned, with a checksum and the names of the members; nothing in them is executed when they are read.

The first line is JSON, the rest a NumPy archive without pickled objects. Single precision: errors are no more exact than that.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.model import MEMBERS
from carbon_ray.forecasting.track import Track

FORMAT = 1
"""Changes when older readers would misread the bytes."""
_KIND = "carbon-ray forecast tracks"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARRAYS = ("usual_gco2_per_kwh", "members", "size", "provider")


def tracks_to_bytes(tracks: Mapping[str, Track]) -> bytes:
    """Write tracks by name; equal ones give equal bytes."""
    arrays: dict[str, NDArray[Any]] = {"names": np.frombuffer(json.dumps(list(tracks)).encode(), dtype=np.uint8)}
    for number, track in enumerate(tracks.values()):
        arrays[f"{number}/issue_at"] = np.array([(at - _EPOCH) // timedelta(seconds=1) for at in track.issue_at], dtype=np.int64)
        for name in _ARRAYS:
            arrays[f"{number}/{name}"] = getattr(track, name).astype(np.float32)
    body = io.BytesIO()
    np.savez_compressed(body, **arrays)  # type: ignore[arg-type]
    payload = body.getvalue()
    head = {"what": _KIND, "format": FORMAT, "members": MEMBERS, "sha256": hashlib.sha256(payload).hexdigest()}
    return json.dumps(head).encode() + b"\n" + payload


def tracks_from_bytes(data: bytes, source: str) -> dict[str, Track]:
    """Read tracks.

    Args:
        data: As `tracks_to_bytes` wrote them.
        source: For the error: where the bytes come from.

    Raises:
        ForecastModelError: These are no tracks, were damaged, or are of another format or other members than this version's.
    """
    line, _, payload = data.partition(b"\n")
    try:
        head = json.loads(line)
        found = [head[name] for name in ("what", "format", "members", "sha256")]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ForecastModelError(source, "is no record of past forecasts") from None
    if found != [_KIND, FORMAT, list(MEMBERS), hashlib.sha256(payload).hexdigest()]:
        raise ForecastModelError(source, "is of another version, or does not match its checksum")
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return {name: _read(arrays, number) for number, name in enumerate(json.loads(arrays["names"].tobytes()))}
    except (KeyError, ValueError, TypeError, OverflowError, zipfile.BadZipFile, OSError) as error:
        raise ForecastModelError(source, f"cannot be read: {error}") from None


def _read(arrays: Any, number: int) -> Track:
    usual, members, size, provider = (arrays[f"{number}/{name}"].astype(np.float64) for name in _ARRAYS)
    issue_at = tuple(_EPOCH + timedelta(seconds=int(at)) for at in arrays[f"{number}/issue_at"])
    shape = (len(issue_at), usual.shape[1] if usual.ndim == 2 else -1)
    if not usual.shape == size.shape == provider.shape == shape or members.shape != (*shape, len(MEMBERS)):
        raise ValueError(f"its arrays do not fit together: {usual.shape}, {members.shape}, {size.shape}, {provider.shape}")
    return Track(issue_at=issue_at, usual_gco2_per_kwh=usual, members=members, size=size, provider=provider)
