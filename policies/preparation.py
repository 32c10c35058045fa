"""Compiling ahead: what a policy runs is compiled at its first use, which takes seconds; here that first use is made on purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import PlacementPolicy, Surroundings

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def prepare(policy: PlacementPolicy) -> None:
    """Let a policy decide about a workload that does not exist, so that its first real decision comes at once."""
    power = PowerModel(tdp_w=1.0, idle_fraction=0.0, source="none")
    node_type = NodeType(name="none", resources={"CPU": 1.0}, max_nodes=1, usd_per_h=0.0, power=power)
    region = Region(name="none", zone="none", pue=1.0, node_types=(node_type,))
    falling = np.array([5.0, 4.0, 3.0, 2.0])
    forecast = Forecast(
        zone="none",
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        issued_at=_EPOCH,
        start_at=_EPOCH,
        step_s=3600.0,
        quantiles_gco2_per_kwh={0.1: falling * 0.5, 0.5: falling, 0.9: falling * 1.5},
        forecaster="none",
        provenance=Provenance(provider="none"),
    )
    workload = Workload(
        workload_id="none",
        work_h=1.0,
        workers=1,
        resources_per_worker={"CPU": 1.0},
        home_region="none",
        regions=("none",),
        submitted_at=_EPOCH,
        deadline_at=_EPOCH + timedelta(hours=4),
        objective=Objective(usd_per_kgco2=1.0),
    )
    around = Surroundings(regions={"none": region}, snapshot=ForecastSnapshot(version=1, issued_at=_EPOCH, forecasts={"none": forecast}))
    policy.decide(workload, Progress(remaining_h=1.0, region="none"), around, now=_EPOCH)
