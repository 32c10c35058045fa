"""What the demonstration runs: regions, replayed time, work and deadline, chosen so that it ends in five minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.config.grid import grid_provider
from carbon_ray.config.settings import GridSettings
from carbon_ray.core.errors import ConfigError, ProviderNoDataError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.region import Region
from carbon_ray.providers.base import HistoryProvider

DEFAULT_ZONES = ("DE", "US-CAL-CISO", "ES")
DEFAULT_START_AT = datetime(2024, 3, 8, 15, tzinfo=UTC)
"""A morning in California: on this day of the typical grids a pause and a move are worth it, whether segments start fast or slowly."""

HISTORY_DAYS = 15
"""What the default forecaster needs: the same hour of the last 14 days, and a day in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One demonstration.

    Attributes:
        grid: Where intensity comes from.
        zones: Grid zones; the first one is home.
        start_at: Replayed instant of the submission, aware UTC.
        speedup: Replayed seconds per second: a day takes a little over three minutes.
        deadline_h: Hours from submission to the deadline.
        run_h: Hours of the uninterrupted training.
        margin_h: Hours kept in hand before the deadline; eight seconds of a slow machine.
        rounds: Boosting rounds of the training.
    """

    grid: GridSettings
    zones: tuple[str, ...] = DEFAULT_ZONES
    start_at: datetime = DEFAULT_START_AT
    speedup: float = 450.0
    deadline_h: float = 27.0
    run_h: float = 10.0
    margin_h: float = 1.0
    rounds: int = 300

    @classmethod
    def of(cls, *, traces: Path | None, zones: tuple[str, ...], start_at: datetime | None) -> Scenario:
        """The default scenario, or the same on real traces.

        Raises:
            ConfigError: The arguments do not go together, or a zone is unknown.
            TraceFormatError: The trace is malformed.
        """
        if traces is None:
            grid = GridSettings()
            scenario = cls(grid=grid, zones=zones or DEFAULT_ZONES, start_at=start_at or DEFAULT_START_AT)
        else:
            if not zones or start_at is None:
                raise ConfigError(
                    "a trace needs zones and a start: --zones DE,ES,FR --start 2022-05-02T16:00Z (make demo: ZONES=... START=...)"
                )
            scenario = cls(grid=GridSettings(provider="trace", path=traces.absolute()), zones=zones, start_at=start_at)
        scenario._check()
        return scenario

    def _check(self) -> None:
        if len(set(self.zones)) != len(self.zones) or not 1 <= len(self.zones) <= 4:
            raise ConfigError(f"give one to four different zones, got {', '.join(self.zones) or 'none'}")
        provider = self.provider()
        try:
            for zone in self.zones:
                provider.history(zone, self.start_at - timedelta(days=HISTORY_DAYS), self.deadline_at + timedelta(hours=2))
        except ProviderNoDataError as error:
            raise ConfigError(
                f"{error}; START needs {HISTORY_DAYS} days of data before it for the forecast, and {self.deadline_h + 2:.0f} hours after it"
            ) from None

    def provider(self) -> HistoryProvider:
        """The data source, checked against the zones."""
        return grid_provider(self.grid, self.zones)

    @property
    def deadline_at(self) -> datetime:
        """The deadline if the submission falls on the start, aware UTC."""
        return self.start_at + timedelta(hours=self.deadline_h)

    def truth(self, start_at: datetime, end_at: datetime) -> dict[str, IntensitySeries]:
        """What comes true, by zone: for the comparison with the clairvoyant afterwards, never for a decision."""
        provider = self.provider()
        return {zone: provider.history(zone, start_at, end_at) for zone in self.zones}

    def regions(self) -> tuple[Region, ...]:
        """One region per zone, of the default local cluster where it has the zone."""
        known = {region.zone: region for region in DEFAULT_REGIONS}
        spare = [region for region in DEFAULT_REGIONS if region.zone not in self.zones] or list(DEFAULT_REGIONS)
        out: list[Region] = []
        for zone in self.zones:
            region = known.get(zone)
            if region is None:
                model = spare[len(out) % len(spare)]
                node_types = tuple(replace(one, name=f"gpu-{zone.lower()}") for one in model.node_types)
                region = replace(model, name=zone.lower(), zone=zone, node_types=node_types)
            out.append(region)
        return tuple(out)

    def carbon_section(self) -> dict[str, Any]:
        """What differs from the default `provider.carbon` of a local cluster."""
        return {
            "grid": self.grid.model_dump(mode="json", exclude_none=True),
            "clock": {"mode": "replay", "start_at": self.start_at.isoformat(), "speedup": self.speedup},
            "history_days": HISTORY_DAYS,
            "controller": {"tick_s": 0.5, "slot_s": 900.0, "min_stay_s": 3600.0},
        }

    def training_command(self, python: str, name: str, storage: Path, proof: Path) -> list[str]:
        """The job's command line; every round is paced so that all of them last `run_h` replayed hours."""
        pace_s = self.run_h * 3600 / self.speedup / self.rounds
        return [
            *(python, "-m", "carbon_ray.demo.training", "--name", name, "--rounds", str(self.rounds), "--pace-s", f"{pace_s:.4f}"),
            *("--deadline-hours", f"{self.deadline_h:g}", "--run-hours", f"{self.run_h:g}", "--margin-hours", f"{self.margin_h:g}"),
            *("--regions", ",".join(region.name for region in self.regions()), "--objective", "carbon"),
            *("--storage", str(storage), "--out", str(proof)),
        ]
