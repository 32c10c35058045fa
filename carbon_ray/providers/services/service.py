"""What all services of intensity have in common as providers: a kind, strict history, readings answered from memory for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from carbon_ray.core.errors import ConfigError, ProviderNoDataError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers.base import Capabilities, require_window
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.surroundings import Surroundings
from carbon_ray.providers.services.web_service import HOUR, WebService, chunks, whole_hours

__all__ = ["HOUR", "Service", "chunks", "whole_hours"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a service had of a window."""

    start_at: datetime
    end_at: datetime
    asked_at: datetime
    readings: Readings | None

    def holds(self, start_at: datetime, end_at: datetime) -> bool:
        """The window lies in this one."""
        return self.start_at <= start_at and end_at <= self.end_at


class Service(WebService):
    """Base of the providers that ask a service over HTTP.

    Args:
        kind: What to count; must be among `kinds`. None for the first of them.
        zones: See `WebService`.
        areas: See `WebService`.
        base_url: See `WebService`.
        network: See `WebService`.
        surroundings: See `WebService`.

    Raises:
        ConfigError: A setting is wrong, or a key is missing.
        UnknownZoneError: A zone in `zones` has no name at the service.
    """

    kinds: ClassVar[tuple[IntensityKind, ...]]
    stays_behind: ClassVar[tuple[str, ...]] = (*WebService.stays_behind, "_seen")

    def __init__(
        self,
        *,
        kind: IntensityKind | str | None = None,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._kind = self._one_kind(kind)
        super().__init__(zones=zones, areas=areas, base_url=base_url, network=network, surroundings=surroundings)
        self._memory = timedelta(seconds=self._network.cache_s)
        self._seen: dict[str, _Seen] = {}

    def _one_kind(self, kind: IntensityKind | str | None) -> IntensityKind:
        try:
            chosen = self.kinds[0] if kind is None else IntensityKind(kind)
        except ValueError:
            raise ConfigError(f"unknown intensity kind {kind!r}; use one of {', '.join(IntensityKind)}") from None
        if chosen not in self.kinds:
            raise ConfigError(f"{self.name} counts {' or '.join(self.kinds)}, not {chosen}; change grid.kind or grid.provider")
        return chosen

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kind={self._kind.value!r}, zones={self._zones!r}, base_url={self._base_url!r})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._seen = {}

    @property
    def kind(self) -> IntensityKind:
        """What all its numbers count."""
        return self._kind

    @property
    def capabilities(self) -> Capabilities:
        """What it can do with its settings."""
        raise NotImplementedError

    def _able(self, *, resolution_s: float, horizon_s: float = 0.0, mix: bool = False, zones: Sequence[str] | None = None) -> Capabilities:
        """Capabilities of a service that has history; forecasts where there is a horizon, and all its known zones where none are named."""
        return Capabilities(
            history=True,
            forecast=horizon_s > 0,
            mix=mix,
            marginal=self._kind is IntensityKind.MARGINAL,
            zones=self.zones() if zones is None else tuple(zones),
            resolution_s=resolution_s,
            horizon_s=horizon_s,
            quota=self._quota,
            needs_key=bool(self.key_fields),
        )

    def _provenance(self, detail: str, fetched_at: datetime, issued_at: datetime | None = None) -> Provenance:
        """Where values came from; a clock ahead of ours does not make them issued in the future."""
        return Provenance(
            provider=self.name, detail=detail, fetched_at=fetched_at, issued_at=min(issued_at, fetched_at) if issued_at else None
        )

    def _warn_of(self, fuels: Iterable[str], zone: str) -> None:
        """Say that the service has fuels which nobody has told carbon_ray of."""
        if codes := sorted(fuels):
            log.warning("%s, zone %s: fuel %s is not known and counts as unknown", self.name, zone, self.client.excerpt(", ".join(codes)))

    def readings(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of the intervals that intersect `[start_at, end_at)`, from the first to the last value; None for nothing.

        A part of what was asked for before is answered from memory, for `cache_s` of its network settings: who feels for the
        newest value of a source costs it one request.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderError: It could not be asked.
            ValueError: The window is empty or not in UTC.
        """
        require_window(start_at, end_at)
        self._area(zone)
        now = self._world.clock.now()
        seen = self._seen.get(zone)
        if seen is None or not seen.holds(start_at, end_at) or not timedelta(0) <= now - seen.asked_at < self._memory:
            first_at, last_at = whole_hours(start_at, end_at)
            seen = _Seen(first_at, last_at, now, self._history(zone, first_at, last_at))
            self._seen[zone] = seen
        window = seen.readings.window(start_at, end_at) if seen.readings is not None else None
        return window.trimmed() if window is not None else None

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What the service has of a window of whole hours."""
        raise NotImplementedError

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that intersect `[start_at, end_at)`.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderNoDataError: Part of the window lies outside its data, or in a gap.
            ProviderError: It could not be asked.
            ValueError: The window is empty or not in UTC.
        """
        readings = self.readings(zone, start_at, end_at)
        if readings is None:
            raise ProviderNoDataError(self.name, zone, f"has nothing for [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ})")
        if start_at < readings.start_at or end_at > readings.end_at:
            raise ProviderNoDataError(
                self.name,
                zone,
                f"has [{readings.start_at:%Y-%m-%dT%H:%MZ}, {readings.end_at:%Y-%m-%dT%H:%MZ}), not all of "
                f"[{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}); ask for a window inside that",
            )
        return readings.series()
