"""The Carbon Aware SDK's JSON files: history in the forms that are about, checked whole when the file is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import ConfigError, ProviderError, ProviderNoDataError, TraceFormatError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.units import G_PER_KG, gco2_per_kwh_of_lb_per_mwh
from carbon_ray.providers.base import require_window
from carbon_ray.providers.file_source import FileSource
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.carbon_aware_sdk import duration
from carbon_ray.providers.services.fields import MAX_GCO2_PER_KWH, plausible_at
from carbon_ray.providers.services.grid import Row, readings_of

GCO2_PER_KWH_OF: Mapping[str, float] = {
    "gco2_per_kwh": 1.0,
    "kgco2_per_kwh": G_PER_KG,
    "lb_per_mwh": gco2_per_kwh_of_lb_per_mwh(1.0),
}
"""Units that a file may be in, each as gCO2 per kWh."""

MAX_FILE_BYTES = 256 * 2**20


class CarbonAwareFileProvider(FileSource[Readings]):
    """History from one file of the Carbon Aware SDK.

    A file states neither unit nor kind, so both must be said. A time without an offset is UTC, and the provenance says so. An
    entry without a duration holds for `default_duration_s`, no longer: nothing is extended until the next one.

    Args:
        path: The file.
        kind: What it counts.
        unit: `gco2_per_kwh`, `kgco2_per_kwh` or `lb_per_mwh`.
        zones: Serve only these locations; None for all.
        default_duration_s: Length of an entry that has none, seconds.

    Raises:
        TraceFormatError: The file is malformed; names the entry.
        UnknownZoneError: A zone in `zones` is not in the file.
        ConfigError: Another setting is wrong.
    """

    name: ClassVar[str] = "carbon_aware_file"

    def __init__(
        self,
        path: str | Path,
        kind: IntensityKind | str,
        unit: str,
        zones: Sequence[str] | None = None,
        default_duration_s: float = 3600.0,
    ) -> None:
        super().__init__(path, kind)
        if unit not in GCO2_PER_KWH_OF:
            raise ConfigError(f"unknown unit {unit!r} of {path}; use one of {', '.join(GCO2_PER_KWH_OF)}")
        if not 60 <= default_duration_s <= 86_400:
            raise ConfigError(f"default_duration_s must be between 60 and 86400, got {default_duration_s!r}")
        rows, notes = read_emissions(self._path, unit, timedelta(seconds=default_duration_s))
        provenance = Provenance(provider=self.name, detail="; ".join([self._path.name, *notes]))
        served: dict[str, Readings] = {}
        for zone, found in sorted(rows.items()):
            try:
                readings = readings_of(found, zone=zone, kind=self._kind, provenance=provenance, newest_at=None)
            except ProviderError as error:
                raise TraceFormatError(str(path), f"location {zone}: {error.problem}") from None
            if readings is not None:
                served[zone] = readings
        for zone in zones or ():
            if zone not in served:
                raise UnknownZoneError(zone, tuple(served))
        self._found = served if zones is None else {zone: served[zone] for zone in sorted(set(zones))}

    def readings(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`.

        Raises:
            UnknownZoneError: The file has no such location.
            ValueError: The window is empty or not in UTC.
        """
        require_window(start_at, end_at)
        return self._of(zone).window(start_at, end_at)

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that intersect `[start_at, end_at)`.

        Raises:
            UnknownZoneError: The file has no such location.
            ProviderNoDataError: Part of the window lies outside its entries, or between two of them.
            ValueError: The window is empty or not in UTC.
        """
        readings = self.readings(zone, start_at, end_at)
        if readings is None or start_at < readings.start_at or end_at > readings.end_at:
            whole = self._of(zone)
            raise ProviderNoDataError(
                self.name,
                zone,
                f"{self._path.name} has [{whole.start_at:%Y-%m-%dT%H:%MZ}, {whole.end_at:%Y-%m-%dT%H:%MZ}); ask for a window inside that",
            )
        return readings.series()


def read_emissions(path: Path, unit: str, default: timedelta) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """Rows of a file by location, in gCO2e per kWh, and what a reader of the numbers should know.

    Raises:
        TraceFormatError: The file cannot be read, or breaks the format.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TraceFormatError(str(path), f"is larger than {MAX_FILE_BYTES} bytes")
        data = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise TraceFormatError(str(path), f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise TraceFormatError(str(path), f"is no JSON: {str(error)[:120]}") from None
    entries: Any = data.get("Emissions") if isinstance(data, dict) else data
    if not isinstance(entries, list):
        raise TraceFormatError(str(path), "has neither a list of Emissions nor is one; see the Carbon Aware SDK's data files")
    rows: dict[str, list[Row]] = {}
    notes: set[str] = set()
    for number, entry in enumerate(entries, 1):
        try:
            location, row = _row(entry, unit, default, notes)
        except ValueError as error:
            raise TraceFormatError(str(path), f"entry {number}: {error}") from None
        rows.setdefault(location, []).append(row)
    return rows, tuple(sorted(notes))


def _row(entry: Any, unit: str, default: timedelta, notes: set[str]) -> tuple[str, Row]:
    if not isinstance(entry, dict):
        raise ValueError("is no object")
    location, time, rating = entry.get("Location"), entry.get("Time"), entry.get("Rating")
    if not isinstance(location, str) or not location:
        raise ValueError("Location is missing")
    if not isinstance(time, str):
        raise ValueError("Time is missing")
    if isinstance(rating, bool) or not isinstance(rating, (int, float, str)):
        raise ValueError("Rating is missing or no number")
    try:
        value = float(rating)
    except (ValueError, OverflowError):
        raise ValueError(f"Rating {str(rating)[:30]!r} is no number") from None
    value *= GCO2_PER_KWH_OF[unit]
    if not 0 <= value <= MAX_GCO2_PER_KWH:
        raise ValueError(f"Rating {str(rating)[:30]} in {unit} lies outside 0 to {MAX_GCO2_PER_KWH:.0f} gCO2/kWh; check unit")
    start_at = _instant(time, notes)
    length = entry.get("Duration")
    if length is not None and not isinstance(length, str):
        raise ValueError("Duration is no text")
    span = duration(length)
    if span is None:
        notes.add("entries without a duration")
        span = default
    return location, Row(start_at, start_at + span, value)


def _instant(text: str, notes: set[str]) -> datetime:
    try:
        naive = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"Time {text[:40]!r} is no ISO 8601 instant") from None
    if naive.tzinfo is None:
        notes.add("times without an offset taken as UTC")
        return plausible_at(naive.replace(tzinfo=UTC))
    return plausible_at(parse_utc(text))


def read_locations(path: str | Path) -> dict[str, str]:
    """Zones by location, of the SDK's location file, where it names a zone instead of coordinates; for `areas`.

    Raises:
        TraceFormatError: The file cannot be read, or is no location file.
    """
    try:
        data = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise TraceFormatError(str(path), f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise TraceFormatError(str(path), f"is no JSON: {str(error)[:120]}") from None
    if not isinstance(data, dict) or not all(isinstance(one, dict) for one in data.values()):
        raise TraceFormatError(str(path), "is no location file: an object of objects")
    return {name: str(one.get("Name") or name) for name, one in data.items()}
