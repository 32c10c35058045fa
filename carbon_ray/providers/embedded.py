"""The profile shipped in the package: a synthetic but typical intensity for 59 zones, for examples, smoke tests and last resort.

Typical month-by-hour means plus a random deviation that remembers itself from hour to hour. Good for showing how carbon_ray
works; no claim about savings may rest on it, which is why its provenance is marked as embedded.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate
from typing import ClassVar

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError, ProviderNoDataError, UnknownZoneError
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance, frozen_array
from carbon_ray.providers.base import Capabilities, require_window

STEP = timedelta(hours=1)
FIRST_YEAR, LAST_YEAR = 1970, 2099
"""Years for which values are made; nothing about them is known, but wilder instants are mistakes."""

_DECIMALS = 2
"""Values are rounded so far, which hides the last bits in which platforms differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """One zone: `mean_gco2_per_kwh` has shape (12 months, 24 hours UTC); the rest describes the deviation from it."""

    mean_gco2_per_kwh: FloatArray
    year: int
    source: str
    lower_gco2_per_kwh: float
    upper_gco2_per_kwh: float
    phi: float
    innovation_gco2_per_kwh: float


@dataclass(frozen=True, slots=True)
class EmbeddedProvider:
    """Synthetic hourly history of any window of the years 1970 to 2099, the same on every machine.

    Attributes:
        seed: Another number, 0 or above, gives other weather; the same gives the same values, however the window is cut.

    Raises:
        ConfigError: The seed is not an integer of 0 or above.
    """

    seed: int = 0

    name: ClassVar[str] = "embedded"
    kind: ClassVar[IntensityKind] = IntensityKind.AVERAGE_LIFECYCLE

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise ConfigError(f"the seed of the embedded provider must be an integer of 0 or above, got {self.seed!r}")

    @property
    def capabilities(self) -> Capabilities:
        """Hourly history of every zone of the profile."""
        return Capabilities(history=True, forecast=False, mix=False, marginal=False, zones=self.zones(), resolution_s=STEP.total_seconds())

    def zones(self) -> tuple[str, ...]:
        """All zones of the profile, sorted."""
        return tuple(_profiles())

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The hours that intersect `[start_at, end_at)`.

        Raises:
            UnknownZoneError: The profile has no such zone.
            ProviderNoDataError: Part of the window lies outside the years 1970 to 2099.
            ValueError: The window is empty or not in UTC.
        """
        profile = _profile(zone)
        require_window(start_at, end_at)
        if start_at < _new_year(FIRST_YEAR) or end_at > _new_year(LAST_YEAR + 1):
            raise ProviderNoDataError(self.name, zone, f"the profile is made for {FIRST_YEAR} to {LAST_YEAR}; ask for a window inside that")
        first_at = require_utc(start_at).replace(minute=0, second=0, microsecond=0)
        last_at = end_at - timedelta.resolution
        years = range(first_at.year, last_at.year + 1)
        offset = (first_at - _new_year(years[0])) // STEP
        count = -((first_at - end_at) // STEP)
        values = np.concatenate([_year(zone, year, self.seed) for year in years])[offset : offset + count]
        return IntensitySeries(
            zone=zone,
            kind=self.kind,
            start_at=first_at,
            step_s=STEP.total_seconds(),
            values_gco2_per_kwh=values,
            provenance=Provenance(
                provider=self.name,
                detail=f"typical hours of {profile.year}, {profile.source}, ODbL 1.0; synthetic deviation, seed {self.seed}",
                is_embedded=True,
            ),
        )


def _new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def _rows(name: str) -> list[dict[str, str]]:
    data = (files("carbon_ray.providers") / "data" / name).read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    return list(csv.DictReader(io.StringIO(data.decode())))


@lru_cache(maxsize=1)
def _profiles() -> Mapping[str, _Profile]:
    means: dict[str, FloatArray] = {}
    for row in _rows("climatology.csv.gz"):
        grid = means.setdefault(row["zone"], np.full((12, 24), np.nan))
        grid[int(row["month"]) - 1, int(row["hour_utc"])] = float(row["mean"])
    spread = {row["zone"]: row for row in _rows("variability.csv")}
    return {
        zone: _Profile(
            mean_gco2_per_kwh=frozen_array(means[zone]),
            year=int(row["year"]),
            source=row["source"],
            lower_gco2_per_kwh=float(row["min"]),
            upper_gco2_per_kwh=float(row["max"]),
            phi=float(row["ar1_phi"]),
            innovation_gco2_per_kwh=float(row["innovation_std"]),
        )
        for zone, row in sorted(spread.items())
    }


def _profile(zone: str) -> _Profile:
    profiles = _profiles()
    try:
        return profiles[zone]
    except KeyError:
        raise UnknownZoneError(zone, tuple(profiles)) from None


@lru_cache(maxsize=256)
def _year(zone: str, year: int, seed: int) -> FloatArray:
    """All hours of one year; 256 of them are 18 MB."""
    profile = _profile(zone)
    values = _typical(profile.mean_gco2_per_kwh, year) + _deviation(zone, year, seed)
    clipped: FloatArray = np.clip(values, profile.lower_gco2_per_kwh, profile.upper_gco2_per_kwh)
    return frozen_array(clipped.round(_DECIMALS))


def _typical(mean_gco2_per_kwh: FloatArray, year: int) -> FloatArray:
    """Mean of each hour of a year: linear in time between the middles of the months, so that no month starts with a jump."""
    starts = [(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) - _new_year(year)) / STEP for month in range(-1, 14)]
    middles = (np.array(starts[:-1]) + np.array(starts[1:])) / 2
    hours = np.arange((_new_year(year + 1) - _new_year(year)) // STEP)
    position = np.interp(hours + 0.5, middles, np.arange(-1, 13))
    before = np.floor(position).astype(int)
    share = position - before
    hour = hours % 24
    typical: FloatArray = (1 - share) * mean_gco2_per_kwh[before % 12, hour] + share * mean_gco2_per_kwh[(before + 1) % 12, hour]
    return typical


def _deviation(zone: str, year: int, seed: int) -> FloatArray:
    """d[t] = phi d[t-1] + e[t]; the year before is run through first, after which nothing of where it began is left."""
    phi = _profile(zone).phi
    innovations = _innovations(zone, year, seed)
    run_up = _innovations(zone, year - 1, seed)
    deviation = accumulate([*run_up.tolist(), *innovations.tolist()], lambda d, e: phi * d + e)
    return np.fromiter(deviation, dtype=np.float64)[len(run_up) :]


def _innovations(zone: str, year: int, seed: int) -> FloatArray:
    """Normal numbers of one zone, year and seed, drawn from a stream of their own."""
    zone_number = int.from_bytes(hashlib.sha256(zone.encode()).digest()[:8], "big")
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([zone_number, year, seed])))
    hours = (_new_year(year + 1) - _new_year(year)) // STEP
    return random.normal(0.0, _profile(zone).innovation_gco2_per_kwh, hours)
