"""What the forecast service remembers, and how it survives on disk: forecasts in one file, their history in another.

The forecasts are read when a service starts, so that it serves at once; the history, which is large, when it is first needed.
A file that cannot be read is a fresh start, one that cannot be written costs the memory of a restart: neither is a failure.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from carbon_ray.core import codec
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries

log = logging.getLogger(__name__)

STATE_FILE, HISTORY_FILE = "forecasts.json", "history.json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastState:
    """What is served.

    Attributes:
        snapshot: The last one published.
        until_at: Forecasts reach at least here, where somebody asked for it.
    """

    snapshot: ForecastSnapshot
    until_at: datetime | None = None


NOTHING = ForecastState(snapshot=ForecastSnapshot(version=0, issued_at=datetime.fromtimestamp(0, UTC), forecasts={}))
"""Before the first snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHistory:
    """What forecasts are made of, and past work is priced with.

    Attributes:
        series: The newest history of each zone.
        observed: What a source of observations had said last, of zones for which the embedded profile stands in now.
    """

    series: Mapping[str, IntensitySeries] = field(default_factory=dict)
    observed: Mapping[str, IntensitySeries] = field(default_factory=dict)

    def with_newer(self, newer: Mapping[str, IntensitySeries]) -> KnownHistory:
        """With newer history of some zones; observations are not lost to a typical day."""
        observed = dict(self.observed)
        for zone, series in newer.items():
            before = self.series.get(zone)
            if not series.provenance.is_embedded:
                observed.pop(zone, None)
            elif before is not None and not before.provenance.is_embedded:
                observed[zone] = before
        return KnownHistory(series={**self.series, **newer}, observed=observed)

    def covering(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries | None:
        """A series that has all of the window: observations before anything else."""
        for series in (self.observed.get(zone), self.series.get(zone)):
            if series is not None and series.start_at <= start_at and end_at <= series.end_at:
                return series
        return None


class StateFolder:
    """The files of one service.

    Args:
        folder: Made if missing, when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_state(self) -> ForecastState:
        """What was served last."""
        return self._read(STATE_FILE, ForecastState) or NOTHING

    def read_history(self) -> KnownHistory:
        """The history that it was made of."""
        return self._read(HISTORY_FILE, KnownHistory) or KnownHistory()

    def write(self, state: ForecastState, history: KnownHistory | None) -> None:
        """Replace the files; the history first, so that no forecast is newer than it. None leaves the history as it is."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if history is not None:
                self._replace(HISTORY_FILE, codec.dumps(history))
            self._replace(STATE_FILE, codec.dumps(state))
        except OSError as error:
            log.warning("forecast state in %s cannot be written (%s); a restart will begin without it", self._folder, error)

    def _read(self, name: str, cls: type[T]) -> T | None:
        path = self._folder / name
        try:
            return codec.loads(cls, path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, TypeError, ValueError, KeyError, RecursionError, CarbonRayError) as error:
            log.warning("forecast state %s is not usable (%s); starting without it", path, error)
        return None

    def _replace(self, name: str, text: str) -> None:
        path = self._folder / name
        draft = path.with_suffix(".tmp")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
