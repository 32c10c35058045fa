"""Following the demonstration from outside the job: frames for the view, the nodes as Ray reports them, and the report."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Protocol

import ray
from rich.console import Console
from rich.live import Live

from carbon_ray.actors.handles import ControllerClient, ForecastClient
from carbon_ray.actors.views import WorkloadView
from carbon_ray.books.records import NodeEvent, NodeEventKind
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import ClusterError, ForecastError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.demo.scenario import Scenario
from carbon_ray.demo.view import Frame, RegionLine, line_of, render
from carbon_ray.reports.from_books import report_from_books
from carbon_ray.reports.run_report import RunReport

_LOOK_S = 0.5


class FollowedJob(Protocol):
    """The job that is watched."""

    def is_done(self) -> bool:
        """True once it has ended."""
        ...


class Watch:
    """A connection to the cluster that only reads. Use it as a context manager.

    Args:
        address: GCS address of the cluster.
        scenario: What runs there.
        console: Where the view goes; redrawn on a terminal, a line for each change elsewhere.
    """

    def __init__(self, address: str, scenario: Scenario, console: Console) -> None:
        self._address, self._scenario, self._console = address, scenario, console
        self._controller, self._forecasts = ControllerClient(), ForecastClient()

    def __enter__(self) -> Watch:
        ray.init(address=self._address, log_to_driver=False, logging_level="ERROR", namespace="carbon_ray_demo")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ray.shutdown()

    def follow(self, job: FollowedJob) -> None:
        """Show the job until it ends."""
        pause, shown = threading.Event(), ""
        live = Live(console=self._console, auto_refresh=False, transient=False) if self._console.is_terminal else None
        with live or contextlib.nullcontext():
            while not job.is_done():
                frame = self._frame()
                if live is not None:
                    live.update(render(frame), refresh=True)
                elif (line := line_of(frame)) != shown:
                    self._console.print(f"{frame.now:%m-%d %H:%MZ}  {frame.step:>4}/{frame.total_steps}  {line}", soft_wrap=True)
                    shown = line
                pause.wait(_LOOK_S)

    def _nodes(self) -> dict[str, int]:
        """Living worker nodes by region, as Ray itself reports them."""
        counts: dict[str, int] = {}
        for node in ray.nodes():
            if node["Alive"]:
                region = node["Labels"].get(REGION_LABEL, "")
                counts[region] = counts.get(region, 0) + 1
        return counts

    def _frame(self) -> Frame:
        clock, views = self._controller.clock(), self._controller.views()
        view, now, nodes = (views[-1] if views else None), clock.now(), self._nodes()
        try:
            snapshot: ForecastSnapshot | None = self._forecasts.snapshot()
        except ForecastError:
            snapshot = None
        lines = []
        for region in self._scenario.regions():
            line = RegionLine(
                name=region.name,
                zone=region.zone,
                gco2_per_kwh=None,
                lowest_gco2_per_kwh=None,
                lowest_at=None,
                nodes=nodes.get(region.name, 0),
                job=_job_in(region.name, view),
            )
            lines.append(line if snapshot is None else self._with_forecast(line, snapshot[region.zone].median, view))
        is_live = view is not None and not view.status.is_terminal
        return Frame(
            now=now,
            speedup=clock.speedup,
            regions=tuple(lines),
            headline="the job is starting" if view is None else _headline(view),
            reason=view.plan_reason if is_live and view else "",
            told=view.directive.reason if is_live and view else "",
            step=0 if view is None else view.step,
            total_steps=self._scenario.rounds,
            deadline_at=None if view is None else view.workload.deadline_at,
            is_embedded=self._scenario.grid.provider == "embedded",
        )

    def _with_forecast(self, line: RegionLine, median: IntensitySeries, view: WorkloadView | None) -> RegionLine:
        now = self._controller.clock().now()
        if not median.start_at <= now < median.end_at:
            return line
        until = min(median.end_at, view.workload.deadline_at if view else self._scenario.deadline_at)
        ahead = list(median.pieces(now, until)) if now < until else []
        lowest = min(ahead, key=lambda piece: piece[2], default=None)
        return replace(
            line,
            gco2_per_kwh=median.at(now),
            lowest_gco2_per_kwh=lowest[2] if lowest else None,
            lowest_at=lowest[0] if lowest else None,
        )

    def report(self, proof: Mapping[str, object], settle_s: float) -> tuple[RunReport, Mapping[str, IntensitySeries]]:
        """The report of the finished job, once all of it is priced.

        Args:
            proof: What the job found when it compared itself with an uninterrupted training.
            settle_s: Wall seconds to wait for the last interval to come true.

        Raises:
            ClusterError: It was not priced in time, or Ray does not know a node that the books speak of.
        """
        workload_id, pause, begun_at = str(proof["workload_id"]), threading.Event(), wall_now()
        while not (self._controller.is_settled(workload_id) and not any(self._workers_left())):
            if (wall_now() - begun_at).total_seconds() > settle_s:
                raise ClusterError(f"the workload {workload_id} was not priced within {settle_s:.0f} s of its end")
            pause.wait(_LOOK_S)
        books, config, clock = self._controller.books(workload_id), self._controller.config(), self._controller.clock()
        self._verify_nodes(books.node_events)
        workload = books.record.workload
        return report_from_books(
            books,
            config,
            self._scenario.truth(workload.submitted_at, workload.deadline_at + timedelta(hours=1)),
            forecaster=config.carbon.forecaster,
            clock=f"replay from {self._scenario.start_at:%Y-%m-%dT%H:%MZ} at {clock.speedup:g} x real time; "
            "the training is paced so that its rounds stand for hours",
            bit_equal=bool(proof["bit_equal"]),
            now=clock.now(),
        )

    def _workers_left(self) -> list[str]:
        return [region for region in self._nodes() if region in {one.name for one in self._scenario.regions()}]

    def _verify_nodes(self, node_events: tuple[NodeEvent, ...]) -> None:
        """Hold every node event of the books against Ray's own list of nodes."""
        known = {node["NodeID"]: node for node in ray.nodes()}
        for event in node_events:
            node = known.get(event.node_id)
            if node is None or node["Labels"].get(REGION_LABEL) != event.region:
                raise ClusterError(f"the books name a node {event.node_id[:12]} in {event.region} that Ray does not know there")
            if event.kind is NodeEventKind.REMOVED and node["Alive"]:
                raise ClusterError(f"the books say that node {event.node_id[:12]} was removed, but Ray has it alive")


def _job_in(region: str, view: WorkloadView | None) -> str:
    if view is None or view.status.is_terminal or view.directive.target is None or view.directive.target.region != region:
        return ""
    current = view.segments[-1] if view.segments else None
    is_running = current is not None and current.end_at is None and current.running_at is not None and current.region == region
    return "running" if is_running else "starting"


def _headline(view: WorkloadView) -> str:
    target = view.directive.target
    if view.status.is_terminal:
        return f"job {view.status}"
    if target is None:
        return "job suspended: no node held" if view.segments else "job waiting: no node held"
    return f"job {_job_in(target.region, view)} in {target.region}"
