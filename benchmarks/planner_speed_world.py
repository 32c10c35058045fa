"""The regions that fleets are planned on and jobs are simulated in: 24 profiles shipped in the package, or the zones of a trace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.trace import TraceProvider

REGIONS = 24
YEAR = 2022
MIN_HOURS = 8700
"""Of a year that a trace must have: the simulated one takes 364 days of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weather:
    """Where intensities come from.

    Attributes:
        zones: One region each.
        year: Whose days are planned.
        table: Real intensities of the year; None for the embedded profiles, which are synthetic but typical.
    """

    zones: tuple[str, ...]
    year: int = YEAR
    table: HourlyTable | None = None

    @classmethod
    def embedded(cls, count: int = REGIONS) -> Weather:
        """Zones spread evenly over the sorted names of all embedded profiles."""
        names = sorted(EmbeddedProvider().zones())
        return cls(zones=tuple(names[index * len(names) // count] for index in range(count)))

    @classmethod
    def of_trace(cls, path: Path, zones: str, year: int) -> Weather:
        """The zones of a trace; all of them where none is named.

        Raises:
            ConfigError: The trace has no such zone, not two of them, or too little of that year.
        """
        if not zones and not path.is_file():
            raise ConfigError(f"{path} is not there; give a CSV or Parquet trace with --traces")
        names = tuple(zones.split(",")) if zones else TraceProvider(path).zones()
        table = read_table(path, names)
        first, last = table.year(year)
        if last - first < MIN_HOURS:
            raise ConfigError(f"{path.name} holds {last - first} hours of {year} for all zones together; {MIN_HOURS} are needed")
        if len(names) < 2:
            raise ConfigError("name at least two zones with --zones: a plan is about where as well as when")
        return cls(zones=names, year=year, table=table)

    def at(self, month: int, day: int) -> datetime:
        """Midnight of a day of the year, aware UTC."""
        return datetime(self.year, month, day, tzinfo=UTC)

    def intensities(self, start_at: datetime, span: timedelta, seed: int) -> dict[str, IntensitySeries]:
        """Hourly intensities by zone; the seed is that of the profiles' weather, and nothing to a trace."""
        if self.table is None:
            provider = EmbeddedProvider(seed=seed)
            return {zone: provider.history(zone, start_at, start_at + span) for zone in self.zones}
        return {zone: one.window(start_at, start_at + span) for zone, one in zip(self.zones, self.table.series(), strict=True)}

    def __str__(self) -> str:
        if self.table is None:
            return "embedded profiles: synthetic"
        return f"trace of {self.year}: {', '.join(self.zones)}"


def region(zone: str, max_nodes: int) -> Region:
    """A region of nodes of 1 kW that cost nothing, one worker each: grams are the only cost."""
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="benchmark")
    node_type = NodeType(name=f"{zone}-node", resources={"CPU": 1.0}, max_nodes=max_nodes, usd_per_h=0.0, power=power)
    return Region(name=zone, zone=zone, pue=1.0, node_types=(node_type,))
