"""Keeping the books priced: every segment's energy at the intensity that came true, again whenever more of it is known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from carbon_ray.actors.ports import ForecastPort
from carbon_ray.books.ledger import Ledger
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.ledger import Emission, Segment, price, totals
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.workload import Workload
from carbon_ray.energy.model import ModelEnergySource


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

    def unsettled(self) -> tuple[str, ...]:
        """Workloads that still have something to be priced."""
        return tuple(record.workload.workload_id for record in self._ledger.workloads() if record.workload.workload_id not in self._settled)

    def is_settled(self, workload_id: str) -> bool:
        """True once the workload has ended and all its segments are priced to their ends."""
        return workload_id in self._settled

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

    def _price_segment(self, segment: Segment, workload: Workload, now: datetime) -> None:
        key = (segment.workload_id, segment.index)
        if segment.end_at is None or key in self._priced:
            return
        if segment.region not in self._regions:
            raise ConfigError(
                f"the configuration has no region {segment.region!r}, where segment {segment.index} of {segment.workload_id} ran; "
                "put it back to price that segment"
            )
        region, node_type = self._regions[segment.region], self._node_type(segment)
        emissions: tuple[Emission, ...] = ()
        if segment.end_at > segment.start_at:
            intensity = self._forecasts.actual(region.zone, segment.start_at, segment.end_at)
            source = ModelEnergySource(node_type, workload.utilisation_fraction)
            emissions = price(source.energy(segment, now), intensity, region.pue)
        usd = totals(emissions, node_type.usd_per_h * segment.nodes).usd
        self._ledger.put_emissions(segment.workload_id, segment.index, emissions, usd)
        self._priced.add(key)

    def _node_type(self, segment: Segment) -> NodeType:
        for node_type in self._regions[segment.region].node_types:
            if node_type.name == segment.node_type:
                return node_type
        raise ConfigError(
            f"region {segment.region} has no node type {segment.node_type!r}, which segment {segment.index} of {segment.workload_id} held; "
            "put it back into the configuration to price that segment"
        )
