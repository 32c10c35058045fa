"""What was said lately, on disk: the recent errors that forecasters are weighted by outlive the actor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

from carbon_ray.actors.forecast_models import write_bytes
from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.track import Track
from carbon_ray.forecasting.track_codec import tracks_from_bytes, tracks_to_bytes

log = logging.getLogger(__name__)

TRACKS_FILE = "forecast_tracks.bin"


class TrackFile:
    """The tracks of one cluster, read when first needed. A file that cannot be read is a fresh start, one that cannot be written costs
    the memory of a restart: neither is a failure.

    Args:
        path: Its directory is made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tracks: dict[str, Track] | None = None
        self._lock = threading.Lock()

    def tracks(self) -> dict[str, Track]:
        """All that is known, by name."""
        with self._lock:
            if self._tracks is None:
                self._tracks = self._read()
            return dict(self._tracks)

    def add(self, grown: Mapping[str, Track]) -> None:
        """Replace some tracks by what they have grown to."""
        if not grown:
            return
        tracks = {**self.tracks(), **grown}
        with self._lock:
            self._tracks = tracks
        try:
            write_bytes(self._path, tracks_to_bytes(tracks))
        except ForecastModelError as error:
            log.warning("recent errors of forecasts are not stored: %s", error)

    def _read(self) -> dict[str, Track]:
        try:
            return tracks_from_bytes(self._path.read_bytes(), str(self._path))
        except FileNotFoundError:
            pass
        except (OSError, ForecastModelError) as error:
            log.warning("recent errors of forecasts are not usable (%s); starting without them", error)
        return {}
