"""Puts the capacity plan into Ray's own autoscaler v2, and writes down what the autoscaler does with it.

Ray has no official hook. Its monitor process builds the node provider before it looks up the module global
`ray.autoscaler.v2.autoscaler.ResourceDemandScheduler`, so a provider of ours can put a subclass in that place. Every private
name that this rests on is pinned by `tests/cluster/test_scheduler_contract.py`.

Fails open: without a plan, with an expired or broken one, and on any error, Ray decides as without carbon_ray.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from carbon_ray.cluster import kv
from carbon_ray.cluster.once import OncePerCause
from carbon_ray.cluster.plan_store import read_plan
from carbon_ray.cluster.scheduler_log import ActionKind, SchedulerAction, SchedulerLog, read_scheduler_log
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.clock import wall_now

__all__ = ["PlanHook", "SchedulerAction", "apply_plan", "hooked", "install", "read_scheduler_log"]

AUTOSCALER_MODULE = "ray.autoscaler.v2.autoscaler"
SCHEDULER_NAME = "ResourceDemandScheduler"

logger = logging.getLogger(__name__)


def apply_plan(plan: CapacityPlan, node_type_configs: Mapping[str, Any], head_types: frozenset[str] = frozenset()) -> dict[str, TypePlan]:
    """Write the plan's limits and priorities into Ray's node type configurations.

    Args:
        plan: A valid plan.
        node_type_configs: Ray's `NodeTypeConfig` by node type name, fresh from the cluster YAML; changed in place.
        head_types: Types that are never changed: a plan must not end the head.

    Returns:
        The limits as applied, by node type: 0 <= min <= max <= the YAML's max. Types that the plan does not name are untouched.
    """
    applied = {}
    for name, wanted in plan.types.items():
        config = node_type_configs.get(name)
        if config is None or name in head_types:
            continue
        max_nodes = min(wanted.max_nodes, config.max_worker_nodes)
        applied[name] = TypePlan(
            min_nodes=min(wanted.min_nodes, max_nodes), max_nodes=max_nodes, priority=wanted.priority, reason=wanted.reason
        )
    for name, limits in applied.items():  # only now, so that an error above leaves Ray's own numbers whole
        config = node_type_configs[name]
        config.min_worker_nodes, config.max_worker_nodes, config.priority = limits.min_nodes, limits.max_nodes, limits.priority
    return applied


class PlanHook:
    """What happens around each round of Ray's scheduler.

    Attributes:
        read: Gives the newest plan, or None.
        log: Takes the actions.
        now: Gives the wall instant, aware UTC.
    """

    def __init__(
        self,
        read: Callable[[], CapacityPlan | None] = read_plan,
        log: SchedulerLog | None = None,
        now: Callable[[], datetime] = wall_now,
    ) -> None:
        self.read, self.now = read, now
        self.log = log or SchedulerLog()
        self._plan_trouble, self._log_trouble = OncePerCause(logger), OncePerCause(logger)
        self._version: int | None = None
        self._applied: dict[str, TypePlan] = {}
        self._existing: Counter[str] = Counter()

    def before(self, request: Any) -> None:
        """Apply the plan to a scheduling request; leaves it as it is on any trouble."""
        self._version, self._applied = None, {}
        try:
            plan = self.read()
            if plan is None:
                return
            if not plan.is_valid(self.now()):
                self._plan_trouble.warn(
                    f"expired {plan.version}", f"capacity plan {plan.version} expired at {plan.valid_until:%H:%M:%SZ}; Ray decides"
                )
                return
            self._existing, heads = _count(request)
            self._applied, self._version = apply_plan(plan, request.node_type_configs, heads), plan.version
            self._plan_trouble.clear()
        except Exception as error:  # whatever it is, the cluster must go on scaling
            self._plan_trouble.warn(f"before {type(error).__name__}", f"the capacity plan could not be applied; Ray decides: {error!r}")

    def after(self, reply: Any) -> None:
        """Record what the scheduler decided."""
        try:
            if actions := self.actions(reply):
                self.log.append(actions)
                self._log_trouble.clear()
        except Exception as error:  # a lost log entry must not stop a launch
            self._log_trouble.warn(f"after {type(error).__name__}", f"the scheduler's actions could not be recorded: {error!r}")

    def actions(self, reply: Any) -> list[SchedulerAction]:
        """The reply's launches and terminations, each with its cause and the reason of the plan in force."""
        at = self.now()
        found = []
        for launch in reply.to_launch:
            limits = self._applied.get(launch.instance_type)
            below = limits is not None and self._existing[launch.instance_type] < limits.min_nodes
            cause, reason = ("PLAN_MINIMUM" if below else "DEMAND"), (limits.reason if limits else "")
            found.append(self._action(at, ActionKind.LAUNCH, launch.instance_type, launch.count, "", cause, reason))
        for end in reply.to_terminate:
            limits = self._applied.get(end.instance_type)
            cause, reason = type(end).Cause.Name(end.cause), (limits.reason if limits else end.details)
            found.append(self._action(at, ActionKind.TERMINATE, end.instance_type, 1, end.ray_node_id, cause, reason))
        return found

    def _action(
        self, at: datetime, kind: ActionKind, node_type: str, count: int, ray_node_id: str, cause: str, reason: str
    ) -> SchedulerAction:
        version = self._version if node_type in self._applied else None
        return SchedulerAction(
            at=at, kind=kind, node_type=node_type, count=count, ray_node_id=ray_node_id, cause=cause, reason=reason, plan_version=version
        )


def _count(request: Any) -> tuple[Counter[str], frozenset[str]]:
    """Nodes that run or are on their way, by type; and the types of head nodes."""
    from ray.autoscaler.v2.instance_manager.common import InstanceUtil
    from ray.core.generated.instance_manager_pb2 import NodeKind

    existing: Counter[str] = Counter()
    heads = set()
    for instance in request.current_instances:
        known = instance.im_instance
        if known is None:
            continue
        if known.node_kind == NodeKind.HEAD:
            heads.add(known.instance_type)
        if InstanceUtil.is_ray_running_reachable(known.status):
            existing[known.instance_type] += 1
    return existing, frozenset(heads)


def hooked(base: type, hook: PlanHook) -> type:
    """A subclass of Ray's scheduler class with `hook` around each round."""

    class CarbonResourceScheduler(base):  # type: ignore[misc]  # the base is known at run time only
        _carbon_ray_hook = hook

        def schedule(self, request: Any) -> Any:
            hook.before(request)
            reply = super().schedule(request)
            hook.after(reply)
            return reply

    return CarbonResourceScheduler


def install(hook: PlanHook | None = None) -> bool:
    """Put the hook into Ray's autoscaler, if this is the monitor process of autoscaler v2.

    Returns:
        True if it was installed; False in any other process, such as that of `ray up`, under autoscaler v1, in a Ray without the
        known names, or when it has been installed before.
    """
    if kv.monitor_gcs_address(sys.argv) is None:
        return False
    module = sys.modules.get(AUTOSCALER_MODULE)
    base = getattr(module, SCHEDULER_NAME, None)
    if module is None or not isinstance(base, type) or hasattr(base, "_carbon_ray_hook"):
        return False
    setattr(module, SCHEDULER_NAME, hooked(base, hook or PlanHook()))
    logger.info("carbon_ray steers this autoscaler by its capacity plan")
    return True
