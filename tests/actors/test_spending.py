"""What was spent until now: the books where they are priced, else the present forecast; budgets count it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.actors.spending import spent_until
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
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


def snapshot(**values: float) -> ForecastSnapshot:
    forecasts = {
        zone: Forecast.certain(
            IntensitySeries(
                zone=zone,
                kind=IntensityKind.AVERAGE_LIFECYCLE,
                start_at=T0,
                step_s=3600.0,
                values_gco2_per_kwh=np.full(24, value),
                provenance=Provenance(provider="test"),
            ),
            T0,
        )
        for zone, value in values.items()
    }
    return ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts)


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


def test_priced_segments_count_by_the_books_and_the_open_one_by_the_forecast(make_workload: Callable[..., Any]) -> None:
    transfers = Transfers(checkpoint_bytes=1e10, egress_usd_per_gb={"west": 0.1})
    workload = make_workload(overheads=Overheads(egress_usd=0.5, transfers=transfers), utilisation_fraction=1.0)
    segments = [segment(0, "west", 0, 0.5, 2.0), segment(1, "east", 3.0, 4.0, None)]
    priced = {0: Totals(energy_kwh=2.0, gco2=700.0, usd=6.0, held_h=2.0)}
    found = spent_until(workload, segments, priced, REGIONS, snapshot(WEST=300.0, EAST=100.0), now=T0 + timedelta(hours=6))
    assert found == pytest.approx((700 + (0.2 + 2.0) * 1.25 * 100, 6 + 3 * 3 + 0.5 + 1.0))
    unpriced = spent_until(workload, segments[:1], {}, REGIONS, snapshot(WEST=300.0), now=T0 + timedelta(hours=6))
    assert unpriced == pytest.approx(((0.5 * 0.2 + 1.5) * 1.25 * 300, 6.0))
    assert spent_until(workload, [], {}, REGIONS, snapshot(), now=T0) == (0.0, 0.0)


@pytest.mark.parametrize(("regions", "known", "now_h"), [({}, {"WEST": 1.0}, 1.0), (REGIONS, {}, 1.0), (REGIONS, {"WEST": 1.0}, 25.0)])
def test_what_cannot_be_known_is_not_counted(
    make_workload: Callable[..., Any], regions: dict[str, Region], known: dict[str, float], now_h: float
) -> None:
    now = T0 + timedelta(hours=now_h)
    assert spent_until(make_workload(), [segment(0, "west", 0, 0.5, None)], {}, regions, snapshot(**known), now=now) == (None, None)
