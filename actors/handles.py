"""How everything else reaches the actors: find or start them, call them through a death, cache what does not change.

Actor classes are not public; these clients are. Every call is safe to repeat, so a client repeats it while the actor is
being restarted, and gives up with an error that says what to do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from carbon_ray.actors.calling import CONTROLLER, FORECASTS, NAMESPACE, RETRY_FOR_S, ActorClient
from carbon_ray.actors.forecast_client import ForecastClient
from carbon_ray.actors.progress import Beat
from carbon_ray.actors.timekeeping import ORIGIN_KEY, cluster_clock
from carbon_ray.actors.views import Books, WorkloadView
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.cluster import kv
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock
from carbon_ray.core.decision import Directive
from carbon_ray.core.ledger import Segment
from carbon_ray.core.workload import Workload

__all__ = ["CONTROLLER", "FORECASTS", "NAMESPACE", "ActorClient", "ControllerClient", "ForecastClient", "start_actors", "start_forecasts"]


def start_actors(config: ClusterConfig) -> None:
    """Start the forecast actor and the controller on this node, unless the cluster has them already."""
    from carbon_ray.actors.controller_actor import ControllerActor

    start_forecasts(config)
    _start(CONTROLLER, ControllerActor, config)


def start_forecasts(config: ClusterConfig) -> None:
    """Start the forecast actor on this node, unless the cluster has it already."""
    from carbon_ray.actors.forecast import READS, ForecastActor

    _start(FORECASTS, ForecastActor, config, concurrency_groups=READS)


def _start(name: str, actor_class: type, config: ClusterConfig, **made_with: Any) -> None:
    # Pinned, also after a restart: the ledger and the forecasts' state are files of this node.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    config = replace(config, carbon=config.carbon.model_copy(update={"state_dir": config.state_dir.absolute()}))
    remote = (ray.remote(**made_with)(actor_class) if made_with else ray.remote(actor_class)).options(
        num_cpus=0,
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=32,
        scheduling_strategy=here,
    )
    remote.remote(config)


class ControllerClient:
    """Calls the controller actor.

    Args:
        retry_for_s: Wall seconds to repeat a call while the controller is away.
    """

    def __init__(self, retry_for_s: float = RETRY_FOR_S) -> None:
        self._actor = ActorClient(CONTROLLER, retry_for_s)
        self._clock: Clock | None = None
        self._config: ClusterConfig | None = None

    def config(self) -> ClusterConfig:
        """The cluster's configuration."""
        if self._config is None:
            self._config = self._actor.call("config")
        assert self._config is not None  # the actor always has one
        return self._config

    def clock(self) -> Clock:
        """The cluster's clock, read in this process."""
        if self._clock is None:
            self._clock = cluster_clock(
                self.config().carbon.clock, lambda: kv.get(ORIGIN_KEY), lambda text: kv.put_if_absent(ORIGIN_KEY, text)
            )
        return self._clock

    def begin(self) -> datetime:
        """Start a waiting replay; the cluster's present instant."""
        instant: datetime = self._actor.call("begin")
        return instant

    def submit(self, workload: Workload) -> Workload:
        """Submit a workload, or learn why not. See `Controller.submit`."""
        accepted: Workload = self._actor.call("submit", workload)
        return accepted

    def directive(self, workload_id: str) -> Directive:
        """What the workload shall do."""
        directive: Directive = self._actor.call("directive", workload_id)
        return directive

    def has_nodes(self, workload_id: str) -> bool:
        """True if the nodes that the workload was told to run on are there."""
        return bool(self._actor.call("has_nodes", workload_id))

    def put_segment(self, segment: Segment) -> None:
        """Record what is known of a segment."""
        self._actor.call("put_segment", segment)

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        """A workload's segments in order."""
        segments: tuple[Segment, ...] = self._actor.call("segments", workload_id)
        return segments

    def beat(self, beat: Beat) -> Directive:
        """Report progress, and learn what to do."""
        directive: Directive = self._actor.call("beat", beat)
        return directive

    def finish(self, workload_id: str, status: WorkloadStatus, detail: str = "") -> None:
        """Record that a workload has ended."""
        self._actor.call("finish", workload_id, status, detail)

    def leave(self, workload_id: str) -> None:
        """Say that the workload's driver goes before the work is done."""
        self._actor.call("leave", workload_id)

    def views(self) -> tuple[WorkloadView, ...]:
        """All workloads."""
        views: tuple[WorkloadView, ...] = self._actor.call("views")
        return views

    def is_settled(self, workload_id: str) -> bool:
        """True once a workload has ended and is priced to its end."""
        return bool(self._actor.call("is_settled", workload_id))

    def books(self, workload_id: str) -> Books:
        """Everything that the ledger holds of one workload."""
        books: Books = self._actor.call("books", workload_id)
        return books

    def ledger_path(self) -> Path:
        """File of the ledger, on the head."""
        path: Path = self._actor.call("ledger_path")
        return path

    def rounds(self) -> int:
        """Rounds that the controller has done since its process started."""
        return int(self._actor.call("rounds"))
