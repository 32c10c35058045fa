"""What the demonstration may be asked for; the command line and the demonstration meet here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """One run of the demonstration. Whether the parts fit together is checked by the demonstration before it starts anything.

    Attributes:
        traces: CSV or Parquet trace to replay; None for the embedded profile.
        zones: Grid zones, one region each, the first one home; empty for the default ones.
        start_at: First replayed instant, aware UTC; None for the default one.
        out: Directory of the report.
        json: Standard output is kept free for one JSON document; everything for a person goes to standard error.
    """

    traces: Path | None = None
    zones: tuple[str, ...] = ()
    start_at: datetime | None = None
    out: Path = Path("demo-report")
    json: bool = False
