"""The capacity plan on its way from the controller to the autoscaler: one key of the cluster's key-value store."""

from __future__ import annotations

import logging

from carbon_ray.cluster import kv
from carbon_ray.cluster.once import OncePerCause
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.codec import dumps, loads
from carbon_ray.core.errors import ClusterError

PLAN_KEY = "capacity_plan"

_once = OncePerCause(logging.getLogger(__name__))


def publish_plan(plan: CapacityPlan) -> None:
    """Make `plan` the one in force; the autoscaler obeys it from its next round on.

    Raises:
        ClusterError: The process is not connected to a cluster, or the store does not answer.
    """
    kv.put(PLAN_KEY, dumps(plan))


def read_plan() -> CapacityPlan | None:
    """The newest plan, valid or expired; None if there is none or it cannot be read, which is logged once per cause."""
    try:
        text = kv.get(PLAN_KEY)
    except ClusterError as error:
        _once.warn("unreadable", f"the capacity plan cannot be read and is ignored: {error}")
        return None
    _once.clear("unreadable")
    return None if text is None else parse_plan(text)


def parse_plan(text: str) -> CapacityPlan | None:
    """The plan that `text` holds; None if it is malformed, which is logged once per text."""
    try:
        return loads(CapacityPlan, text)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        _once.warn(text, f"the capacity plan is malformed and is ignored; publish it with publish_plan(): {error}")
        return None
