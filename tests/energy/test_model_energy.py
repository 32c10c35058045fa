"""The energy source that needs no counter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carbon_ray.core.ledger import Phase, Segment
from carbon_ray.core.region import NodeType, PowerModel
from carbon_ray.energy import EnergySource, ModelEnergySource

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)
GPU = NodeType(name="gpu", resources={"GPU": 4}, max_nodes=2, usd_per_h=3.0, power=PowerModel(tdp_w=1000, idle_fraction=0.2, source="test"))
SOURCE = ModelEnergySource(GPU, utilisation_fraction=0.5)
SEGMENT = Segment(
    workload_id="run", index=3, region="east", workers=8, node_type="gpu", nodes=2, start_at=T0, running_at=T0 + timedelta(minutes=30)
)


def test_idle_while_starting_and_utilised_while_running() -> None:
    # By hand, two nodes: 0.5 h at 200 W each = 0.2 kWh; then 1 h at 1000 x (0.2 + 0.8 x 0.5) = 600 W each = 1.2 kWh.
    found = SOURCE.energy(SEGMENT, T0 + timedelta(hours=1.5))
    assert [stretch.phase for stretch in found] == [Phase.STARTING, Phase.RUNNING]
    assert [stretch.energy_kwh for stretch in found] == pytest.approx([0.2, 1.2], rel=1e-12)
    assert all(stretch.source.startswith("model: 2 x 1000 W") for stretch in found)


def test_it_is_an_energy_source() -> None:
    assert isinstance(SOURCE, EnergySource)


def test_segment_of_another_node_type_is_refused() -> None:
    with pytest.raises(ValueError, match="held 'tpu', not 'gpu'; use the source of its own node type"):
        SOURCE.energy(replace(SEGMENT, node_type="tpu"), T0)
