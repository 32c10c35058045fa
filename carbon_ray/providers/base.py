"""What a source of carbon intensity must offer and may offer, and how a stored series answers for a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ProviderNoDataError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.readings import Readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How often a source may be asked: `requests` in any `per_s` seconds."""

    requests: int
    per_s: float

    def __post_init__(self) -> None:
        if self.requests < 1 or not self.per_s > 0:
            raise ValueError(f"a quota needs at least 1 request in more than 0 s, got {self.requests} in {self.per_s} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do, before it is asked.

    Attributes:
        history: It tells what came true: `HistoryProvider`.
        forecast: It issues forecasts: `ForecastProvider`.
        mix: It tells generation by fuel: `MixProvider`.
        marginal: Its intensity is marginal; False for average.
        zones: Zones that it is known to have without asking it, sorted; empty where only the service knows.
        resolution_s: Length of its intervals, seconds; the shortest where it has several.
        horizon_s: How far its forecasts reach, seconds; 0 without forecasts.
        quota: How often it may be asked; None for as often as one likes.
        needs_key: A key must be there; see `carbon_ray.providers.keys`.
    """

    history: bool
    forecast: bool
    mix: bool
    marginal: bool
    zones: tuple[str, ...]
    resolution_s: float
    horizon_s: float = 0.0
    quota: Quota | None = None
    needs_key: bool = False

    def __post_init__(self) -> None:
        if not self.resolution_s > 0 or self.horizon_s < 0 or (self.horizon_s > 0) != self.forecast:
            raise ValueError("capabilities need a resolution_s above 0, and a horizon_s above 0 with forecasts alone")


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


@runtime_checkable
class DescribedProvider(Protocol):
    """A source that says what it can do."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do with its settings; nothing is asked for that."""
        ...


@runtime_checkable
class ReadingsProvider(Protocol):
    """A source that also tells what it has of a window where it does not have all: for caches, and where data come late."""

    def readings(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """The intervals that intersect `[start_at, end_at)`, from the first to the last value it has; None where it has none.

        Args:
            zone: Grid zone.
            start_at: Aware UTC.
            end_at: Aware UTC, after `start_at`.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderError: It could not be asked.
        """
        ...


@runtime_checkable
class ForecastProvider(Protocol):
    """A source that issues forecasts. Like `HistoryProvider` it has a name, a kind and zones."""

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

    def forecast(self, zone: str, horizon_s: float) -> Forecast:
        """The newest forecast it has issued: the interval that holds the present first, without gaps, at most `horizon_s` long.

        It may be shorter. It holds the median alone where the source issues no quantiles; `issued_at` is never later than
        the present.

        Args:
            zone: Grid zone.
            horizon_s: Seconds from the present, above 0.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderNoDataError: It has no forecast.
            ProviderError: It could not be asked.
        """
        ...


@runtime_checkable
class MixProvider(Protocol):
    """A source of generation by fuel."""

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation in the intervals that intersect `[start_at, end_at)`, from the first to the last it has; None for none.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderError: It could not be asked.
        """
        ...


def capabilities_of(provider: HistoryProvider) -> Capabilities:
    """What a provider can do; a cautious guess for one that does not say: hourly history of one kind, nothing else."""
    if isinstance(provider, DescribedProvider):
        return provider.capabilities
    return Capabilities(
        history=True,
        forecast=False,
        mix=isinstance(provider, MixProvider),
        marginal=provider.kind is IntensityKind.MARGINAL,
        zones=(),
        resolution_s=3600.0,
    )


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
