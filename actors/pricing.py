"""Keeping the books priced: every segment's energy at the intensity that came true, again whenever more of it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from carbon_ray.actors.ports import ForecastPort
from carbon_ray.books.ledger import Ledger
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.ledger import Emission, EnergyStretch, Segment, price, totals
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.workload import Workload
from carbon_ray.energy.model import ModelEnergySource


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What the ledger says of a priced segment.

    Attributes:
        gco2: Its emissions, g.
        kind: What their intensity counts; None where it emitted nothing.
    """

    gco2: float
    kind: IntensityKind | None

    @classmethod
    def of(cls, emissions: Sequence[Emission]) -> Booked:
        """The sum of one segment's emissions."""
        return cls(gco2=sum(emission.gco2 for emission in emissions), kind=emissions[0].kind if emissions else None)


class Pricing:
    """Prices segments into the ledger.

    Args:
        regions: The cluster's regions.
        ledger: Where segments come from and emissions go.
        forecasts: Who knows what came true.
    """

    def __init__(self, regions: Mapping[str, Region], ledger: Ledger, forecasts: ForecastPort) -> None:
        self._regions, self._ledger, self._forecasts = regions, ledger, forecasts
        self._priced: set[tuple[str, int]] = set()
        self._settled: set[str] = set()
        self._booked: dict[str, dict[int, Booked]] = {}

    def unsettled(self) -> tuple[str, ...]:
        """Workloads that still have something to be priced."""
        return tuple(record.workload.workload_id for record in self._ledger.workloads() if record.workload.workload_id not in self._settled)

    def is_settled(self, workload_id: str) -> bool:
        """True once the workload has ended and all its segments are priced to their ends."""
        return workload_id in self._settled

    def booked(self, workload_id: str) -> Mapping[int, Booked]:
        """What the ledger says of a live workload's priced segments, by index; read from it once."""
        return self._account(workload_id)

    def _account(self, workload_id: str) -> dict[int, Booked]:
        if workload_id not in self._booked:
            emissions = self._ledger.emissions(workload_id)
            self._booked[workload_id] = {index: Booked.of(of_segment) for index, of_segment in emissions.items()}
        return self._booked[workload_id]

    def price(self, workload_id: str, *, now: datetime) -> None:
        """Price as much as has come true.

        Raises:
            OutsideDataError: Some of a closed segment has not come true yet; an open one is priced next time.
            ProviderError: The intensity cannot be read.
            ConfigError: A node type that was held is no longer configured.
        """
        record = self._ledger.workload(workload_id)
        if record is None:
            return
        segments = self._ledger.segments(workload_id)
        for segment in segments:
            self._price_segment(segment, record.workload, now)
        if record.status.is_terminal and all(segment.end_at is not None for segment in segments):
            self._settled.add(workload_id)
            self._booked.pop(workload_id, None)

    def _price_segment(self, segment: Segment, workload: Workload, now: datetime) -> None:
        key = (segment.workload_id, segment.index)
        if segment.end_at is None or key in self._priced:
            return
        region, node_type = held_by(segment, self._regions)
        emissions: tuple[Emission, ...] = ()
        if segment.end_at > segment.start_at:
            intensity = self._forecasts.actual(region.zone, segment.start_at, segment.end_at)
            stretches, _ = energy_of(segment, workload, self._regions, now)
            emissions = price(stretches, intensity, region.pue)
        usd = totals(emissions, node_type.usd_per_h * segment.nodes).usd
        self._ledger.put_emissions(segment.workload_id, segment.index, emissions, usd)
        self._priced.add(key)
        if workload.workload_id in self._booked:
            self._booked[workload.workload_id][segment.index] = Booked.of(emissions)


def held_by(segment: Segment, regions: Mapping[str, Region]) -> tuple[Region, NodeType]:
    """Where a segment ran, and on what.

    Raises:
        ConfigError: The configuration has no such region or node type any more.
    """
    if segment.region not in regions:
        raise ConfigError(
            f"the configuration has no region {segment.region!r}, where segment {segment.index} of {segment.workload_id} ran; "
            "put it back to price that segment"
        )
    region = regions[segment.region]
    for node_type in region.node_types:
        if node_type.name == segment.node_type:
            return region, node_type
    raise ConfigError(
        f"region {segment.region} has no node type {segment.node_type!r}, which segment {segment.index} of {segment.workload_id} held; "
        "put it back into the configuration to price that segment"
    )


def energy_of(
    segment: Segment, workload: Workload, regions: Mapping[str, Region], now: datetime
) -> tuple[tuple[EnergyStretch, ...], Region]:
    """Energy of a segment's nodes, up to `now` while it is open, and the region whose PUE and zone it is priced with.

    Raises:
        ConfigError: As `held_by`.
    """
    region, node_type = held_by(segment, regions)
    return ModelEnergySource(node_type, workload.utilisation_fraction).energy(segment, now), region
