"""One answer of a service, read whole: its JSON, when it may be asked again, and how far its clock is off."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

BEGINNING_BYTES = 4096
MAX_PAUSE = timedelta(days=1)
"""No service is believed that asks to wait longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: Names in lower case.
        body: Unpacked bytes.
        fetched_at: Our time when it had arrived, aware UTC.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    fetched_at: datetime

    @property
    def content_type(self) -> str:
        """Media type without parameters, in lower case; empty where none is said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def beginning(self) -> str:
        """The beginning of the body as text, for errors; what is not UTF-8 is replaced."""
        return self.body[:BEGINNING_BYTES].decode("utf-8-sig", errors="replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none, is nested too deeply, or holds NaN or Infinity.
        """
        try:
            return json.loads(self.body.decode("utf-8-sig"), parse_constant=_refuse)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    def json_or_none(self) -> Any:
        """The body as JSON, or None where it is none: for error bodies."""
        try:
            return self.json()
        except ValueError:
            return None

    @property
    def server_at(self) -> datetime | None:
        """The service's own time, where it tells."""
        return _http_date(self.headers.get("date", ""))

    @property
    def skew_s(self) -> float | None:
        """How far the service's clock is ahead of ours, seconds; None where it does not tell."""
        return None if self.server_at is None else (self.server_at - self.fetched_at).total_seconds()

    def retry_at(self, otherwise_s: float) -> datetime:
        """When the service may be asked again, in our time.

        Dates that it names are counted from its own clock, so that a wrong clock on either side does no harm.

        Args:
            otherwise_s: Seconds to wait where it says nothing of use.
        """
        pause = _seconds(self.headers.get("retry-after", ""))
        until_at = _http_date(self.headers.get("retry-after", "")) or _epoch(self.headers.get("x-ratelimit-reset", ""))
        if pause is None and until_at is not None:
            pause = (until_at - (self.server_at or self.fetched_at)).total_seconds()
        if pause is None:
            pause = otherwise_s
        return self.fetched_at + min(max(timedelta(0), timedelta(seconds=pause)), MAX_PAUSE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, MAX_PAUSE.total_seconds()) if math.isfinite(seconds) and seconds >= 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _epoch(text: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
