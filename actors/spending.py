"""What a workload has emitted and cost until now: priced segments by the books, the others by the present forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.ledger import Segment, Totals, energy_stretches
from carbon_ray.core.region import Region
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Workload


def spent_until(
    workload: Workload,
    segments: Sequence[Segment],
    priced: Mapping[int, Totals],
    regions: Mapping[str, Region],
    snapshot: ForecastSnapshot,
    *,
    now: datetime,
) -> tuple[float | None, float | None]:
    """Emissions in g and money in USD until `now`; None where a segment's nodes or its zone's forecast are not known.

    Args:
        workload: Whose.
        segments: Its segments in order.
        priced: What the books hold of them, by index.
        regions: Of the cluster, by name.
        snapshot: Newest forecasts; an open segment is counted at the intensity that they say of the present.
        now: Cluster's clock.
    """
    gco2, usd = 0.0, _transfers_usd(workload, segments)
    for segment in segments:
        if segment.end_at is not None and segment.index in priced:
            gco2, usd = gco2 + priced[segment.index].gco2, usd + priced[segment.index].usd
            continue
        region = regions.get(segment.region)
        node_type = next((one for one in region.node_types if one.name == segment.node_type), None) if region else None
        if region is None or node_type is None or region.zone not in snapshot.forecasts:
            return None, None
        known = snapshot[region.zone].median
        if not known.start_at <= now < known.end_at:
            return None, None
        energy_kwh = sum(one.energy_kwh for one in energy_stretches(segment, node_type, workload.utilisation_fraction, now))
        gco2 += energy_kwh * region.pue * known.at(now)
        usd += hours((segment.end_at or max(now, segment.start_at)) - segment.start_at) * node_type.usd_per_h * segment.nodes
    return gco2, usd


def _transfers_usd(workload: Workload, segments: Sequence[Segment]) -> float:
    """Price of every start in another region than the one before; the first is compared with home."""
    ran = [workload.home_region, *(segment.region for segment in segments if segment.running_at is not None)]
    transfers = workload.overheads.transfers
    left = [origin for origin, target in pairwise(ran) if origin != target]
    return sum(workload.overheads.egress_usd + (transfers.usd(origin) if transfers else 0.0) for origin in left)
