"""How everything else reaches the actors: find or start them, call them through a death, cache what does not change.

Actor classes are not public; these clients are. Every call is safe to repeat, so a client repeats it while the actor is
being restarted, and gives up with an error that says what to do.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from carbon_ray.actors.progress import Beat
from carbon_ray.actors.timekeeping import ORIGIN_KEY, cluster_clock
from carbon_ray.actors.views import Books, WorkloadView
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.cluster import kv
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock, wall_now
from carbon_ray.core.decision import Directive
from carbon_ray.core.errors import CarbonRayError, ControllerUnavailable
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.ledger import Segment
from carbon_ray.core.workload import Workload

NAMESPACE = "carbon_ray"
FORECASTS, CONTROLLER = "forecasts", "controller"
RETRY_FOR_S = 90.0
"""How long a call is repeated while its actor is being restarted; a restart takes seconds."""
_RETRY_EVERY_S = 0.5


def start_actors(config: ClusterConfig) -> None:
    """Start the forecast actor and the controller on this node, unless the cluster has them already."""
    from carbon_ray.actors.controller_actor import ControllerActor
    from carbon_ray.actors.forecast import ForecastActor

    # Pinned, also after a restart: the ledger and the forecasts' state are files of this node.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    config = replace(config, carbon=config.carbon.model_copy(update={"state_dir": config.state_dir.absolute()}))
    for name, actor_class in ((FORECASTS, ForecastActor), (CONTROLLER, ControllerActor)):
        remote = ray.remote(actor_class).options(
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


class ActorClient:
    """Calls a named actor; repeats the call while the actor is away.

    Args:
        name: Name of the actor in the namespace `carbon_ray`.
        retry_for_s: Wall seconds to repeat a call for.
    """

    def __init__(self, name: str, retry_for_s: float = RETRY_FOR_S) -> None:
        self._name, self._retry_for_s = name, retry_for_s
        self._handle: Any = None

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method and wait for its answer.

        Raises:
            ControllerUnavailable: The actor is not there, or did not come back in time.
            CarbonRayError: What the method itself raised.
        """
        pause, begun_at = threading.Event(), wall_now()
        while True:
            try:
                handle = self._handle or ray.get_actor(self._name, namespace=NAMESPACE)
                self._handle = handle  # another thread's failed call may forget it meanwhile
                return ray.get(getattr(handle, method).remote(*arguments))
            except RayTaskError as error:
                if isinstance(error.cause, CarbonRayError):
                    raise error.cause from None
                raise
            except (RayActorError, ActorUnavailableError, ValueError) as error:
                self._handle = None
                if (wall_now() - begun_at).total_seconds() > self._retry_for_s:
                    raise ControllerUnavailable(
                        f"the actor {self._name!r} does not answer on this cluster; is it a carbon_ray cluster? `carbon-ray doctor` "
                        f"tells what is missing ({type(error).__name__})"
                    ) from None
            pause.wait(_RETRY_EVERY_S)


class ForecastClient:
    """Reads the forecast actor. A snapshot is fetched once per version; while the actor is away the last one is served.

    Args:
        retry_for_s: Wall seconds to wait for an actor that is away, where there is nothing to serve.
    """

    def __init__(self, retry_for_s: float = RETRY_FOR_S) -> None:
        self._actor = ActorClient(FORECASTS, retry_for_s)
        self._impatient = ActorClient(FORECASTS, 0.0)
        self._snapshot: ForecastSnapshot | None = None

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot.

        Raises:
            ForecastError: There is none yet.
            ControllerUnavailable: There is no forecast actor, and nothing was read from it before.
        """
        if self._snapshot is None:
            self._snapshot = self._actor.call("newer_than", 0)
        else:
            try:
                newer = self._impatient.call("newer_than", self._snapshot.version)
            except ControllerUnavailable:
                newer = None
            self._snapshot = newer or self._snapshot
        assert self._snapshot is not None  # the actor answers None only to a reader that has one
        return self._snapshot

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """A snapshot that reaches `until_at`.

        Raises:
            ForecastError: There is none that reaches so far.
        """
        self._snapshot = self._actor.call("reach", until_at)
        assert self._snapshot is not None  # `reach` raises instead
        return self._snapshot

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
        """
        series: IntensitySeries = self._actor.call("actual", zone, start_at, end_at)
        return series


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
