"""What the controller needs of the world: the cluster that it steers and the forecasts that it decides by.

The real ones are `carbon_ray.cluster.live` and `carbon_ray.actors.handles`; fakes are in `carbon_ray.testing`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from carbon_ray.cluster.nodes import NodeState
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.policies.capacity import PendingRequest


class ClusterPort(Protocol):
    """Observe and act on the nodes."""

    def nodes(self) -> tuple[NodeState, ...]:
        """All nodes, the head and those that died lately among them."""
        ...

    def pending(self) -> tuple[PendingRequest, ...]:
        """What Ray waits to place and has no room for."""
        ...

    def publish(self, plan: CapacityPlan) -> None:
        """Hand a capacity plan to the autoscaler."""
        ...

    def drain_idle(self, node_id: str, reason: str) -> bool:
        """Ask an idle node to leave; False if it is busy again."""
        ...

    def why_added(self, node_type: str) -> str:
        """The autoscaler's own reason for its newest launch of a node type; empty where it has none."""
        ...

    def why_removed(self, node_id: str) -> str:
        """Why a node is gone, by the autoscaler or by Ray; empty where neither knows."""
        ...


class ForecastPort(Protocol):
    """Forecasts, and what came true."""

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot.

        Raises:
            ForecastError: There is none yet.
        """
        ...

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """A snapshot that reaches `until_at`.

        Raises:
            ForecastError: There is none that reaches so far.
        """
        ...

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
        """
        ...
