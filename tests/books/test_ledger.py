"""The ledger: what goes in comes out, twice is once, late is harmless."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from carbon_ray.books import Ledger, NodeEvent, NodeEventKind, WorkloadStatus
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.errors import LedgerError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.ledger import Emission, Outcome, Phase, Segment, Totals
from carbon_ray.core.workload import Workload

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "books" / "ledger.db") as opened:
        yield opened


def workload(workload_id: str = "run-1", submitted_at: datetime = T0) -> Workload:
    return Workload(
        workload_id=workload_id,
        work_h=4.0,
        workers=2,
        resources_per_worker={"CPU": 1.0},
        home_region="east",
        regions=("east", "west"),
        submitted_at=submitted_at,
        deadline_at=submitted_at + timedelta(hours=24),
        total_steps=400,
    )


def open_segment(index: int = 0) -> Segment:
    return Segment(workload_id="run-1", index=index, region="east", workers=2, node_type="gpu", nodes=1, start_at=T0, reason="clean")


def emission(start: float, end: float, energy_kwh: float, gco2_per_kwh: float) -> Emission:
    return Emission(
        start_at=at(start),
        end_at=at(end),
        phase=Phase.RUNNING,
        energy_kwh=energy_kwh,
        gco2_per_kwh=gco2_per_kwh,
        gco2=energy_kwh * gco2_per_kwh,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        energy_source="model: test",
        intensity_source="trace",
    )


def test_workload_comes_back_as_it_was(ledger: Ledger) -> None:
    ledger.put_workload(workload(), WorkloadStatus.WAITING)
    record = ledger.workload("run-1")
    assert record is not None
    assert (record.workload, record.status, record.status_at, record.detail) == (workload(), WorkloadStatus.WAITING, T0, "")
    assert ledger.workload("other") is None


def test_workloads_in_order_of_submission_and_by_status(ledger: Ledger) -> None:
    ledger.put_workload(workload("late", at(2)), WorkloadStatus.WAITING)
    ledger.put_workload(workload("early", at(1)), WorkloadStatus.WAITING)
    ledger.set_status("late", WorkloadStatus.RUNNING, at(3))
    assert [record.workload.workload_id for record in ledger.workloads()] == ["early", "late"]
    assert [record.workload.workload_id for record in ledger.workloads(WorkloadStatus.RUNNING)] == ["late"]


def test_first_record_of_a_workload_holds_and_does_not_set_its_status_back(ledger: Ledger) -> None:
    ledger.put_workload(workload(), WorkloadStatus.WAITING)
    ledger.set_status("run-1", WorkloadStatus.RUNNING, at(1))
    ledger.put_workload(replace(workload(), work_h=99.0), WorkloadStatus.WAITING)
    record = ledger.workload("run-1")
    assert record is not None
    assert (record.workload.work_h, record.status) == (4.0, WorkloadStatus.RUNNING)


def test_status_may_come_before_its_workload(ledger: Ledger) -> None:
    ledger.set_status("run-1", WorkloadStatus.RUNNING, at(1))
    assert ledger.workload("run-1") is None
    assert ledger.workloads() == ()
    ledger.put_workload(workload(), WorkloadStatus.WAITING)
    assert [record.status for record in ledger.workloads()] == [WorkloadStatus.RUNNING]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([("waiting", 0, ""), ("running", 1, ""), ("suspended", 2, "dirty")], ("suspended", 2, "dirty")),
        ([("running", 1, ""), ("completed", 2, ""), ("running", 3, "late")], ("completed", 2, "")),
        ([("failed", 2, "out of memory"), ("cancelled", 3, "")], ("failed", 2, "out of memory")),
        ([("running", 1, ""), ("suspended", 1, "")], ("suspended", 1, "")),
    ],
)
def test_status_in_any_order(tmp_path: Path, records: list[tuple[str, int, str]], expected: tuple[str, int, str]) -> None:
    for number, order in enumerate(permutations(records)):
        with Ledger(tmp_path / f"{number}.db") as ledger:
            ledger.put_workload(workload(submitted_at=at(-1)), WorkloadStatus.WAITING)
            for status, hour, detail in order:
                ledger.set_status("run-1", WorkloadStatus(status), at(hour), detail)
            record = ledger.workload("run-1")
            assert record is not None
            assert (record.status, record.status_at, record.detail) == (expected[0], at(expected[1]), expected[2])


def test_closed_segment_is_not_reopened(ledger: Ledger) -> None:
    closed = replace(open_segment(), running_at=at(0.1), stopped_at=at(2), end_at=at(2.1), end_step=200, outcome=Outcome.SUSPENDED)
    ledger.put_segment(closed)
    ledger.put_segment(open_segment())
    ledger.put_segment(replace(open_segment(), running_at=at(0.1), end_step=50))
    ledger.put_segment(replace(closed, end_at=at(9), outcome=Outcome.LOST))
    assert ledger.segments("run-1") == (closed,)


def test_another_segment_under_the_same_key_is_refused_and_changes_nothing(ledger: Ledger) -> None:
    ledger.put_segment(open_segment())
    with pytest.raises(LedgerError, match=r"segment 0 of run-1 .* region east and not west; give a new run a new workload id"):
        ledger.put_segment(replace(open_segment(), region="west", end_at=at(1), outcome=Outcome.LOST))
    assert ledger.segments("run-1") == (open_segment(),)


@pytest.mark.parametrize("is_late_first", [True, False])
def test_step_of_a_node_already_given_up_counts_until_its_end(ledger: Ledger, is_late_first: bool) -> None:
    given_up = replace(open_segment(), end_at=at(1), outcome=Outcome.LOST)
    late = replace(open_segment(), running_at=at(1.5), stopped_at=at(1.6))
    for record in (late, given_up) if is_late_first else (given_up, late):
        ledger.put_segment(record)
    assert ledger.segments("run-1") == (replace(given_up, running_at=at(1), stopped_at=at(1)),)


def test_totals_are_the_sum_of_what_was_priced(ledger: Ledger) -> None:
    # By hand: 1 kWh x 100 + 2 kWh x 50 = 200 g over 2 h; 4 kWh x 25 = 100 g over 1 h.
    ledger.put_emissions("run-1", 0, [emission(0, 1, 1.0, 100.0), emission(1, 2, 2.0, 50.0)], usd=6.0)
    ledger.put_emissions("run-1", 1, [emission(5, 6, 4.0, 25.0)], usd=3.5)
    assert ledger.totals("run-1") == Totals(energy_kwh=7.0, gco2=300.0, usd=9.5, held_h=3.0)
    assert ledger.segment_totals("run-1")[1] == Totals(energy_kwh=4.0, gco2=100.0, usd=3.5, held_h=1.0)
    assert ledger.totals("other") == Totals()


def test_pricing_anew_replaces_and_the_same_pricing_does_nothing(ledger: Ledger) -> None:
    first = [emission(0, 1, 1.0, 100.0), emission(1, 2, 1.0, 80.0)]
    assert ledger.put_emissions("run-1", 0, first, usd=1.0) == 1
    assert ledger.put_emissions("run-1", 0, first, usd=1.0) == 1
    assert ledger.put_emissions("run-1", 0, [emission(0, 1, 1.0, 90.0)], usd=1.0) == 2
    assert ledger.put_emissions("run-1", 0, [emission(0, 1, 1.0, 90.0)], usd=2.0) == 3
    assert ledger.emissions("run-1") == {0: (emission(0, 1, 1.0, 90.0),)}
    assert (ledger.revision("run-1", 0), ledger.revision("run-1", 1)) == (3, 0)
    assert ledger.totals("run-1").usd == 2.0


def test_a_segment_may_be_priced_at_nothing(ledger: Ledger) -> None:
    assert ledger.put_emissions("run-1", 0, [], usd=0.0) == 1
    assert ledger.emissions("run-1") == {0: ()}


def test_decisions_once_and_in_order(ledger: Ledger) -> None:
    start = Decision(workload_id="run-1", at=at(1), current=None, target=Placement(region="west", workers=2), reason="clean", gain_usd=0.5)
    forced = replace(start, at=at(0), target=None, gain_usd=float("inf"), is_forced=True)
    for record in (start, forced, start, replace(start, reason="said again")):
        ledger.put_decision(record)
    assert ledger.decisions("run-1") == (forced, start)


def test_highest_epoch_holds(ledger: Ledger) -> None:
    assert ledger.directive("run-1") is None
    second = Directive(workload_id="run-1", epoch=2, target=None, reason="dirty")
    first = Directive(workload_id="run-1", epoch=1, target=Placement(region="east", workers=2), reason="clean")
    for record in (second, first, replace(second, reason="said again")):
        ledger.put_directive(record, at(record.epoch))
    assert ledger.directive("run-1") == second


def test_node_events_earliest_holds_and_range_is_half_open(ledger: Ledger) -> None:
    added = NodeEvent(region="east", node_type="gpu", node_id="ab", kind=NodeEventKind.ADDED, at=at(1), reason="demand")
    removed = replace(added, kind=NodeEventKind.REMOVED, at=at(3), reason="drained")
    for record in (removed, replace(added, at=at(2), reason="seen again"), added):
        ledger.put_node_event(record)
    assert ledger.node_events() == (added, removed)
    assert ledger.node_events(start_at=at(1), end_at=at(3)) == (added,)


def test_newest_plan(ledger: Ledger) -> None:
    assert ledger.newest_plan() is None
    plan = CapacityPlan(version=2, issued_at=T0, valid_until=at(1), types={"gpu": TypePlan(min_nodes=0, max_nodes=3, drain=("ab",))})
    ledger.put_plan(plan)
    ledger.put_plan(replace(plan, version=1))
    assert ledger.newest_plan() == plan


def test_notes(ledger: Ledger) -> None:
    assert ledger.get_meta("clock") is None
    ledger.put_meta("clock", "a")
    ledger.put_meta("clock", "b")
    assert ledger.get_meta("clock") == "b"
    with pytest.raises(LedgerError, match="choose another key"):
        ledger.put_meta("format", "mine")


def test_another_process_reads_and_writes_at_the_same_time(tmp_path: Path) -> None:
    """Four processes open the ledger at once and write, each its own decisions and all the same segment."""
    path = tmp_path / "ledger.db"
    program = """
import sys
from datetime import UTC, datetime, timedelta
from carbon_ray.books import Ledger
from carbon_ray.core.decision import Decision
from carbon_ray.core.ledger import Segment
start_at = datetime(2022, 5, 2, 16, tzinfo=UTC)
with Ledger(sys.argv[1]) as ledger:
    for number in range(25):
        at = start_at + timedelta(minutes=4 * number + int(sys.argv[2]))
        ledger.put_decision(Decision(workload_id="run-1", at=at, current=None, target=None, reason="test"))
        held = dict(region="east", workers=1, node_type="gpu", nodes=1, start_at=start_at)
        ledger.put_segment(Segment(workload_id="run-1", index=0, end_step=number, **held))
"""
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(number)], stderr=subprocess.PIPE, text=True) for number in range(4)
    ]
    try:
        for child in children:
            _, told = child.communicate(timeout=120)
            assert child.returncode == 0, told
    finally:
        for child in children:
            child.kill()
    with Ledger(path, create=False) as ledger:
        assert len(ledger.decisions("run-1")) == 100
        assert [segment.end_step for segment in ledger.segments("run-1")] == [24]
