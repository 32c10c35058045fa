"""What was spent until now: the books where they are priced, else the nodes' price; budgets count it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.actors.spending import spent_usd
from carbon_ray.core.ledger import Outcome, Segment, Totals
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.transfers import Transfers
from carbon_ray.core.workload import Overheads

T0 = datetime(2022, 5, 2, tzinfo=UTC)


def region(name: str) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test")
    kind = NodeType(name=f"gpu-{name}", resources={"GPU": 2.0}, max_nodes=2, usd_per_h=3.0, power=power)
    return Region(name=name, zone=name.upper(), pue=1.25, node_types=(kind,))


REGIONS = {name: region(name) for name in ("west", "east")}


def segment(index: int, where: str, start_h: float, running_h: float, end_h: float | None) -> Segment:
    end_at = None if end_h is None else T0 + timedelta(hours=end_h)
    return Segment(
        workload_id="run",
        index=index,
        region=where,
        workers=2,
        node_type=f"gpu-{where}",
        nodes=1,
        start_at=T0 + timedelta(hours=start_h),
        running_at=T0 + timedelta(hours=running_h),
        stopped_at=end_at,
        end_at=end_at,
        outcome=None if end_at is None else Outcome.SUSPENDED,
    )


def test_priced_segments_count_by_the_books_and_the_open_one_by_its_nodes(make_workload: Callable[..., Any]) -> None:
    transfers = Transfers(checkpoint_bytes=1e10, egress_usd_per_gb={"west": 0.1})
    workload = make_workload(overheads=Overheads(egress_usd=0.5, transfers=transfers), utilisation_fraction=1.0)
    segments = [segment(0, "west", 0, 0.5, 2.0), segment(1, "east", 3.0, 4.0, None)]
    priced = {0: Totals(energy_kwh=2.0, gco2=700.0, usd=6.5, held_h=2.0)}
    now = T0 + timedelta(hours=6)
    assert spent_usd(workload, segments, priced, REGIONS, now=now) == pytest.approx(6.5 + 3 * 3 + 0.5 + 1.0)
    assert spent_usd(workload, segments[:1], {}, REGIONS, now=now) == pytest.approx(2 * 3.0)
    assert spent_usd(workload, [], {}, REGIONS, now=T0) == 0.0
    assert spent_usd(workload, segments, priced, {}, now=now) is None
