"""The controller actor: a thread that steps the controller, and a lock between it and the callers."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from pathlib import Path

from carbon_ray.actors.controller import Controller
from carbon_ray.actors.handles import ForecastClient
from carbon_ray.actors.progress import Beat
from carbon_ray.actors.timekeeping import ORIGIN_KEY, cluster_clock
from carbon_ray.actors.views import Books, WorkloadView
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.cluster import kv
from carbon_ray.cluster.live import LiveCluster
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.decision import Directive
from carbon_ray.core.ledger import Segment
from carbon_ray.core.workload import Workload
from carbon_ray.policies.preparation import prepare
from carbon_ray.policies.registry import policy_named

log = logging.getLogger(__name__)

LEDGER_FILE = "ledger.sqlite"


class ControllerActor:
    """Steers one cluster. Started by `carbon_ray.actors.handles`, and by Ray again after a death; the ledger is its memory."""

    def __init__(self, config: ClusterConfig) -> None:
        clock = cluster_clock(config.carbon.clock, lambda: kv.get(ORIGIN_KEY), lambda text: kv.put_if_absent(ORIGIN_KEY, text))
        config.state_dir.mkdir(parents=True, exist_ok=True)
        self._config = config
        self._ledger_path = config.state_dir / LEDGER_FILE
        settings = config.carbon.controller
        policy = policy_named(settings.policy, slot_s=settings.slot_s, hysteresis_fraction=settings.hysteresis_fraction)
        prepare(policy)
        self._controller = Controller(
            config,
            ledger=Ledger(self._ledger_path),
            clock=clock,
            cluster=LiveCluster(),
            forecasts=ForecastClient(check_every_s=0.0),
            policy=policy,
        )
        self._lock = threading.Lock()
        self._rounds = 0
        threading.Thread(target=self._step_forever, name="controller-loop", daemon=True).start()

    def _step_forever(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with self._lock:
                    self._controller.step()
                self._rounds += 1
            except Exception:  # the loop must outlive any surprise; Ray is on its own when the plan lapses
                log.exception("controller round failed")
            pause.wait(self._config.carbon.controller.tick_s)

    def config(self) -> ClusterConfig:
        """The cluster's configuration."""
        return self._config

    def ledger_path(self) -> Path:
        """File of the ledger, on the head."""
        return self._ledger_path

    def rounds(self) -> int:
        """Rounds done since this process started."""
        return self._rounds

    def begin(self) -> datetime:
        """See `Controller.begin`."""
        with self._lock:
            return self._controller.begin()

    def submit(self, workload: Workload) -> Workload:
        """See `Controller.submit`."""
        with self._lock:
            return self._controller.submit(workload)

    def directive(self, workload_id: str) -> Directive:
        """See `Controller.directive`."""
        with self._lock:
            return self._controller.directive(workload_id)

    def has_nodes(self, workload_id: str) -> bool:
        """See `Controller.has_nodes`."""
        with self._lock:
            return self._controller.has_nodes(workload_id)

    def put_segment(self, segment: Segment) -> None:
        """See `Controller.put_segment`."""
        with self._lock:
            self._controller.put_segment(segment)

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        """See `Controller.segments`."""
        with self._lock:
            return self._controller.segments(workload_id)

    def beat(self, beat: Beat) -> Directive:
        """See `Controller.beat`."""
        with self._lock:
            return self._controller.beat(beat)

    def finish(self, workload_id: str, status: WorkloadStatus, detail: str = "") -> None:
        """See `Controller.finish`."""
        with self._lock:
            self._controller.finish(workload_id, status, detail)

    def leave(self, workload_id: str) -> None:
        """See `Controller.leave`."""
        with self._lock:
            self._controller.leave(workload_id)

    def views(self) -> tuple[WorkloadView, ...]:
        """See `Controller.views`."""
        with self._lock:
            return self._controller.views()

    def is_settled(self, workload_id: str) -> bool:
        """See `Controller.is_settled`."""
        with self._lock:
            return self._controller.is_settled(workload_id)

    def books(self, workload_id: str) -> Books:
        """Everything that the ledger holds of one workload, for its report."""
        with self._lock:
            return self._controller.books(workload_id)
