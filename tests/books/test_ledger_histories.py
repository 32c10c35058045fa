"""Any interleaving and repetition of a history's records gives the ledger of the history in order."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.books import Ledger, NodeEvent, NodeEventKind, WorkloadStatus
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.workload import Workload

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)
Record = tuple[str, tuple[object, ...]]


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """The records of one run in the order in which they came to be: what each segment was known to be, step by step."""
    now = T0
    records: list[Record] = []

    def later() -> datetime:
        nonlocal now
        now += timedelta(seconds=draw(st.integers(0, 7200)))
        return now

    workload = Workload(
        workload_id="run",
        work_h=1.0,
        workers=1,
        resources_per_worker={"CPU": 1.0},
        home_region="a",
        regions=("a", "b"),
        submitted_at=T0,
        deadline_at=T0 + timedelta(days=9),
    )
    records.append(("put_workload", (workload, WorkloadStatus.WAITING)))
    step = 0
    for index in range(draw(st.integers(1, 3))):
        region = draw(st.sampled_from(["a", "b"]))
        target = Placement(region=region, workers=1)
        records.append(
            ("put_decision", (Decision(workload_id="run", at=later() + timedelta(seconds=1), current=None, target=target, reason="r"),))
        )
        records.append(("put_directive", (Directive(workload_id="run", epoch=index, target=target, reason="r"), now)))
        segment = Segment(
            workload_id="run",
            index=index,
            region=region,
            workers=1,
            node_type="t",
            nodes=1,
            start_at=later(),
        )
        node = NodeEvent(region=region, node_type="t", node_id=f"n{index}", kind=NodeEventKind.ADDED, at=now)
        records += [("put_segment", (segment,)), ("put_node_event", (node,))]
        outcome = draw(st.sampled_from([Outcome.SUSPENDED, Outcome.LOST]))
        if draw(st.booleans()):
            segment = replace(segment, running_at=later(), start_step=step, end_step=step, reached_step=step)
            records += [("put_segment", (segment,)), ("set_status", ("run", WorkloadStatus.RUNNING, now, ""))]
            for _ in range(draw(st.integers(0, 3))):
                step += draw(st.integers(0, 50))
                segment = replace(segment, end_step=step, reached_step=max(segment.reached_step, step + draw(st.integers(0, 9))))
                records.append(("put_segment", (segment,)))
            if draw(st.booleans()):
                segment = replace(segment, stopped_at=later())
                records.append(("put_segment", (segment,)))
        segment = replace(segment, end_at=later(), outcome=outcome)
        records += [
            ("put_segment", (segment,)),
            ("set_status", ("run", WorkloadStatus.SUSPENDED, now, outcome.value)),
            ("put_node_event", (replace(node, kind=NodeEventKind.REMOVED, at=now),)),
        ]
    if draw(st.booleans()):
        records.append(("set_status", ("run", WorkloadStatus.COMPLETED, later(), "")))
    return records


def books_of(records: list[Record], path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the ledger that these records make, table by table."""
    with Ledger(path) as ledger:
        for method, arguments in records:
            getattr(ledger, method)(*arguments)
    connection = sqlite3.connect(path)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert "segments" in tables
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}
    finally:
        connection.close()


@given(data=st.data(), history=histories())
@settings(max_examples=40, deadline=None)
def test_any_order_and_repetition_gives_the_same_ledger(data: st.DataObject, history: list[Record]) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=6))
    shuffled = data.draw(st.permutations(repeated))
    with TemporaryDirectory() as folder:
        assert books_of(shuffled, Path(folder) / "shuffled.db") == books_of(history, Path(folder) / "in_order.db")


@given(history=histories())
@settings(max_examples=15, deadline=None)
def test_segments_in_order_are_the_last_state_of_each(history: list[Record]) -> None:
    last = {
        arguments[0].index: arguments[0] for method, arguments in history if method == "put_segment" and isinstance(arguments[0], Segment)
    }
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
        for method, arguments in history:
            getattr(ledger, method)(*arguments)
        assert ledger.segments("run") == tuple(last.values())


@pytest.mark.parametrize("stale", [0, 1])
def test_late_open_record_fills_in_what_the_closing_one_did_not_know(tmp_path: Path, stale: int) -> None:
    opened = Segment(workload_id="run", index=0, region="a", workers=1, node_type="t", nodes=1, start_at=T0)
    running = replace(opened, running_at=T0 + timedelta(minutes=1), end_step=7)
    lost = replace(opened, end_at=T0 + timedelta(minutes=5), outcome=Outcome.LOST)
    with Ledger(tmp_path / "ledger.db") as ledger:
        for record in (lost, running) if stale else (running, lost):
            ledger.put_segment(record)
        assert ledger.segments("run") == (replace(lost, running_at=running.running_at, end_step=7),)
