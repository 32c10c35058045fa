import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.autoscaler.v2.instance_manager.common import InstanceUtil
from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
from ray.autoscaler.v2.scheduler import AutoscalerInstance, ResourceDemandScheduler, SchedulingRequest
from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus
from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

from carbon_ray.cluster.scheduler_hook import AUTOSCALER_MODULE, SCHEDULER_NAME, PlanHook, apply_plan, hooked, install
from carbon_ray.cluster.scheduler_log import MAX_ACTIONS, ActionKind, SchedulerLog, parse_log
from carbon_ray.core.capacity import CapacityPlan, TypePlan

NOW = datetime(2022, 5, 2, 12, tzinfo=UTC)


class Store:
    """A key-value store of one key."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text

    def read(self) -> str | None:
        return self.text

    def write(self, text: str) -> None:
        self.text = text

    def log(self) -> SchedulerLog:
        return SchedulerLog(read=self.read, write=self.write)


def plan_of(*, version: int = 7, valid_s: float = 60, **types: TypePlan) -> CapacityPlan:
    return CapacityPlan(version=version, issued_at=NOW, valid_until=NOW + timedelta(seconds=valid_s), types=types)


def configs(**limits: tuple[int, int]) -> dict[str, NodeTypeConfig]:
    return {
        name: NodeTypeConfig(name=name, min_worker_nodes=low, max_worker_nodes=high, resources={"CPU": 2, "GPU": 4})
        for name, (low, high) in limits.items()
    }


def request_of(node_types: dict[str, NodeTypeConfig], *instances: AutoscalerInstance) -> SchedulingRequest:
    return SchedulingRequest(
        disable_launch_config_check=True, node_type_configs=node_types, max_num_nodes=10, current_instances=list(instances)
    )


def running(node_type: str, number: int, kind: int = NodeKind.WORKER) -> AutoscalerInstance:
    instance = InstanceUtil.new_instance(f"{node_type}-{number}", node_type, Instance.RAY_RUNNING)
    instance.node_id, instance.node_kind = f"{number:02x}", kind
    node = NodeState(ray_node_type_name=node_type, status=NodeStatus.RUNNING, total_resources={"GPU": 4}, available_resources={"GPU": 0})
    return AutoscalerInstance(ray_node=node, im_instance=instance, cloud_instance_id=f"{node_type}-{number}")


def limits_of(config: NodeTypeConfig) -> tuple[int, int, int]:
    return config.min_worker_nodes, config.max_worker_nodes, config.priority


def schedule(plan: CapacityPlan | None, request: SchedulingRequest, store: Store | None = None) -> Any:
    hook = PlanHook(read=lambda: plan, log=(store or Store()).log(), now=lambda: NOW)
    return hooked(ResourceDemandScheduler, hook)(None).schedule(request)


@pytest.mark.parametrize(
    ("yaml_limits", "wanted", "expected"),
    [
        ((0, 3), TypePlan(min_nodes=1, max_nodes=2, priority=5), (1, 2, 5)),
        ((0, 3), TypePlan(min_nodes=0, max_nodes=0), (0, 0, 0)),
        ((2, 3), TypePlan(min_nodes=0, max_nodes=1), (0, 1, 0)),
        ((0, 2), TypePlan(min_nodes=5, max_nodes=9, priority=-1), (2, 2, -1)),
    ],
)
def test_plan_is_clamped_to_the_yaml(yaml_limits: tuple[int, int], wanted: TypePlan, expected: tuple[int, int, int]) -> None:
    node_types = configs(gpu=yaml_limits)
    apply_plan(plan_of(gpu=wanted), node_types)
    assert limits_of(node_types["gpu"]) == expected


@given(
    low=st.integers(0, 5),
    more=st.integers(0, 5),
    wanted_low=st.integers(0, 9),
    wanted_more=st.integers(0, 9),
    priority=st.integers(-9, 9),
)
def test_ray_never_gets_limits_that_it_would_refuse(low: int, more: int, wanted_low: int, wanted_more: int, priority: int) -> None:
    node_types = configs(gpu=(low, low + more))
    applied = apply_plan(plan_of(gpu=TypePlan(min_nodes=wanted_low, max_nodes=wanted_low + wanted_more, priority=priority)), node_types)
    config = node_types["gpu"]
    assert 0 <= config.min_worker_nodes <= config.max_worker_nodes <= low + more
    assert (applied["gpu"].min_nodes, applied["gpu"].max_nodes) == (config.min_worker_nodes, config.max_worker_nodes)


def test_types_outside_plan_or_yaml_are_left_alone() -> None:
    node_types = configs(gpu=(0, 3), other=(1, 2), head=(0, 1))
    off = TypePlan(min_nodes=0, max_nodes=0)
    assert set(apply_plan(plan_of(gpu=off, unheard_of=off, head=off), node_types, frozenset({"head"}))) == {"gpu"}
    assert [limits_of(node_types[name]) for name in ("gpu", "other", "head")] == [(0, 0, 0), (1, 2, 0), (0, 1, 0)]


def test_a_minimum_is_launched_by_rays_own_scheduler_and_logged_with_its_reason() -> None:
    store = Store()
    request = request_of(configs(clean=(0, 2), dirty=(0, 2)))
    reply = schedule(
        plan_of(clean=TypePlan(min_nodes=1, max_nodes=2, reason="sun"), dirty=TypePlan(min_nodes=0, max_nodes=0)), request, store
    )
    assert [(launch.instance_type, launch.count) for launch in reply.to_launch] == [("clean", 1)]
    (action,) = parse_log(store.text)
    assert (action.kind, action.node_type, action.count) == (ActionKind.LAUNCH, "clean", 1)
    assert (action.cause, action.reason, action.plan_version, action.at) == ("PLAN_MINIMUM", "sun", 7, NOW)


def test_a_lowered_maximum_terminates_and_names_the_node_but_never_the_head() -> None:
    store = Store()
    request = request_of(configs(gpu=(0, 2), head=(0, 1)), running("gpu", 1), running("head", 2, NodeKind.HEAD))
    off = TypePlan(min_nodes=0, max_nodes=0, reason="coal")
    reply = schedule(plan_of(gpu=off, head=off), request, store)
    assert [(end.instance_type, end.ray_node_id) for end in reply.to_terminate] == [("gpu", "01")]
    (action,) = parse_log(store.text)
    assert (action.kind, action.ray_node_id, action.cause) == (ActionKind.TERMINATE, "01", "MAX_NUM_NODE_PER_TYPE")
    assert (action.reason, action.plan_version) == ("coal", 7)


def broken() -> CapacityPlan:
    raise RuntimeError("store is gone")


@pytest.mark.parametrize(
    "read",
    [
        lambda: None,
        lambda: plan_of(valid_s=0, gpu=TypePlan(min_nodes=0, max_nodes=0)),
        lambda: plan_of(valid_s=-60, gpu=TypePlan(min_nodes=0, max_nodes=0)),
        lambda: "no plan at all",
        broken,
    ],
    ids=["none", "expires now", "expired", "nonsense", "error"],
)
def test_without_a_valid_plan_ray_behaves_as_stock(read: Any) -> None:
    store = Store()
    hook = PlanHook(read=read, log=store.log(), now=lambda: NOW)
    request = request_of(configs(gpu=(1, 2)))
    reply = hooked(ResourceDemandScheduler, hook)(None).schedule(request)
    assert limits_of(request.node_type_configs["gpu"]) == (1, 2, 0)
    assert [(launch.instance_type, launch.count) for launch in reply.to_launch] == [("gpu", 1)]
    (action,) = parse_log(store.text)
    assert (action.cause, action.reason, action.plan_version) == ("DEMAND", "", None)


def test_a_failing_log_does_not_stop_a_launch() -> None:
    def fail(text: str) -> None:
        raise OSError("no")

    hook = PlanHook(read=lambda: None, log=SchedulerLog(read=lambda: None, write=fail), now=lambda: NOW)
    assert len(hooked(ResourceDemandScheduler, hook)(None).schedule(request_of(configs(gpu=(1, 2)))).to_launch) == 1


def test_each_cause_is_logged_once_until_a_plan_was_obeyed(caplog: pytest.LogCaptureFixture) -> None:
    plans = iter([None, None, "nonsense", "nonsense", plan_of(), "nonsense"])
    hook = PlanHook(read=lambda: next(plans), log=Store().log(), now=lambda: NOW)
    for logged in (0, 0, 1, 1, 1, 2):
        hook.before(request_of(configs(gpu=(0, 2))))
        assert len(caplog.records) == logged


def test_the_log_is_bounded_and_survives_the_writer() -> None:
    store = Store()
    hook = PlanHook(read=lambda: None, log=store.log(), now=lambda: NOW)
    one = hooked(ResourceDemandScheduler, hook)(None).schedule(request_of(configs(gpu=(1, 2))))
    actions = hook.actions(one)
    store.log().append(actions * (MAX_ACTIONS + 5))
    assert len(parse_log(store.text)) == MAX_ACTIONS
    log = Store(store.text)
    log.log().append(actions)
    assert len(parse_log(log.text)) == MAX_ACTIONS
    assert parse_log(log.text)[-1] == actions[0]


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[1, {}]", '[{"at": "yesterday"}]'])
def test_an_unreadable_log_is_an_empty_one(text: str | None) -> None:
    assert parse_log(text) == ()


@pytest.fixture
def monitor_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(AUTOSCALER_MODULE)
    setattr(module, SCHEDULER_NAME, ResourceDemandScheduler)
    monkeypatch.setitem(sys.modules, AUTOSCALER_MODULE, module)
    monkeypatch.setattr(sys, "argv", ["ray/autoscaler/v2/monitor.py", "--gcs-address=127.0.0.1:1"])
    return module


def test_install_replaces_the_scheduler_once(monitor_module: ModuleType) -> None:
    assert install()
    scheduler = getattr(monitor_module, SCHEDULER_NAME)
    assert issubclass(scheduler, ResourceDemandScheduler)
    assert scheduler is not ResourceDemandScheduler
    assert not install()
    assert getattr(monitor_module, SCHEDULER_NAME) is scheduler


def test_install_declines_outside_the_monitor(monitor_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ray", "up", "local.yaml"])
    assert not install()
    assert getattr(monitor_module, SCHEDULER_NAME) is ResourceDemandScheduler


def test_install_declines_where_autoscaler_v2_is_not(monitor_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    delattr(monitor_module, SCHEDULER_NAME)
    assert not install()
    monkeypatch.delitem(sys.modules, AUTOSCALER_MODULE)
    assert not install()
