"""What a placement policy is: a frozen value whose fields are its parameters and which is handed the world as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from carbon_ray.core.decision import Decision, Placement
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import Region
from carbon_ray.core.workload import Progress, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world around a workload, as a policy may see it.

    Attributes:
        regions: Every region of the cluster, by name.
        snapshot: Newest forecasts.
        blocked_until: Regions that cannot give nodes before an instant (stock-out, launch failure).
    """

    regions: Mapping[str, Region]
    snapshot: ForecastSnapshot
    blocked_until: Mapping[str, datetime] = field(default_factory=dict)


@runtime_checkable
class PlacementPolicy(Protocol):
    """Decides where one workload runs. Pure: equal arguments give equal answers."""

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """The plan from `now` on, and what it means at once.

        Raises:
            UnknownRegionError: The workload names a region that the cluster lacks.
            NoCapacityError: No allowed region can hold its workers.
            ForecastHorizonError: The forecast does not reach its deadline.
        """
        ...


def placement_of(workload: Workload, progress: Progress) -> Placement | None:
    """Where the workload is running; None while suspended."""
    return Placement(region=progress.region, workers=progress.workers or workload.workers) if progress.is_running else None
