"""Rays on this machine for the sweeps that need more than one node: two regions, and the policy that moves trials; or a dashboard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

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
    with _cluster(num_cpus=0, include_dashboard=False) as cluster:
        for name in names:
            cluster.add_node(num_cpus=CPUS_EACH, labels={REGION_LABEL: name})
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield


@contextlib.contextmanager
def with_dashboard(num_cpus: int) -> Iterator[None]:
    """A Ray with a dashboard, which Ray Train needs to clean up after a run that was ended.

    Its actors are told which Ray they belong to: Ray Train asks the dashboard of the one that it finds on the machine, and finds none
    where there are several.
    """
    with _cluster(num_cpus=num_cpus, include_dashboard=True) as cluster:
        told = {"env_vars": {"RAY_ADDRESS": cluster.address}}
        ray.init(address=cluster.address, runtime_env=told, log_to_driver=False, logging_level="ERROR")
        yield


@contextlib.contextmanager
def _cluster(**head: Any) -> Iterator[Cluster]:
    forget_other_rays()
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
