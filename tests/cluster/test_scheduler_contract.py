"""The private names of Ray that the scheduler hook, the drain and the status rest on. A failure here means: look at them again."""

import dataclasses
import inspect

from ray._raylet import GcsClient, InnerGcsClient
from ray.autoscaler.v2 import autoscaler, monitor, scheduler
from ray.autoscaler.v2.instance_manager import config as instance_config
from ray.autoscaler.v2.instance_manager import reconciler
from ray.autoscaler.v2.instance_manager.common import InstanceUtil
from ray.autoscaler.v2.schema import ClusterStatus, NodeInfo
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.core.generated.instance_manager_pb2 import Instance, LaunchRequest, NodeKind, TerminationRequest

from carbon_ray.cluster.scheduler_hook import AUTOSCALER_MODULE, SCHEDULER_NAME


def field_names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_the_scheduler_is_a_global_of_the_autoscaler_module() -> None:
    assert autoscaler.__name__ == AUTOSCALER_MODULE
    assert getattr(autoscaler, SCHEDULER_NAME) is scheduler.ResourceDemandScheduler


def test_the_scheduler_is_looked_up_by_that_global_when_an_autoscaler_is_made() -> None:
    assert SCHEDULER_NAME in autoscaler.Autoscaler.__init__.__code__.co_names
    assert list(inspect.signature(scheduler.ResourceDemandScheduler.schedule).parameters) == ["self", "request"]


def test_the_provider_is_built_before_the_scheduler() -> None:
    source = inspect.getsource(autoscaler.Autoscaler.__init__)
    assert source.index("_init_cloud_instance_provider(") < source.index(f"{SCHEDULER_NAME}(")
    assert "_get_node_provider(" in inspect.getsource(autoscaler.Autoscaler._init_cloud_instance_provider)


def test_node_type_config_has_what_a_plan_sets() -> None:
    assert {"name", "min_worker_nodes", "max_worker_nodes", "priority"} <= field_names(instance_config.NodeTypeConfig)
    assert not instance_config.NodeTypeConfig.__dataclass_params__.frozen


def test_node_type_configs_are_made_afresh_in_every_round() -> None:
    assert "node_type_configs=autoscaling_config.get_node_type_configs()" in inspect.getsource(reconciler)


def test_request_and_reply_have_what_the_hook_reads() -> None:
    assert {"node_type_configs", "current_instances"} <= field_names(scheduler.SchedulingRequest)
    assert {"to_launch", "to_terminate"} <= field_names(scheduler.SchedulingReply)
    assert {"instance_type", "count"} <= set(LaunchRequest.DESCRIPTOR.fields_by_name)
    assert {"instance_type", "ray_node_id", "cause", "details"} <= set(TerminationRequest.DESCRIPTOR.fields_by_name)
    assert {"IDLE", "MAX_NUM_NODE_PER_TYPE"} <= set(TerminationRequest.Cause.keys())
    assert {"instance_type", "status", "node_kind"} <= set(Instance.DESCRIPTOR.fields_by_name)
    assert NodeKind.HEAD != NodeKind.WORKER
    assert InstanceUtil.is_ray_running_reachable(Instance.RAY_RUNNING)
    assert not InstanceUtil.is_ray_running_reachable(Instance.TERMINATED)


def test_the_monitor_has_the_address_of_the_gcs_on_its_command_line() -> None:
    assert monitor.__file__.endswith("monitor.py")
    assert '"--gcs-address"' in inspect.getsource(monitor)


def test_nodes_can_be_drained_and_seen() -> None:
    assert "DRAIN_NODE_REASON_IDLE_TERMINATION" in DrainNodeReason.keys()  # noqa: SIM118  # a protobuf enum is no mapping
    assert callable(InnerGcsClient.drain_node)
    assert callable(GcsClient.__getattr__)  # passes everything on to the inner one
    assert {"active_nodes", "idle_nodes", "failed_nodes"} <= field_names(ClusterStatus)
    assert {"node_id", "node_status", "ray_node_type_name", "labels", "resource_usage"} <= field_names(NodeInfo)
