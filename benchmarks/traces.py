"""Trace files of the documented form as one table: hours by zones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers.trace import TraceProvider


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HourlyTable:
    """Hourly intensities of several zones, without gaps.

    Attributes:
        zones: In the order of the columns.
        start_at: Start of the first hour, aware UTC.
        values_gco2_per_kwh: Shape (hours, zones).
        kind: What is counted.
    """

    zones: tuple[str, ...]
    start_at: datetime
    values_gco2_per_kwh: FloatArray
    kind: IntensityKind

    def position(self, at: datetime) -> int:
        """Number of the hour that begins at `at`; may lie outside the table."""
        return (at - self.start_at) // timedelta(hours=1)

    def series(self) -> tuple[IntensitySeries, ...]:
        """The columns, as the product reads them."""
        return tuple(
            IntensitySeries(
                zone=zone,
                kind=self.kind,
                start_at=self.start_at,
                step_s=3600.0,
                values_gco2_per_kwh=self.values_gco2_per_kwh[:, index],
                provenance=Provenance(provider="trace"),
            )
            for index, zone in enumerate(self.zones)
        )

    def year(self, year: int) -> tuple[int, int]:
        """First hour of a year, and the one after its last, within the table.

        Raises:
            ConfigError: The table holds no hour of that year.
        """
        first, last = self.position(datetime(year, 1, 1, tzinfo=UTC)), self.position(datetime(year + 1, 1, 1, tzinfo=UTC))
        first, last = max(0, first), min(len(self.values_gco2_per_kwh), last)
        if first >= last:
            end_at = self.start_at + timedelta(hours=len(self.values_gco2_per_kwh))
            raise ConfigError(
                f"the trace covers {self.start_at:%Y-%m-%d} to {end_at:%Y-%m-%d}, which holds nothing of {year}; choose another --year"
            )
        return first, last


def read_table(path: Path, zones: tuple[str, ...], kind: str = "average_lifecycle") -> HourlyTable:
    """Read the hours that all zones have in common.

    Raises:
        ConfigError: The file, a zone or the kind is not there, or the zones have no hour in common.
    """
    try:
        provider = TraceProvider(path, kind, zones)
        series = [provider.history(zone, *provider.span(zone)) for zone in zones]
    except (CarbonRayError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    start_at = max(one.start_at for one in series)
    end_at = min(one.end_at for one in series)
    hours = (end_at - start_at) // timedelta(hours=1)
    if hours < 1:
        raise ConfigError(f"{path}: the zones {', '.join(zones)} have no hour in common")
    values = np.stack([one.resample(start_at, 3600.0, hours) for one in series], axis=1)
    return HourlyTable(zones=zones, start_at=start_at, values_gco2_per_kwh=values, kind=provider.kind)
