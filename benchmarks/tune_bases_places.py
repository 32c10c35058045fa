"""Two regions on this machine for the sweep whose trials move, and the policy that moves them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import ray
from ray.cluster_utils import Cluster

from benchmarks.sweep_trials import forget_other_rays
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import REGION_LABEL, Region
from carbon_ray.policies.sweeps.state import SweepDecision, SweepView

CPUS_EACH = 2


@dataclass(slots=True)
class MoveOnce:
    """Lets everything run in the first region until a trial has come so far, then in the second.

    Attributes:
        move_at_iteration: When to move.
        has_moved: Whether it has.
    """

    move_at_iteration: int = 3
    has_moved: bool = False

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """All places in one region."""
        self.has_moved = self.has_moved or any(one.iterations >= self.move_at_iteration for one in sweep.trials)
        here, there = (regions[1], regions[0]) if self.has_moved else (regions[0], regions[1])
        return SweepDecision(
            slots={here.name: CPUS_EACH, there.name: 0},
            region_of={one.trial_id: here.name for one in sweep.trials} if self.has_moved else {},
            check_at=now + timedelta(seconds=1.0),
            reason=f"all in {here.name}",
        )


@contextlib.contextmanager
def two_regions(*names: str) -> Iterator[None]:
    """A Ray with a head that runs nothing and a node in each region."""
    forget_other_rays()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for name in names:
            cluster.add_node(num_cpus=CPUS_EACH, labels={REGION_LABEL: name})
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
