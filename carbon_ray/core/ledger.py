"""Arithmetic of the books: from what ran to energy, from energy and intensity to emissions, from price to money.

Nothing is stored here. All functions are sums over half-open stretches of time, so splitting a stretch anywhere does not
change a total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.core.region import NodeType
from carbon_ray.core.units import hours, kwh
from carbon_ray.core.workload import Workload


class Phase(StrEnum):
    """What the nodes of a segment were doing."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Outcome(StrEnum):
    """How a segment ended."""

    SUSPENDED = "suspended"
    COMPLETED = "completed"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One uninterrupted stretch of a workload in one region with one worker count.

    Attributes:
        workload_id: Whose.
        index: 0, 1, ... in order of time; with `workload_id` the key of every record about it.
        region: Where.
        workers: Worker count.
        node_type: Name of the node type that was held.
        nodes: Number of nodes held.
        start_at: Nodes are held from here, aware UTC.
        running_at: First step; None if it never came to one.
        stopped_at: Last step; None while it runs or if it never ran.
        end_at: Everything is released; None while it is open.
        start_step: Steps that the restored checkpoint held; None until its first step said so.
        end_step: Steps that its last checkpoint held of which it is known that it is safe; exact at a planned end.
        reached_step: Steps finished when it ended, saved or not.
        outcome: None while it is open.
        reason: Why it was started.
    """

    workload_id: str
    index: int
    region: str
    workers: int
    node_type: str
    nodes: int
    start_at: datetime
    running_at: datetime | None = None
    stopped_at: datetime | None = None
    end_at: datetime | None = None
    start_step: int | None = None
    end_step: int = 0
    reached_step: int = 0
    outcome: Outcome | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        marks = [mark for mark in (self.start_at, self.running_at, self.stopped_at, self.end_at) if mark is not None]
        for mark in marks:
            require_utc(mark, "segment instant")
        if marks != sorted(marks):
            raise ValueError(f"segment {self.index} of {self.workload_id}: instants are out of order")

    def phases(self, now: datetime) -> tuple[tuple[Phase, datetime, datetime], ...]:
        """The non-empty stretches up to its end, or up to `now` while it is open."""
        end_at = self.end_at or max(now, self.start_at)
        running_at = min(self.running_at or end_at, end_at)
        stopped_at = max(min(self.stopped_at or end_at, end_at), running_at)
        marks = ((Phase.STARTING, self.start_at, running_at), (Phase.RUNNING, running_at, stopped_at), (Phase.STOPPING, stopped_at, end_at))
        return tuple(mark for mark in marks if mark[1] < mark[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyStretch:
    """Energy of the nodes of a segment at constant power.

    Attributes:
        start_at: Aware UTC.
        end_at: Aware UTC.
        energy_kwh: At the nodes; PUE is not in it.
        phase: What they were doing.
        source: Where the figure comes from (`model: ...`, `nvml`, `rapl`).
    """

    start_at: datetime
    end_at: datetime
    energy_kwh: float
    phase: Phase
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Energy of one stretch within one interval of one intensity, priced.

    Attributes:
        start_at: Aware UTC.
        end_at: Aware UTC.
        phase: What the nodes were doing.
        energy_kwh: At the site: nodes times PUE.
        gco2_per_kwh: Intensity that came true.
        gco2: Product of the two, g.
        kind: What the intensity counts.
        energy_source: Where the energy figure comes from.
        intensity_source: Where the intensity comes from.
    """

    start_at: datetime
    end_at: datetime
    phase: Phase
    energy_kwh: float
    gco2_per_kwh: float
    gco2: float
    kind: IntensityKind
    energy_source: str
    intensity_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over any number of stretches.

    Attributes:
        energy_kwh: At the site, PUE included.
        gco2: Emissions, g.
        usd: Node hours times their price.
        held_h: Hours of held nodes' segments (not node-hours).
    """

    energy_kwh: float = 0.0
    gco2: float = 0.0
    usd: float = 0.0
    held_h: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            energy_kwh=self.energy_kwh + other.energy_kwh,
            gco2=self.gco2 + other.gco2,
            usd=self.usd + other.usd,
            held_h=self.held_h + other.held_h,
        )


def as_of(segment: Segment, at: datetime) -> Segment:
    """The segment as it stood at an instant after its start: what came later is not in it."""

    def by_then(mark: datetime | None) -> datetime | None:
        return None if mark is None or mark > at else mark

    is_over = segment.end_at is not None and segment.end_at <= at
    return replace(
        segment,
        running_at=by_then(segment.running_at),
        stopped_at=by_then(segment.stopped_at),
        end_at=by_then(segment.end_at),
        outcome=segment.outcome if is_over else None,
    )


def energy_stretches(segment: Segment, node_type: NodeType, utilisation_fraction: float, now: datetime) -> tuple[EnergyStretch, ...]:
    """Energy of a segment by the node type's stated power model: idle while starting and stopping, utilised while running."""
    out = []
    for phase, start_at, end_at in segment.phases(now):
        utilisation = utilisation_fraction if phase is Phase.RUNNING else 0.0
        energy_kwh = kwh(node_type.power.power_w(utilisation) * segment.nodes, end_at - start_at)
        source = (
            f"model: {segment.nodes} x {node_type.power.tdp_w:g} W, idle share {node_type.power.idle_fraction:g}, "
            f"utilisation {utilisation:g}; {node_type.power.source}"
        )
        out.append(EnergyStretch(start_at=start_at, end_at=end_at, energy_kwh=energy_kwh, phase=phase, source=source))
    return tuple(out)


def price(stretches: Iterable[EnergyStretch], intensity: IntensitySeries, pue: float) -> tuple[Emission, ...]:
    """Emissions of stretches: energy x PUE x the intensity of each interval, split at the intervals' edges.

    Raises:
        OutsideDataError: A stretch reaches outside the intensity's data.
    """
    out = []
    for stretch in stretches:
        span_h = hours(stretch.end_at - stretch.start_at)
        for start_at, end_at, gco2_per_kwh in intensity.pieces(stretch.start_at, stretch.end_at):
            energy_kwh = stretch.energy_kwh * pue * hours(end_at - start_at) / span_h
            out.append(
                Emission(
                    start_at=start_at,
                    end_at=end_at,
                    phase=stretch.phase,
                    energy_kwh=energy_kwh,
                    gco2_per_kwh=gco2_per_kwh,
                    gco2=energy_kwh * gco2_per_kwh,
                    kind=intensity.kind,
                    energy_source=stretch.source,
                    intensity_source=str(intensity.provenance),
                )
            )
    return tuple(out)


def totals(emissions: Sequence[Emission], usd_per_h: float) -> Totals:
    """Sums of one segment's emissions; `usd_per_h` is the price of all its nodes together."""
    held_h = sum(hours(emission.end_at - emission.start_at) for emission in emissions)
    return Totals(
        energy_kwh=sum(emission.energy_kwh for emission in emissions),
        gco2=sum(emission.gco2 for emission in emissions),
        usd=held_h * usd_per_h,
        held_h=held_h,
    )


def run_now_segment(workload: Workload, node_type: NodeType, nodes: int, running_h: float, startup_s: float) -> Segment:
    """The counterfactual: the same work started at submission in the home region and never interrupted.

    Args:
        workload: The workload that really ran.
        node_type: Home region's node type.
        nodes: Nodes of it that would have been held.
        running_h: Running hours that the work took in truth, redone steps not counted.
        startup_s: Seconds before its first step, as measured.
    """
    running_at = workload.submitted_at + timedelta(seconds=startup_s)
    end_at = running_at + timedelta(hours=running_h)
    return Segment(
        workload_id=workload.workload_id,
        index=0,
        region=workload.home_region,
        workers=workload.workers,
        node_type=node_type.name,
        nodes=nodes,
        start_at=workload.submitted_at,
        running_at=running_at,
        stopped_at=end_at,
        end_at=end_at,
        outcome=Outcome.COMPLETED,
        reason="counterfactual: run now at home",
    )
