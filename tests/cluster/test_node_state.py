from typing import Any

import pytest
from ray.autoscaler.v2.schema import (
    NodeInfo,
    NodeUsage,
    PlacementGroupResourceDemand,
    RayTaskActorDemand,
    ResourceDemandSummary,
    ResourceRequestByCount,
    ResourceUsage,
)

from carbon_ray.cluster.nodes import NodeState, node_state, pending_requests
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.policies.capacity import PendingRequest


def info(status: str, **used: float) -> NodeInfo:
    usage = [ResourceUsage(resource_name=name, total=4.0, used=used.get(name, 0.0)) for name in {"CPU", "GPU", "memory", *used}]
    return NodeInfo(
        instance_type_name="",
        node_status=status,
        node_id="ab",
        ip_address="127.0.0.1",
        ray_node_type_name="gpu-west",
        instance_id="gpu-west-1",
        resource_usage=None if status == "DEAD" else NodeUsage(usage=usage, idle_time_ms=0),
        labels={REGION_LABEL: "west"},
    )


@pytest.mark.parametrize(
    ("ray_info", "expected"),
    [
        (info("IDLE"), {"is_idle": True}),
        (info("RUNNING", GPU=3.0), {"is_idle": False, "gpus_used": 3.0}),
        (info("RUNNING", CPU=0.1), {"is_idle": False}),
        (info("RUNNING", **{"memory": 1.0, "object_store_memory": 1.0, "node:127.0.0.1": 0.001}), {"is_idle": True}),
        (info("DRAINING", GPU=1.0), {"is_idle": False, "draining": True, "gpus_used": 1.0}),
        (info("DEAD"), {"is_idle": True, "is_alive": False, "gpus_total": 0.0}),
    ],
)
def test_a_node_is_read_from_rays_status(ray_info: NodeInfo, expected: dict[str, Any]) -> None:
    state = {"node_id": "ab", "region": "west", "node_type": "gpu-west", "is_alive": True}
    assert node_state(ray_info) == NodeState(**state | {"gpus_total": 4.0, "gpus_used": 0.0, "draining": False} | expected)


def test_what_waits_is_read_from_rays_status() -> None:
    gang = PlacementGroupResourceDemand(
        bundles_by_count=[ResourceRequestByCount({"GPU": 4.0}, 2), ResourceRequestByCount({"CPU": 1.0}, 1)], details="ab:SPREAD|PENDING"
    )
    tasks = RayTaskActorDemand(bundles_by_count=[ResourceRequestByCount({"CPU": 2}, 3)])
    found = pending_requests(ResourceDemandSummary(placement_group_demand=[gang], ray_task_actor_demand=[tasks]))
    assert found == (
        PendingRequest(resources={"GPU": 4.0}, count=2),
        PendingRequest(resources={"CPU": 1.0}, count=1),
        PendingRequest(resources={"CPU": 2.0}, count=3),
    )
    assert pending_requests(ResourceDemandSummary()) == ()
