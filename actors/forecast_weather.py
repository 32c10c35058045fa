"""Weather runs as they were issued: one a day and zone, kept on disk, and which of them may be looked at.

A run counts as in time if it was fetched within `DELAY_H` hours of its day's beginning; the last one fetched by then stays. One that was
fetched later is looked at on its own day alone, and never learned from. For a day without a run, that of the day before goes on.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from carbon_ray.actors.beside import BACK_OFF
from carbon_ray.actors.forecast_models import write_bytes
from carbon_ray.core.errors import CarbonRayError, ForecastModelError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.weather import WEATHER, WeatherRuns
from carbon_ray.providers.breaker import CLOSED, Breaker, admit, failed
from carbon_ray.providers.weather import WeatherForecast, WeatherProvider

log = logging.getLogger(__name__)

DELAY_H = 6
"""Hours after the beginning of its day from which on a run is taken to be known; models and their mirrors need about five."""
RUN_HOURS = 9 * 24
DAY, DELAY = timedelta(days=1), timedelta(hours=DELAY_H)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = "carbon_ray weather 1"


class PastWeather(Protocol):
    """Tells what was forecast on past days."""

    def past_weather(self, zone: str, first_at: datetime, last_at: datetime) -> Sequence[WeatherForecast]:
        """Runs of the days from `first_at` to before `last_at`, both midnights in UTC.

        Raises:
            ProviderError: It could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptRuns:
    """Daily runs of one zone.

    Attributes:
        first_at: Day of the first run, midnight in UTC.
        values: Shape (days, `RUN_HOURS`, `WEATHER`); NaN where nothing is known.
        known_at_s: Seconds since 1970 from which on each run was known; NaN for a day without one. Shape (days,).
    """

    first_at: datetime
    values: NDArray[np.float32]
    known_at_s: FloatArray

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.known_at_s), RUN_HOURS, len(WEATHER)) or self.first_at != _midnight(self.first_at):
            raise ValueError("weather runs need an instant each, and begin at midnight")

    def with_run(self, run: WeatherForecast) -> KeptRuns:
        """With one more run, in the place of what was there of its day."""
        day_at = _midnight(run.start_at)
        first_at = min(self.first_at, day_at)
        before = (self.first_at - first_at) // DAY
        days = max(before + len(self.known_at_s), (day_at - first_at) // DAY + 1)
        values, known_at_s = np.full((days, *self.values.shape[1:]), np.nan, dtype=np.float32), np.full(days, np.nan)
        values[before : before + len(self.known_at_s)], known_at_s[before : before + len(self.known_at_s)] = self.values, self.known_at_s
        at, skip = (day_at - first_at) // DAY, (run.start_at - day_at) // timedelta(hours=1)
        count = min(len(run), RUN_HOURS - skip)
        values[at] = np.nan
        values[at, skip : skip + count] = np.stack([run.values[name][:count] for name in WEATHER], axis=-1)
        known_at_s[at] = (run.issued_at - _EPOCH).total_seconds()
        return KeptRuns(first_at=first_at, values=values, known_at_s=known_at_s)

    def known_at(self, day_at: datetime) -> datetime | None:
        """From when on the run of a day was known; None without one."""
        at = (day_at - self.first_at) // DAY
        if not 0 <= at < len(self.known_at_s) or np.isnan(self.known_at_s[at]):
            return None
        return _EPOCH + timedelta(seconds=float(self.known_at_s[at]))

    def runs(self, now: datetime, *, is_training: bool) -> WeatherRuns | None:
        """What may be looked at; None where there is nothing.

        Args:
            now: What was fetched after it is not there. Aware UTC.
            is_training: Leave out what was not in time, also today.
        """
        days = (_midnight(now) - self.first_at) // DAY + 1
        if days < 1:
            return None
        values = np.full((days, *self.values.shape[1:]), np.nan)
        there = min(days, len(self.known_at_s))
        starts_s = (self.first_at - _EPOCH).total_seconds() + np.arange(there) * DAY.total_seconds()
        is_known = self.known_at_s[:there] <= starts_s + DELAY.total_seconds()
        if not is_training and there == days:
            is_known[-1] |= bool(np.isfinite(self.known_at_s[there - 1]))  # late, but here today
        is_known &= self.known_at_s[:there] <= (now - _EPOCH).total_seconds()
        values[:there][is_known] = self.values[:there][is_known]
        for day in range(1, days):
            if day >= there or not is_known[day]:
                values[day, :-24] = values[day - 1, 24:]
        return WeatherRuns(first_run_at=self.first_at, values=values, delay_h=DELAY_H) if np.isfinite(values).any() else None


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


class WeatherKeeper:
    """Fetches and keeps the runs of some zones; for several threads. A service that fails costs newer weather, nothing else.

    Args:
        provider: Of the newest forecasts.
        past: Of those of past days; None to begin with today.
        folder: Made when something is written.
    """

    def __init__(self, provider: WeatherProvider, past: PastWeather | None, folder: Path) -> None:
        self._provider, self._past, self._folder = provider, past, folder
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._storing = threading.Lock()  # never held while a service is asked

    def runs(self, zone: str, since_at: datetime, now: datetime, *, is_training: bool) -> WeatherRuns | None:
        """The runs of a zone as they were known; fetched first where they are due.

        Args:
            zone: Grid zone.
            since_at: Past days before it are not asked for.
            now: The world's time, aware UTC.
            is_training: See `KeptRuns.runs`.
        """
        kept = self._read(zone)
        today_at = _midnight(now)
        known_at = None if kept is None else kept.known_at(today_at)
        if known_at is None or (now <= today_at + DELAY and now - known_at >= timedelta(hours=1)):
            run = self._asked("today", zone, now, lambda: [self._provider.weather(zone)])
            kept = self._kept(zone, [one for one in run if _midnight(one.start_at) == today_at])
        if is_training and self._past is not None:
            past, first_at = self._past, _midnight(since_at)
            last_at = today_at if kept is None else kept.first_at
            if first_at < last_at:
                kept = self._kept(zone, self._asked("past", zone, now, lambda: past.past_weather(zone, first_at, last_at)))
        return None if kept is None else kept.runs(now, is_training=is_training)

    def _asked(self, what: str, zone: str, now: datetime, ask: Callable[[], Sequence[WeatherForecast]]) -> Sequence[WeatherForecast]:
        key = (what, zone)
        self._breakers[key], is_admitted = admit(self._breakers.get(key, CLOSED), BACK_OFF, now)
        if not is_admitted:
            return []
        try:
            found = ask()
        except CarbonRayError as error:
            self._breakers[key] = failed(self._breakers[key], BACK_OFF, now)
            log.warning("no newer weather of zone %s: %s", zone, error)
            return []
        self._breakers[key] = CLOSED
        return found

    def _kept(self, zone: str, runs: Sequence[WeatherForecast]) -> KeptRuns | None:
        """What is stored with some more runs; nobody else stores in between."""
        with self._storing:
            kept = self._read(zone)
            for run in runs:
                nothing = KeptRuns(
                    first_at=_midnight(run.start_at),
                    values=np.empty((0, RUN_HOURS, len(WEATHER)), dtype=np.float32),
                    known_at_s=np.empty(0),
                )
                kept = (kept or nothing).with_run(run)
            if runs and kept is not None:
                try:
                    write_bytes(self._path(zone), to_bytes(zone, kept))
                except ForecastModelError as error:
                    log.warning("weather is not stored: %s", error)
            return kept

    def _path(self, zone: str) -> Path:
        return self._folder / f"{quote(zone, safe='')}.weather"

    def _read(self, zone: str) -> KeptRuns | None:
        path = self._path(zone)
        try:
            return from_bytes(zone, path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, zipfile.BadZipFile) as error:
            log.warning("stored weather %s is not usable (%s); it is begun anew", path, error)
            return None


def to_bytes(zone: str, kept: KeptRuns) -> bytes:
    """A line of JSON with the checksum, and a NumPy archive without pickled objects."""
    body = io.BytesIO()
    np.savez_compressed(body, values=kept.values, known_at_s=kept.known_at_s)
    payload = body.getvalue()
    head = {"what": _FORM, "zone": zone, "first_at": kept.first_at.isoformat(), "sha256": hashlib.sha256(payload).hexdigest()}
    return json.dumps(head).encode() + b"\n" + payload


def from_bytes(zone: str, data: bytes) -> KeptRuns:
    """What `to_bytes` wrote.

    Raises:
        ValueError: It is none of that zone, or damaged. Other errors of NumPy and JSON go through.
    """
    line, _, payload = data.partition(b"\n")
    head = json.loads(line)
    if [head["what"], head["zone"], head["sha256"]] != [_FORM, zone, hashlib.sha256(payload).hexdigest()]:
        raise ValueError("it is of another zone or version, or does not match its checksum")
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return KeptRuns(first_at=datetime.fromisoformat(head["first_at"]), values=arrays["values"], known_at_s=arrays["known_at_s"])
