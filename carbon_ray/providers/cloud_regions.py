"""Cloud regions: which grid zone feeds them, where they stand, and the PUE of their buildings; a table shipped in the package.

Its rows are facts collected from several public sources, each named in the row; `doubt` says what was corrected or is not
certain. Where a row is wrong for you, write the zone or the PUE beside the cloud region in the configuration: it wins.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from carbon_ray.core.errors import UnknownRegionError
from carbon_ray.providers.embedded import EmbeddedProvider

ATTRIBUTION = (
    "Cloud regions: zones, coordinates and PUE from Green Software Foundation real-time-cloud, GreenKube (Apache-2.0), "
    "SPRUCE (Apache-2.0) and Carbon Aware SDK (MIT), corrected where their rows contradicted each other"
)
"""To be shown beside the table; the whole of it is in `data/ATTRIBUTION.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudRegion:
    """One region of one cloud.

    Attributes:
        cloud: `aws`, `azure`, `gcp`, `ovh` or `scaleway`.
        region: The cloud's own code, such as `eu-central-1`.
        location: Place in words; empty where no source names one.
        zone: Grid zone, named as by Electricity Maps.
        zone_source: Who says so.
        latitude: Degrees north; None where not known.
        longitude: Degrees east; None where not known.
        pue: Power usage effectiveness; None where none is published.
        pue_source: Who publishes it, and for how large an area; empty without a PUE.
        doubt: What was corrected or is not certain; empty where the sources agree.
    """

    cloud: str
    region: str
    location: str
    zone: str
    zone_source: str
    latitude: float | None
    longitude: float | None
    pue: float | None
    pue_source: str
    doubt: str

    @property
    def name(self) -> str:
        """What a configuration calls it: `aws/eu-central-1`."""
        return f"{self.cloud}/{self.region}"

    @property
    def has_profile(self) -> bool:
        """True where the package has an embedded profile of the zone."""
        return self.zone in _profiled()


@lru_cache(maxsize=1)
def _profiled() -> frozenset[str]:
    return frozenset(EmbeddedProvider().zones())


@lru_cache(maxsize=1)
def _by_name() -> dict[str, CloudRegion]:
    text = (files("carbon_ray.providers") / "data" / "cloud_regions.csv").read_text(encoding="utf-8")
    found = (
        CloudRegion(
            cloud=row["cloud"],
            region=row["region"],
            location=row["location"],
            zone=row["zone"],
            zone_source=row["zone_source"],
            latitude=_number(row["latitude"]),
            longitude=_number(row["longitude"]),
            pue=_number(row["pue"]),
            pue_source=row["pue_source"],
            doubt=row["doubt"],
        )
        for row in csv.DictReader(io.StringIO(text))
    )
    return {one.name: one for one in sorted(found, key=lambda one: one.name)}


def _number(text: str) -> float | None:
    return float(text) if text else None


def cloud_regions() -> tuple[CloudRegion, ...]:
    """All regions of the table, sorted by name."""
    return tuple(_by_name().values())


def cloud_region(name: str) -> CloudRegion:
    """The region of that name, such as `aws/eu-central-1`; upper and lower case do not matter.

    Raises:
        UnknownRegionError: The table has no such region.
    """
    wanted = name.strip().casefold()
    for known, one in _by_name().items():
        if known.casefold() == wanted:
            return one
    raise UnknownRegionError(name, tuple(_by_name()))


def matching(
    regions: Iterable[CloudRegion], *, text: str = "", cloud: str = "", zone: str = "", only_profiled: bool = False
) -> tuple[CloudRegion, ...]:
    """The regions that meet all of the conditions, in their order.

    Args:
        regions: Where to look.
        text: Words that must all stand somewhere in name, location, zone or doubt, in any case; empty for any.
        cloud: Name of a cloud, in any case; empty for any.
        zone: Grid zone, in any case; also its first part, so that `US` finds every zone of the United States; empty for any.
        only_profiled: Only zones with an embedded profile.
    """
    words = text.casefold().split()
    return tuple(
        one
        for one in regions
        if (not cloud or one.cloud.casefold() == cloud.casefold())
        and (not zone or f"{one.zone}-".casefold().startswith(f"{zone}-".casefold()))
        and (not only_profiled or one.has_profile)
        and all(word in f"{one.name} {one.location} {one.zone} {one.doubt}".casefold() for word in words)
    )
