"""What `carbon-ray status` shows, as a frozen value read from a cluster's actors and nodes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from carbon_ray.actors.views import Books, WorkloadView
from carbon_ray.cluster.nodes import NodeState
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.forecast import ForecastSnapshot

AHEAD = timedelta(hours=24)
_DECISIONS, _DECIDING = 8, 5
"""Decisions shown, and newest workloads whose decisions are read for that."""


class ControllerSource(Protocol):
    """What is asked of the controller; `carbon_ray.actors.handles.ControllerClient` is one."""

    def config(self) -> ClusterConfig:
        """The cluster's configuration."""
        ...

    def clock(self) -> Clock:
        """The cluster's clock."""
        ...

    def views(self) -> tuple[WorkloadView, ...]:
        """All workloads."""
        ...

    def books(self, workload_id: str) -> Books:
        """What the ledger holds of one."""
        ...


class ForecastSource(Protocol):
    """What is asked of the forecast actor; `carbon_ray.actors.handles.ForecastClient` is one."""

    def snapshot(self) -> ForecastSnapshot:
        """The newest forecasts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionStatus:
    """One region.

    Attributes:
        name: Region.
        zone: Grid zone.
        nodes: Living nodes.
        gpus_used: GPUs in use.
        gpus_total: GPUs of the living nodes.
        gco2_per_kwh: Expected intensity now; None where there is no forecast.
        low_gco2_per_kwh: Lowest expected within the next 24 h.
        low_at: When.
        high_gco2_per_kwh: Highest expected within the next 24 h.
    """

    name: str
    zone: str
    nodes: int
    gpus_used: float
    gpus_total: float
    gco2_per_kwh: float | None = None
    low_gco2_per_kwh: float | None = None
    low_at: datetime | None = None
    high_gco2_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatusLine:
    """One workload.

    Attributes:
        workload_id: Which.
        status: Where it is in its life.
        region: Where it runs or is told to run; None while suspended and after its end.
        workers: Worker count there.
        reason: Why, or how it ended.
        step: Steps finished.
        total_steps: Steps of the whole work, where known.
        remaining_h: Running hours still to do.
        submitted_at: Aware UTC.
        deadline_at: Aware UTC.
        plan_finish_at: When the newest plan ends; None without one.
        segments: Segments so far.
    """

    workload_id: str
    status: str
    region: str | None
    workers: int
    reason: str
    step: int
    total_steps: int | None
    remaining_h: float
    submitted_at: datetime
    deadline_at: datetime
    plan_finish_at: datetime | None
    segments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLine:
    """One decision.

    Attributes:
        at: When, aware UTC.
        workload_id: Whose.
        change: What it changed.
        region: Where to; None to suspend.
        reason: Why.
        gain_usd: Objective saved against keeping things as they were; None where that would have missed the deadline.
    """

    at: datetime
    workload_id: str
    change: str
    region: str | None
    reason: str
    gain_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster at one instant.

    Attributes:
        cluster: Its name.
        now: Its clock, aware UTC.
        clock: Which time that is, in words.
        forecast_issued_at: Age of the forecasts; None without any.
        problem: Why there are no forecasts; empty otherwise.
        regions: In the order of the configuration.
        workloads: In order of submission.
        decisions: The newest ones, newest first.
    """

    cluster: str
    now: datetime
    clock: str
    forecast_issued_at: datetime | None
    problem: str
    regions: tuple[RegionStatus, ...]
    workloads: tuple[WorkloadStatusLine, ...]
    decisions: tuple[DecisionLine, ...]


def clock_words(config: ClusterConfig) -> str:
    """Which time a cluster lives in."""
    settings = config.carbon.clock
    if settings.start_at is None:
        return "system time"
    return f"replay from {settings.start_at:%Y-%m-%dT%H:%MZ} at {settings.speedup:g} x real time"


def read_status(controller: ControllerSource, forecasts: ForecastSource, nodes: Iterable[NodeState]) -> ClusterStatus:
    """Ask a cluster how it stands. Missing forecasts are told in `problem`, not raised.

    Raises:
        CarbonRayError: The controller does not answer.
    """
    config, now, views = controller.config(), controller.clock().now(), controller.views()
    snapshot, problem = None, ""
    try:
        snapshot = forecasts.snapshot()
    except CarbonRayError as error:
        problem = str(error)
    alive = [node for node in nodes if node.is_alive]
    return ClusterStatus(
        cluster=config.name,
        now=now,
        clock=clock_words(config),
        forecast_issued_at=snapshot.issued_at if snapshot else None,
        problem=problem,
        regions=tuple(_region(name, region.zone, snapshot, alive, now) for name, region in config.regions.items()),
        workloads=tuple(_workload(view) for view in views),
        decisions=_decisions(controller, views),
    )


def _region(name: str, zone: str, snapshot: ForecastSnapshot | None, alive: list[NodeState], now: datetime) -> RegionStatus:
    here = [node for node in alive if node.region == name]
    used, total = sum(node.gpus_used for node in here), sum(node.gpus_total for node in here)
    forecast = snapshot.forecasts.get(zone) if snapshot else None
    if forecast is None or not forecast.start_at <= now < forecast.end_at:
        return RegionStatus(name=name, zone=zone, nodes=len(here), gpus_used=used, gpus_total=total)
    median = forecast.median
    ahead = list(median.pieces(now, min(now + AHEAD, median.end_at)))
    low_at, _, low = min(ahead, key=lambda piece: piece[2])
    return RegionStatus(
        name=name,
        zone=zone,
        nodes=len(here),
        gpus_used=used,
        gpus_total=total,
        gco2_per_kwh=median.at(now),
        low_gco2_per_kwh=low,
        low_at=low_at,
        high_gco2_per_kwh=max(piece[2] for piece in ahead),
    )


def _workload(view: WorkloadView) -> WorkloadStatusLine:
    target = None if view.status.is_terminal else view.directive.target
    return WorkloadStatusLine(
        workload_id=view.workload.workload_id,
        status=view.status.value,
        region=target.region if target else None,
        workers=target.workers if target else 0,
        reason=view.detail if view.status.is_terminal else view.plan_reason,
        step=view.step,
        total_steps=view.workload.total_steps,
        remaining_h=0.0 if view.status.is_terminal else view.progress.remaining_h,
        submitted_at=view.workload.submitted_at,
        deadline_at=view.workload.deadline_at,
        plan_finish_at=None if view.status.is_terminal else view.plan_finish_at,
        segments=len(view.segments),
    )


def _decisions(controller: ControllerSource, views: tuple[WorkloadView, ...]) -> tuple[DecisionLine, ...]:
    found = [one for view in views[-_DECIDING:] for one in controller.books(view.workload.workload_id).decisions]
    newest = sorted(found, key=lambda one: one.at, reverse=True)[:_DECISIONS]
    return tuple(
        DecisionLine(
            at=one.at,
            workload_id=one.workload_id,
            change=one.change.value,
            region=one.target.region if one.target else None,
            reason=one.reason,
            gain_usd=one.gain_usd if math.isfinite(one.gain_usd) else None,
        )
        for one in newest
    )
