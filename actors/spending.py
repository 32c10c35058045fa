"""What a workload has cost until now: priced segments by the books, the others by what their nodes cost, and transfers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from carbon_ray.core.ledger import Segment, Totals
from carbon_ray.core.region import Region
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Workload


def spent_usd(
    workload: Workload, segments: Sequence[Segment], priced: Mapping[int, Totals], regions: Mapping[str, Region], *, now: datetime
) -> float | None:
    """Money until `now`, USD; None where the price of a segment's nodes is not known any more.

    Args:
        workload: Whose.
        segments: Its segments in order.
        priced: What the books hold of them, by index.
        regions: Of the cluster, by name.
        now: Cluster's clock.
    """
    usd = _transfers_usd(workload, segments)
    for segment in segments:
        if segment.end_at is not None and segment.index in priced:
            usd += priced[segment.index].usd
            continue
        known = regions[segment.region].node_types if segment.region in regions else ()
        node_type = next((one for one in known if one.name == segment.node_type), None)
        if node_type is None:
            return None
        usd += hours((segment.end_at or max(now, segment.start_at)) - segment.start_at) * node_type.usd_per_h * segment.nodes
    return usd


def _transfers_usd(workload: Workload, segments: Sequence[Segment]) -> float:
    """Price of every start in another region than the one before; the first is compared with home."""
    ran = [workload.home_region, *(segment.region for segment in segments if segment.running_at is not None)]
    transfers = workload.overheads.transfers
    left = [origin for origin, target in pairwise(ran) if origin != target]
    return sum(workload.overheads.egress_usd + (transfers.usd(origin) if transfers else 0.0) for origin in left)
