"""The newest history that a source has: sources publish late, and begin where they begin, and a model takes what there is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from carbon_ray.core.errors import ProviderNoDataError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.providers.base import HistoryProvider

LAGS = tuple(timedelta(hours=count) for count in (0, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48, 72))
"""By how much the newest values of a source may be late, step by step: market operators some hours, statistics offices two days."""

LEAST = timedelta(days=2)
"""Shortest history that is of use to a forecaster."""

SPANS = (*(timedelta(days=days) for days in (365, 180, 90, 45, 21, 7)), LEAST)
"""Where a source does not reach back as far as asked, the longest of these that it has is taken."""


def recent(
    provider: HistoryProvider, zone: str, start_at: datetime, now: datetime, *, rung: int = 0, stale_after: timedelta = LAGS[-1]
) -> tuple[IntensitySeries, int]:
    """As much of `[start_at, now)` as the source has, up to its newest value.

    Args:
        provider: The source.
        zone: Grid zone.
        start_at: Aware UTC, at least `LEAST` before `now`.
        now: Aware UTC.
        rung: What this function returned the last time, for the same source and zone: saves requests.
        stale_after: A source whose newest value is older than this has nothing.

    Returns:
        The history, and the step of `LAGS` that it was found at.

    Raises:
        ProviderNoDataError: The source has nothing of the last days.
        ProviderError: It could not be asked.
        UnknownZoneError: It does not know the zone.
    """
    known = [step for step, lag in enumerate(LAGS) if lag <= stale_after] or [0]
    # Where the source was found late the last time, it may have caught up by a step; from there on it can only be later.
    first = min(max(0, rung - 1), known[-1])
    missing: ProviderNoDataError | None = None
    for step in known[first:]:
        end_at = now - LAGS[step]
        try:
            return _longest(provider, zone, min(start_at, end_at - LEAST), end_at), step
        except ProviderNoDataError as error:
            missing = missing or error
    assert missing is not None  # there is at least one step
    raise missing


def _longest(provider: HistoryProvider, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
    """All of the window, or as much of its end as there is, where the source begins later."""
    try:
        return provider.history(zone, start_at, end_at)
    except ProviderNoDataError as error:
        missing = error
    for span in (one for one in SPANS if end_at - one > start_at):
        try:
            return provider.history(zone, end_at - span, end_at)
        except ProviderNoDataError:
            continue
    raise missing


@runtime_checkable
class RecentProvider(Protocol):
    """A source that finds its newest history itself, such as a chain of sources."""

    def recent(self, zone: str, start_at: datetime, now: datetime) -> IntensitySeries:
        """As much of `[start_at, now)` as it has, up to its newest value.

        Raises:
            ProviderError: It has nothing of the last days, or cannot be asked.
            UnknownZoneError: It does not know the zone.
        """
        ...


def newest_history(provider: HistoryProvider, zone: str, start_at: datetime, now: datetime) -> IntensitySeries:
    """As much of `[start_at, now)` as a source has, by its own way where it has one.

    Raises:
        ProviderError: It has nothing of the last days, or cannot be asked.
        UnknownZoneError: It does not know the zone.
    """
    if isinstance(provider, RecentProvider):
        return provider.recent(zone, start_at, now)
    return recent(provider, zone, start_at, now)[0]
