"""Small worlds to simulate in: one zone for each region, hourly values as given, 1 kW nodes, so that grams are sums of the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.forecasts import Clairvoyant
from carbon_ray.sim.jobs import JobSet, Row, Template, fixed_slack, job_set
from carbon_ray.sim.world import World

T0 = datetime(2022, 3, 7, tzinfo=UTC)


def series(zone: str, values: Sequence[float] | np.ndarray, start_at: datetime = T0) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=start_at,
        step_s=3600.0,
        values_gco2_per_kwh=np.asarray(values, dtype=float),
        provenance=Provenance(provider="test"),
    )


def region(name: str, *, max_nodes: int = 10**6, usd_per_h: float = 0.0, idle_fraction: float = 0.0, pue: float = 1.0) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=idle_fraction, source="test")
    node_type = NodeType(name=f"{name}-node", resources={"CPU": 1.0}, max_nodes=max_nodes, usd_per_h=usd_per_h, power=power)
    return Region(name=name, zone=name, pue=pue, node_types=(node_type,))


def world(
    values: Mapping[str, Sequence[float] | np.ndarray],
    *,
    start_at: datetime = T0,
    physics: Any = None,
    mishaps: Any = None,
    **of_region: Any,
) -> World:
    given = {key: value for key, value in (("physics", physics), ("mishaps", mishaps)) if value is not None}
    return World(
        regions={name: region(name, **of_region) for name in values},
        truth={name: series(name, ci, start_at) for name, ci in values.items()},
        **given,
    )


def jobs(
    rows: Sequence[Row | tuple[float, float, int]],
    regions: Sequence[str],
    *,
    slack_h: float,
    homes: Sequence[str] = (),
    start_at: datetime = T0,
    **template: Any,
) -> JobSet:
    fields: dict[str, Any] = {"objective": Objective(usd_per_kgco2=1000.0, usd_weight=0.0), "overheads": Overheads(), **template}
    made = Template(start_at=start_at, regions=tuple(regions), homes=tuple(homes), slack=fixed_slack(slack_h), **fields)
    return job_set("job", [Row(*row) for row in rows], made)


def weather(seed: int, zones: Sequence[str], hours: int) -> dict[str, np.ndarray]:
    """Days of sun and wind: a daily wave whose depth changes, so that the best hours are not the same each day."""
    random = np.random.default_rng(seed)
    clock = np.arange(hours)
    out = {}
    for number, zone in enumerate(zones):
        depth = np.repeat(random.uniform(20, 150, -(-hours // 24)), 24)[:hours]
        wave = 200 + 40 * number + depth * np.cos(2 * np.pi * (clock - random.integers(24)) / 24)
        out[zone] = np.maximum(10.0, wave + random.normal(0, 15, hours)).round(2)
    return out


@pytest.fixture
def tools() -> SimpleNamespace:
    """The makers above, and the exact policy without hysteresis or guard on hourly slots."""
    return SimpleNamespace(
        T0=T0,
        series=series,
        region=region,
        world=world,
        jobs=jobs,
        weather=weather,
        exact=Replan(slot_s=3600.0, hysteresis_fraction=0.0, backfire_fraction=0.0),
        clairvoyant=lambda where: Clairvoyant(where.truth),
        hour=lambda count: timedelta(hours=count),
    )


Simulated = Callable[..., Any]
