"""What a placement policy is: a frozen value whose fields are its parameters and which is handed the world as arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One workload of many.

    Attributes:
        workload: What is to be run.
        progress: Where it stands.
        priority: Above 0. Whoever is of higher priority is planned first where not all deadlines can be met; and a dollar of its
            objective counts so many times in the fleet's sum, so that of equal savings the higher priority gets the scarce node.
        team: Whose; teams may have shares.
    """

    workload: Workload
    progress: Progress
    priority: float = 1.0
    team: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.priority < math.inf:
            raise ValueError(f"priority must be above 0 and finite, got {self.priority}")


@runtime_checkable
class EachPolicy(PlacementPolicy, Protocol):
    """A policy that decides on many workloads, each by itself, faster than one after the other."""

    def decide_each(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> tuple[tuple[Plan, Decision], ...]:
        """What `decide` says of each, in order; all of them see the same surroundings.

        Raises:
            As `decide`.
        """
        ...


def placement_of(workload: Workload, progress: Progress) -> Placement | None:
    """Where the workload is running; None while suspended."""
    return Placement(region=progress.region, workers=progress.workers or workload.workers) if progress.is_running else None
