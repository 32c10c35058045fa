"""Intensity from a file: a CSV or Parquet trace, checked whole when it is opened and then only looked up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from carbon_ray.core.errors import ConfigError, TraceFormatError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.base import covering
from carbon_ray.providers.file_source import FileSource
from carbon_ray.providers.trace_file import read_trace


class TraceProvider(FileSource[IntensitySeries]):
    """History from one trace file.

    The file has the columns `zone`, `time_utc` (start of the interval), `gco2_per_kwh` and `kind`; `source`, where it is
    there, goes into the provenance, and other columns are ignored. All of the file is checked, also what is not asked for.
    The data are held in memory and travel with the provider when it is pickled, so that only the process that makes it
    needs the file.

    Args:
        path: A `.csv`, `.csv.gz` or `.parquet` file.
        kind: The kind to serve; a file may hold several.
        zones: Serve only these; None for all that the file has of the kind.

    Raises:
        TraceFormatError: The file breaks the format, or has nothing of the kind.
        UnknownZoneError: A zone in `zones` is not in the file.
        ConfigError: `kind` is no intensity kind, or `zones` is empty.
    """

    name: ClassVar[str] = "trace"

    def __init__(
        self, path: str | Path, kind: IntensityKind | str = IntensityKind.AVERAGE_LIFECYCLE, zones: Sequence[str] | None = None
    ) -> None:
        super().__init__(path, kind)
        if zones is not None and (isinstance(zones, str) or not zones):
            raise ConfigError(f"zones must be a list of at least one zone, or left out for all, got {zones!r}")
        series = read_trace(self._path)
        of_kind = {zone: one for (zone, its_kind), one in series.items() if its_kind is self._kind}
        if not of_kind:
            found = ", ".join(sorted({its_kind for _, its_kind in series}))
            raise TraceFormatError(str(path), f"has no rows of kind {self._kind}, only of {found}; ask for that kind or use another file")
        for zone in zones or ():
            if zone not in of_kind:
                raise UnknownZoneError(zone, tuple(of_kind))
        self._found = {zone: of_kind[zone] for zone in sorted(zones or of_kind)}

    def span(self, zone: str) -> tuple[datetime, datetime]:
        """Start and end of the zone's data: `[start_at, end_at)`, aware UTC.

        Raises:
            UnknownZoneError: The trace has no such zone.
        """
        series = self._of(zone)
        return series.start_at, series.end_at

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals of the zone that intersect `[start_at, end_at)`.

        Raises:
            UnknownZoneError: The trace has no such zone.
            ProviderNoDataError: Part of the window lies outside the zone's data.
            ValueError: The window is empty or not in UTC.
        """
        return covering(self._of(zone), start_at, end_at, provider=f"trace {self._path.name}")
