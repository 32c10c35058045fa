"""The ledger: every record of what ran, was decided and was emitted goes in and comes out here.

Each `put` may come twice, late or in another order without changing the outcome: the merge of two records of one thing is
written into the SQL statement itself, so that several writers agree as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import Insert

from carbon_ray.books import rows, schema
from carbon_ray.books.database import Database
from carbon_ray.books.records import NodeEvent, WorkloadRecord, WorkloadStatus
from carbon_ray.core import codec
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.decision import Decision, Directive
from carbon_ray.core.errors import LedgerError
from carbon_ray.core.ledger import Emission, Segment, Totals
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Workload

_SEGMENT_IDENTITY = ("region", "workers", "node_type", "nodes", "start_at")
_TERMINAL = tuple(status.value for status in WorkloadStatus if status.is_terminal)


class Ledger:
    """The books of a cluster. Safe to open in several processes; use it as a context manager or call `close`.

    Args:
        url_or_path: Path of a SQLite file, made where it is missing, or a PostgreSQL URL.
        create: False to refuse a file that is not there, for readers.

    Raises:
        ConfigError: The database cannot be opened, is damaged, or holds something else. Every method raises it, too, when
            the database fails later.
    """

    def __init__(self, url_or_path: str | Path, *, create: bool = True) -> None:
        self._database = Database(url_or_path, create=create)

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # Workloads

    def put_workload(self, workload: Workload, status: WorkloadStatus) -> None:
        """Record a workload. The first record of an id holds; a status that is already known is not set back by it."""
        table = schema.workloads
        body = {
            "workload_json": codec.dumps(workload),
            "submitted_at": workload.submitted_at,
            "deadline_at": workload.deadline_at,
        }
        is_bare = and_(table.c.workload_id == workload.workload_id, table.c.workload_json.is_(None))
        with self._database.writing() as connection:
            connection.execute(self._status_statement(workload.workload_id, status, workload.submitted_at, ""))
            connection.execute(update(table).where(is_bare).values(body))

    def set_status(self, workload_id: str, status: WorkloadStatus, at: datetime, detail: str = "") -> None:
        """Record that a workload has a status since `at`.

        The latest `at` holds, except that a terminal status is never left; of two terminal ones the earlier holds.
        """
        with self._database.writing() as connection:
            connection.execute(self._status_statement(workload_id, status, at, detail))

    def _status_statement(self, workload_id: str, status: WorkloadStatus, at: datetime, detail: str) -> Insert:
        table = schema.workloads
        statement = self._database.insert(table).values(workload_id=workload_id, status=status.value, status_at=at, detail=detail)
        new, was_terminal = statement.excluded, table.c.status.in_(_TERMINAL)
        # Equal instants are decided by the words, so that the order of arrival never decides.
        is_later_word = or_(new.status > table.c.status, and_(new.status == table.c.status, new.detail > table.c.detail))
        is_tie_won = and_(new.status_at == table.c.status_at, is_later_word)
        if status.is_terminal:
            wins = or_(~was_terminal, new.status_at < table.c.status_at, is_tie_won)
        else:
            wins = and_(~was_terminal, or_(new.status_at > table.c.status_at, is_tie_won))
        changes = {name: new[name] for name in ("status", "status_at", "detail")}
        return statement.on_conflict_do_update(index_elements=["workload_id"], set_=changes, where=wins)

    def workload(self, workload_id: str) -> WorkloadRecord | None:
        """A workload with its status; None where the ledger does not know it."""
        table = schema.workloads
        with self._database.reading() as connection:
            row = connection.execute(
                select(table).where(table.c.workload_id == workload_id, table.c.workload_json.is_not(None))
            ).one_or_none()
        return None if row is None else rows.workload_record(row)

    def workloads(self, status: WorkloadStatus | None = None) -> tuple[WorkloadRecord, ...]:
        """All workloads, or those of one status, in order of submission."""
        table = schema.workloads
        query = select(table).where(table.c.workload_json.is_not(None)).order_by(table.c.submitted_at, table.c.workload_id)
        if status is not None:
            query = query.where(table.c.status == status.value)
        with self._database.reading() as connection:
            return tuple(rows.workload_record(row) for row in connection.execute(query))

    # Segments and what they emitted

    def put_segment(self, segment: Segment) -> None:
        """Record what is known of a segment; what was known before stays.

        An instant, outcome or first step that is known is never changed, so a closed segment stays closed; `end_step` and
        `reached_step` only grow.

        Raises:
            LedgerError: The segment is another one than the ledger holds under this workload and index.
        """
        table, values = schema.segments, rows.segment_values(segment)
        statement = self._database.insert(table).values(values)
        new = statement.excluded
        changes: dict[str, ColumnElement[Any]] = {}
        for name in ("running_at", "stopped_at", "end_at", "outcome", "start_step"):
            changes[name] = func.coalesce(table.c[name], new[name])
        for name in ("end_step", "reached_step"):
            changes[name] = case((new[name] > table.c[name], new[name]), else_=table.c[name])
        changes["reason"] = case((table.c.reason == "", new.reason), else_=table.c.reason)
        key = and_(table.c.workload_id == segment.workload_id, table.c.segment_index == segment.index)
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["workload_id", "segment_index"], set_=changes))
            held = connection.execute(select(table).where(key)).one()._mapping
            if different := [name for name in _SEGMENT_IDENTITY if held[name] != values[name]]:
                told = ", ".join(f"{name} {held[name]} and not {values[name]}" for name in different)
                raise LedgerError(
                    f"segment {segment.index} of {segment.workload_id} is already in the ledger with {told}; "
                    "give a new run a new workload id, and a new segment the next index"
                )

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        """A workload's segments in order."""
        table = schema.segments
        query = select(table).where(table.c.workload_id == workload_id).order_by(table.c.segment_index)
        with self._database.reading() as connection:
            return tuple(rows.segment(row) for row in connection.execute(query))

    def put_emissions(self, workload_id: str, index: int, emissions: Sequence[Emission], usd: float) -> int:
        """Replace the emissions and the cost of one segment, all at once.

        Args:
            workload_id: Whose.
            index: Index of the segment.
            emissions: All of the segment's stretches, in order of time.
            usd: What the segment cost, USD.

        Returns:
            The revision: 1 at first, one more each time that the same segment is priced with another result.
        """
        key = {"workload_id": workload_id, "segment_index": index}
        table, priced = schema.emissions, schema.pricings
        with self._database.writing() as connection:
            # Inserted first, so that a second writer on PostgreSQL waits for this row before it reads it.
            connection.execute(self._database.insert(priced).values(**key, revision=0, usd=usd).on_conflict_do_nothing())
            at_key = and_(priced.c.workload_id == workload_id, priced.c.segment_index == index)
            held = connection.execute(select(priced).where(at_key).with_for_update()).one()
            before = tuple(rows.emission(row) for row in connection.execute(_emissions_query(workload_id, index)))
            if held.revision > 0 and held.usd == usd and before == tuple(emissions):
                return int(held.revision)
            connection.execute(update(priced).where(at_key).values(revision=held.revision + 1, usd=usd))
            connection.execute(delete(table).where(table.c.workload_id == workload_id, table.c.segment_index == index))
            lines = [{**key, "position": position, **rows.emission_values(emission)} for position, emission in enumerate(emissions)]
            if lines:
                connection.execute(insert(table), lines)
            return int(held.revision) + 1

    def emissions(self, workload_id: str) -> Mapping[int, tuple[Emission, ...]]:
        """A workload's emissions in order of time, by segment index; segments that are not priced are not in it."""
        with self._database.reading() as connection:
            priced = connection.execute(_pricings_query(workload_id)).all()
            found: dict[int, list[Emission]] = {row.segment_index: [] for row in priced}
            for row in connection.execute(_emissions_query(workload_id)):
                found[row.segment_index].append(rows.emission(row))
        return {index: tuple(emissions) for index, emissions in found.items()}

    def segment_totals(self, workload_id: str) -> Mapping[int, Totals]:
        """Sums of each priced segment, by its index."""
        with self._database.reading() as connection:
            usd_by_index = {row.segment_index: row.usd for row in connection.execute(_pricings_query(workload_id))}
            found = dict.fromkeys(usd_by_index, Totals())
            for row in connection.execute(_emissions_query(workload_id)):
                found[row.segment_index] += Totals(energy_kwh=row.energy_kwh, gco2=row.gco2, held_h=hours(row.end_at - row.start_at))
        return {index: part + Totals(usd=usd_by_index[index]) for index, part in found.items()}

    def totals(self, workload_id: str) -> Totals:
        """Sums over all priced segments of a workload; zeros where there are none."""
        return sum(self.segment_totals(workload_id).values(), Totals())

    def revision(self, workload_id: str, index: int) -> int:
        """How often a segment was priced with a new result; 0 where it never was."""
        query = _pricings_query(workload_id).where(schema.pricings.c.segment_index == index)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return 0 if row is None else int(row.revision)

    # Decisions and directives

    def put_decision(self, decision: Decision) -> None:
        """Record a decision; a workload has one for each instant, and the first holds."""
        statement = self._database.insert(schema.decisions).values(rows.decision_values(decision))
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_nothing())

    def decisions(self, workload_id: str) -> tuple[Decision, ...]:
        """A workload's decisions in order of time."""
        table = schema.decisions
        query = select(table).where(table.c.workload_id == workload_id).order_by(table.c.at)
        with self._database.reading() as connection:
            return tuple(rows.decision(row) for row in connection.execute(query))

    def put_directive(self, directive: Directive, at: datetime) -> None:
        """Record what a workload is told since `at`; the highest epoch holds, and the first record of it."""
        table = schema.directives
        statement = self._database.insert(table).values(given_at=at, **rows.directive_values(directive))
        new = statement.excluded
        changes = {name: new[name] for name in ("epoch", "given_at", "target_region", "target_workers", "reason")}
        with self._database.writing() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["workload_id"], set_=changes, where=new.epoch > table.c.epoch)
            )

    def directive(self, workload_id: str) -> Directive | None:
        """The directive that holds; None where none was given."""
        table = schema.directives
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.workload_id == workload_id)).one_or_none()
        return None if row is None else rows.directive(row)

    # Nodes and capacity

    def put_node_event(self, node_event: NodeEvent) -> None:
        """Record that a node came or went; of several records of it the earliest holds."""
        table = schema.node_events
        statement = self._database.insert(table).values(rows.node_event_values(node_event))
        new = statement.excluded
        changes = {name: new[name] for name in ("region", "node_type", "at", "reason")}
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["node_id", "kind"], set_=changes, where=new.at < table.c.at))

    def node_events(self, start_at: datetime | None = None, end_at: datetime | None = None) -> tuple[NodeEvent, ...]:
        """Comings and goings within `[start_at, end_at)`, in order of time; no bound where it is None."""
        table = schema.node_events
        query = select(table).order_by(table.c.at, table.c.node_id, table.c.kind)
        if start_at is not None:
            query = query.where(table.c.at >= start_at)
        if end_at is not None:
            query = query.where(table.c.at < end_at)
        with self._database.reading() as connection:
            return tuple(rows.node_event(row) for row in connection.execute(query))

    def put_plan(self, plan: CapacityPlan) -> None:
        """Record a published capacity plan; the first record of a version holds."""
        values = {"version": plan.version, "issued_at": plan.issued_at, "valid_until": plan.valid_until, "plan_json": codec.dumps(plan)}
        with self._database.writing() as connection:
            connection.execute(self._database.insert(schema.plans).values(values).on_conflict_do_nothing())

    def newest_plan(self) -> CapacityPlan | None:
        """The published capacity plan of the highest version; None before the first."""
        with self._database.reading() as connection:
            text = connection.execute(
                select(schema.plans.c.plan_json).order_by(schema.plans.c.version.desc()).limit(1)
            ).scalar_one_or_none()
        return None if text is None else codec.loads(CapacityPlan, text)

    # Notes

    def put_meta(self, key: str, value: str) -> None:
        """Set a note of the cluster's own, such as the controller's clock; the last value holds.

        Raises:
            LedgerError: The key is the ledger's own.
        """
        if key == schema.FORMAT_KEY:
            raise LedgerError(f"the note {key!r} is the ledger's own; choose another key")
        statement = self._database.insert(schema.meta).values(key=key, value=value)
        with self._database.writing() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value}))

    def get_meta(self, key: str) -> str | None:
        """A note; None where it was never set."""
        with self._database.reading() as connection:
            return connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar_one_or_none()


def _pricings_query(workload_id: str) -> Select[Any]:
    table = schema.pricings
    return select(table).where(table.c.workload_id == workload_id).order_by(table.c.segment_index)


def _emissions_query(workload_id: str, index: int | None = None) -> Select[Any]:
    table = schema.emissions
    query = select(table).where(table.c.workload_id == workload_id).order_by(table.c.segment_index, table.c.position)
    return query if index is None else query.where(table.c.segment_index == index)
