"""What a source of past carbon intensity must offer, and how a stored series answers for a window of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ProviderNoDataError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries


@runtime_checkable
class HistoryProvider(Protocol):
    """A source of intensity that came true. It pickles; what is wrong with its settings is raised when it is made."""

    @property
    def name(self) -> str:
        """Name of the source, as provenance and reports show it."""
        ...

    @property
    def kind(self) -> IntensityKind:
        """What all its numbers count."""
        ...

    def zones(self) -> tuple[str, ...]:
        """All zones it knows, sorted."""
        ...

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Exactly the intervals of the zone's own grid that intersect `[start_at, end_at)`.

        Args:
            zone: Grid zone.
            start_at: Aware UTC.
            end_at: Aware UTC, after `start_at`.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderNoDataError: Part of the window lies outside its data.
            ProviderError: It could not be asked.
        """
        ...


def require_window(start_at: datetime, end_at: datetime) -> None:
    """Refuse a window that is empty or not in UTC.

    Raises:
        ValueError: An end is not aware UTC, or `end_at` is not after `start_at`.
    """
    require_utc(start_at, "start_at")
    require_utc(end_at, "end_at")
    if not start_at < end_at:
        raise ValueError(f"history needs start_at before end_at, got {start_at.isoformat()} and {end_at.isoformat()}")


def covering(series: IntensitySeries, start_at: datetime, end_at: datetime, *, provider: str) -> IntensitySeries:
    """The intervals of a series that intersect `[start_at, end_at)`.

    Args:
        series: All that the provider has of one zone.
        start_at: Aware UTC.
        end_at: Aware UTC, after `start_at`.
        provider: Name for the error.

    Raises:
        ProviderNoDataError: Part of the window lies outside the series.
        ValueError: The window is empty or not in UTC.
    """
    require_window(start_at, end_at)
    if start_at < series.start_at or end_at > series.end_at:
        raise ProviderNoDataError(
            provider,
            series.zone,
            f"has [{series.start_at:%Y-%m-%dT%H:%MZ}, {series.end_at:%Y-%m-%dT%H:%MZ}), not all of "
            f"[{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}); ask for a window inside that",
        )
    step = timedelta(seconds=series.step_s)
    first = (start_at - series.start_at) // step
    last = -((series.start_at - end_at) // step)
    return series.window(series.start_at + first * step, series.start_at + last * step)
