"""The tables of the books, in SQL that SQLite and PostgreSQL both understand. Nothing here reads or writes a row.

Every column that is a quantity ends in its unit. Instants are ISO 8601 text in UTC of one fixed width, so that the order of
the text is the order of time in every database, and come back as aware datetimes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Boolean, Column, Dialect, Double, Integer, MetaData, String, Table, Text, TypeDecorator

from carbon_ray.core.clock import parse_utc, require_utc

FORMAT = "carbon_ray ledger 1"
"""Written into `meta` when a ledger is made; a file with tables but without this line is not opened."""

FORMAT_KEY = "format"


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as `2022-05-02T16:00:00.000000Z`."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Datetime to text.

        Raises:
            ValueError: The instant is naive or not in UTC.
        """
        if value is None:
            return None
        return require_utc(value).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Text to datetime."""
        return None if value is None else parse_utc(value)


metadata = MetaData()

workloads = Table(
    "workloads",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("workload_json", Text),  # NULL until the workload itself arrives, where a status came first
    Column("submitted_at", Instant),
    Column("deadline_at", Instant),
    Column("status", Text, nullable=False),
    Column("status_at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
)

segments = Table(
    "segments",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("segment_index", Integer, primary_key=True),
    Column("region", Text, nullable=False),
    Column("workers", Integer, nullable=False),
    Column("node_type", Text, nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("running_at", Instant),
    Column("stopped_at", Instant),
    Column("end_at", Instant),
    Column("start_step", Integer),
    Column("end_step", Integer, nullable=False),
    Column("reached_step", Integer, nullable=False),
    Column("outcome", Text),
    Column("reason", Text, nullable=False),
)

pricings = Table(
    "pricings",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("segment_index", Integer, primary_key=True),
    Column("revision", Integer, nullable=False),  # 1 at first; grows when a segment is priced anew with another result
    Column("usd", Double, nullable=False),
)

emissions = Table(
    "emissions",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("segment_index", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("phase", Text, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("gco2_per_kwh", Double, nullable=False),
    Column("gco2", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("energy_source", Text, nullable=False),
    Column("intensity_source", Text, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("change", Text, nullable=False),  # follows from the placements; stored for queries alone
    Column("current_region", Text),
    Column("current_workers", Integer),
    Column("target_region", Text),
    Column("target_workers", Integer),
    Column("reason", Text, nullable=False),
    Column("gain_usd", Double, nullable=False),
    Column("is_forced", Boolean, nullable=False),
)

directives = Table(
    "directives",
    metadata,
    Column("workload_id", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("given_at", Instant, nullable=False),
    Column("target_region", Text),
    Column("target_workers", Integer),
    Column("reason", Text, nullable=False),
)

node_events = Table(
    "node_events",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("region", Text, nullable=False),
    Column("node_type", Text, nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Column("reason", Text, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("issued_at", Instant, nullable=False),
    Column("valid_until", Instant, nullable=False),
    Column("plan_json", Text, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
