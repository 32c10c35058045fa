"""A small cluster of three regions with a controller, a manual clock and fakes, and a driver that runs workloads on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carbon_ray.actors.controller import Controller
from carbon_ray.actors.progress import Beat
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig, parse_cluster_config
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.decision import Directive
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.objective import Objective
from carbon_ray.core.workload import Overheads, Workload
from carbon_ray.policies.base import PlacementPolicy
from carbon_ray.testing import FakeCluster, FakeForecasts

T0 = datetime(2022, 5, 2, tzinfo=UTC)
ROUND = timedelta(minutes=15)
WALL_ROUND = timedelta(seconds=5)
REGIONS = ("west", "east", "south")
STEPS_PER_ROUND = 25


def hourly(zone: str, values: Sequence[float], *, before: float = 450.0) -> IntensitySeries:
    """A day of `before`, the values from T0 on, and three days of 600."""
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0 - timedelta(days=1),
        step_s=3600.0,
        values_gco2_per_kwh=np.concatenate([np.full(24, before), values, np.full(72, 600.0)]),
        provenance=Provenance(provider="test"),
    )


def config_of(*, max_nodes: int = 2, **controller: object) -> ClusterConfig:
    settings = {"slot_s": 900.0, "min_stay_s": 1800.0, "launch_timeout_s": 30.0, "block_s": 7200.0, "plan_valid_s": 60.0, **controller}
    node_types = {
        f"gpu-{name}": {
            "labels": {"ray.io/availability-region": name},
            "resources": {"CPU": 4, "GPU": 2},
            "max_workers": max_nodes,
        }
        for name in REGIONS
    }
    return parse_cluster_config(
        {
            "cluster_name": "test",
            "provider": {
                "carbon": {
                    "regions": {name: {"zone": name.upper(), "pue": 1.25} for name in REGIONS},
                    "node_types": {f"gpu-{name}": {"usd_per_h": 2.0, "tdp_w": 1000.0, "idle_fraction": 0.2} for name in REGIONS},
                    "controller": settings,
                }
            },
            "available_node_types": node_types,
        }
    )


def workload_of(workload_id: str = "run", **changes: Any) -> Workload:
    given: dict[str, Any] = {
        "workload_id": workload_id,
        "work_h": 7.0,
        "workers": 2,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": "west",
        "regions": REGIONS,
        "submitted_at": T0,
        "deadline_at": T0 + timedelta(hours=20),
        "objective": Objective(usd_per_kgco2=1.0, usd_weight=0.0),
        "overheads": Overheads(checkpoint_h=0.02, restore_h=0.02, migrate_h=0.02, startup_s=300.0),
        "total_steps": 700,
    }
    return Workload(**{**given, **changes})


@dataclass(slots=True)
class Driver:
    """What a segment loop and rank 0 of its workers do to the controller, one call of `tick` a round."""

    world: World
    workload_id: str
    segment: Segment | None = None
    epoch: int = 0
    held: set[str] = field(default_factory=set)
    first_at: datetime | None = None
    first_step: int = 0
    step: int = 0
    is_done: bool = False

    @property
    def controller(self) -> Controller:
        return self.world.controller

    def tick(self) -> None:
        if self.is_done:
            return
        directive = self.controller.directive(self.workload_id)
        if self.segment is None:
            if directive.target is not None:
                self._open(directive)
        elif not self.held:
            if directive.epoch != self.epoch:
                self._close(Outcome.SUSPENDED)
            elif self.controller.has_nodes(self.workload_id):
                self.held = set(self.world.cluster.alive(self.segment.node_type)[: self.segment.nodes])
                self.world.cluster.busy |= self.held
                self.first_at, self.first_step = None, self.step
        else:
            self._run()

    def _open(self, directive: Directive) -> None:
        assert directive.target is not None
        workload = workload_of()
        region = self.world.config.regions[directive.target.region]
        node_type, nodes = region.node_type_for(directive.target.workers, workload.resources_per_worker) or (None, 0)
        assert node_type is not None
        self.segment = Segment(
            workload_id=self.workload_id,
            index=len(self.controller.segments(self.workload_id)),
            region=region.name,
            workers=directive.target.workers,
            node_type=node_type.name,
            nodes=nodes,
            start_at=self.world.clock.now(),
            reason=directive.reason,
        )
        self.epoch = directive.epoch
        self.controller.put_segment(self.segment)
        self.segment = self.controller.segments(self.workload_id)[-1]  # as booked

    def _run(self) -> None:
        assert self.segment is not None
        now = self.world.clock.now()
        self.first_at = self.first_at or now - ROUND + ROUND / STEPS_PER_ROUND
        self.step = min(self.step + STEPS_PER_ROUND, self.world.total_steps)
        directive = self.controller.beat(self._beat())
        if self.step == self.world.total_steps:
            self._close(Outcome.COMPLETED)
            self.controller.finish(self.workload_id, WorkloadStatus.COMPLETED)
            self.is_done = True
        elif directive.epoch > self.epoch and (directive.target is None or directive.target.region != self.segment.region):
            self._close(Outcome.SUSPENDED)

    def _beat(self) -> Beat:
        assert self.segment is not None
        return Beat(
            workload_id=self.workload_id,
            segment_index=self.segment.index,
            epoch=self.epoch,
            first_step=self.first_step,
            step=self.step,
            checkpoint_step=self.step,
            first_at=self.first_at,
            step_at=self.world.clock.now(),
        )

    def _close(self, outcome: Outcome) -> None:
        assert self.segment is not None
        now = self.world.clock.now()
        known = self.controller.segments(self.workload_id)[self.segment.index]
        ended = self._beat().onto(known) if self.held else known
        self.controller.put_segment(replace(ended, stopped_at=now if self.held else None, end_at=now, outcome=outcome))
        self.world.cluster.busy -= self.held
        self.segment, self.held = None, set()

    def die(self) -> None:
        """The process ends without a word, and its workers with it."""
        self.is_done = True
        self.world.cluster.busy -= self.held


class World:
    """The controller and everything around it.

    Args:
        folder: Where the ledger is.
        truth: Intensity from T0 on, by region.
        config: The cluster.
        total_steps: Steps of every workload.
        policy: Placement policy; the controller's own by default.
    """

    def __init__(
        self,
        folder: Path,
        truth: dict[str, Sequence[float]],
        config: ClusterConfig | None = None,
        total_steps: int = 700,
        policy: PlacementPolicy | None = None,
    ) -> None:
        self.folder, self.total_steps, self.policy = folder, total_steps, policy
        self.config = config or config_of()
        self.clock, self.wall = ManualClock(T0), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.truth = {name.upper(): hourly(name.upper(), values) for name, values in truth.items()}
        self.forecasts = FakeForecasts(self.truth, self.clock)
        self.cluster = FakeCluster(self.config.regions)
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.drivers: list[Driver] = []
        self.rounds = 0
        self.restart()

    def restart(self) -> None:
        """A new controller process on the same ledger."""
        self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.sqlite")
        self.controller = Controller(
            self.config,
            ledger=self.ledger,
            clock=self.clock,
            cluster=self.cluster,
            forecasts=self.forecasts,
            policy=self.policy,
            wall=self.wall,
        )

    def submit(self, workload: Workload) -> Driver:
        self.controller.submit(workload)
        driver = Driver(self, workload.workload_id)
        driver.step = max((segment.end_step for segment in self.ledger.segments(workload.workload_id)), default=0)
        self.drivers.append(driver)
        return driver

    def round(self) -> None:
        """A quarter of an hour: time, autoscaler, controller, drivers."""
        self.clock.advance(ROUND)
        self.wall.advance(WALL_ROUND)
        self.cluster.advance()
        self.controller.step()
        for driver in self.drivers:
            driver.tick()
        self.rounds += 1

    def run_until(self, is_over: Callable[[], bool], *, at_most: int = 200) -> None:
        for _ in range(at_most):
            if is_over():
                return
            self.round()
        raise AssertionError(f"not over after {at_most} rounds")

    def target(self, workload_id: str = "run") -> str | None:
        """Region that a workload was told to run in."""
        (view,) = [one for one in self.controller.views() if one.workload.workload_id == workload_id]
        return view.directive.target.region if view.directive.target else None

    def status(self, workload_id: str = "run") -> WorkloadStatus:
        record = self.ledger.workload(workload_id)
        assert record is not None
        return record.status


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes worlds, and closes their ledgers."""
    made: list[World] = []

    def make(truth: dict[str, Sequence[float]], **options: Any) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, truth, **options))
        return made[-1]

    yield make
    for world in made:
        world.ledger.close()


@pytest.fixture
def make_workload() -> Callable[..., Workload]:
    return workload_of


@pytest.fixture
def make_config() -> Callable[..., ClusterConfig]:
    return config_of
