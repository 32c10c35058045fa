"""A small run whose every number is worked out by hand in `test_assemble.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_ray.books import Ledger, NodeEvent, NodeEventKind, WorkloadStatus
from carbon_ray.core.decision import Decision, Placement
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Outcome, Segment, Totals, price, totals
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Workload
from carbon_ray.energy import ModelEnergySource
from carbon_ray.reports.assemble import ClairvoyantRun, assemble
from carbon_ray.reports.run_report import RunReport

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def node_type(name: str, usd_per_h: float) -> NodeType:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test sheet")
    return NodeType(name=name, resources={"CPU": 2.0}, max_nodes=2, usd_per_h=usd_per_h, power=power)


def series(zone: str, values: Sequence[float], *, is_embedded: bool = False) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=values,
        provenance=Provenance(provider="hand", detail=f"{zone}.csv", is_embedded=is_embedded),
    )


@dataclass
class Run:
    """The run, and the arguments of `assemble` that differ between tests."""

    workload: Workload
    segments: list[Segment]
    regions: dict[str, Region]
    intensity: dict[str, IntensitySeries]
    decisions: list[Decision] = field(default_factory=list)
    node_events: list[NodeEvent] = field(default_factory=list)
    provenance: list[str] = field(default_factory=lambda: ["clock: real time"])

    def write(self, ledger: Ledger) -> None:
        """Put everything into the books, segments priced."""
        ledger.put_workload(self.workload, WorkloadStatus.COMPLETED)
        for segment in self.segments:
            ledger.put_segment(segment)
            region = self.regions[segment.region]
            held = region.node_types[0]
            stretches = ModelEnergySource(held, self.workload.utilisation_fraction).energy(segment, segment.end_at or at(99))
            emissions = price(stretches, self.intensity[segment.region], region.pue)
            ledger.put_emissions(segment.workload_id, segment.index, emissions, totals(emissions, held.usd_per_h * segment.nodes).usd)
        for decision in self.decisions:
            ledger.put_decision(decision)
        for event in self.node_events:
            ledger.put_node_event(event)

    def arguments(self, ledger: Ledger) -> dict[str, Any]:
        """What `assemble` is called with."""
        name = self.workload.workload_id
        return {
            "workload": self.workload,
            "segments": ledger.segments(name),
            "emissions": ledger.emissions(name),
            "segment_totals": ledger.segment_totals(name),
            "ledger_totals": ledger.totals(name),
            "decisions": ledger.decisions(name),
            "node_events": ledger.node_events(),
            "regions": self.regions,
            "intensity": self.intensity,
            "clairvoyant": ClairvoyantRun(
                totals=Totals(energy_kwh=3.0, gco2=205.0, usd=8.0, held_h=2.5), finish_at=at(6), suspends=0, moves=1
            ),
            "lost_steps": 0,
            "redone_steps": 0,
            "bit_equal": None,
            "forecaster": "naive",
            "provenance": self.provenance,
            "now": at(30),
        }


def make_run(workload_id: str = "run", names: Mapping[str, str] | None = None, *, is_embedded: bool = False) -> Run:
    """The run, with regions `east` and `west` under other names where `names` says so."""
    east, west = ((names or {}).get(name, name) for name in ("east", "west"))
    workload = Workload(
        workload_id=workload_id,
        work_h=2.0,
        workers=2,
        resources_per_worker={"CPU": 1.0},
        home_region=east,
        regions=(east, west),
        submitted_at=T0,
        deadline_at=at(8),
        utilisation_fraction=1.0,
        total_steps=100,
    )
    common: dict[str, Any] = {"workload_id": workload_id, "workers": 2, "nodes": 1}
    first = Segment(
        **common,
        index=0,
        region=east,
        node_type="e",
        start_at=T0,
        running_at=at(0.5),
        stopped_at=at(1.5),
        end_at=at(1.5),
        start_step=0,
        end_step=50,
        reached_step=50,
        outcome=Outcome.SUSPENDED,
        reason="clean enough",
    )
    second = Segment(
        **common,
        index=1,
        region=west,
        node_type="w",
        start_at=at(4),
        running_at=at(4.25),
        stopped_at=at(5.25),
        end_at=at(5.5),
        start_step=50,
        end_step=100,
        reached_step=100,
        outcome=Outcome.COMPLETED,
        reason="cleaner",
    )
    here, there = Placement(region=east, workers=2), Placement(region=west, workers=2)
    return Run(
        workload=workload,
        segments=[first, second],
        regions={
            east: Region(name=east, zone="E", pue=1.0, node_types=(node_type("e", 2.0),)),
            west: Region(name=west, zone="W", pue=2.0, node_types=(node_type("w", 4.0),)),
        },
        intensity={
            east: series("E", [100, 200, 300, 400, 400, 400, 400, 400, 400], is_embedded=is_embedded),
            west: series("W", [90, 90, 90, 90, 40, 80, 80, 80, 80]),
        },
        decisions=[
            Decision(
                workload_id=workload_id, at=T0, current=None, target=here, reason="start at home", gain_usd=float("inf"), is_forced=True
            ),
            Decision(workload_id=workload_id, at=at(1), current=here, target=here, reason="still good"),
            Decision(workload_id=workload_id, at=at(1.4), current=here, target=None, reason="getting dirty", gain_usd=0.25),
            Decision(workload_id=workload_id, at=at(4), current=None, target=there, reason="west is clean", gain_usd=0.5),
        ],
        node_events=[
            NodeEvent(region=west, node_type="w", node_id="bb", kind=NodeEventKind.ADDED, at=at(3.9), reason="demand"),
            NodeEvent(region=east, node_type="e", node_id="aa", kind=NodeEventKind.REMOVED, at=at(2), reason="drained"),
        ],
    )


@pytest.fixture
def run_made() -> Callable[..., Run]:
    return make_run


@pytest.fixture
def arguments_of(tmp_path: Path) -> Callable[[Run], dict[str, Any]]:
    """Writes a run into a ledger and returns the arguments of `assemble` that are read from it."""

    def make(run: Run) -> dict[str, Any]:
        with Ledger(tmp_path / "ledger.db") as ledger:
            run.write(ledger)
            return run.arguments(ledger)

    return make


@pytest.fixture
def report_of(arguments_of: Callable[[Run], dict[str, Any]]) -> Callable[..., RunReport]:
    """Writes a run into a ledger and assembles its report, with other arguments where they are given."""

    def make(run: Run, **others: object) -> RunReport:
        return assemble(**{**arguments_of(run), **others})

    return make
