"""Services that tell generation by fuel: their intensity is the mix by an emission-factor table, or what they publish themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.factors import DEFAULT_SET, FactorTable, factor_table
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.service import Service
from carbon_ray.providers.services.surroundings import Surroundings


class MixService(Service):
    """Base of the services whose intensity comes of their mix.

    Args:
        kind: See `Service`.
        zones: See `Service`.
        areas: See `Service`.
        base_url: See `Service`.
        network: See `Service`.
        factors: Name of the emission-factor set; None for the intensity that the service publishes, or for the usual set where it
            publishes none of the kind.
        surroundings: For tests.
    """

    published: ClassVar[tuple[IntensityKind, ...]] = ()
    """Kinds of intensity that the service publishes itself."""

    def __init__(
        self,
        *,
        kind: IntensityKind | str | None = None,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        factors: str | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(kind=kind, zones=zones, areas=areas, base_url=base_url, network=network, surroundings=surroundings)
        if factors is None and self._kind not in self.published:
            factors = DEFAULT_SET
        self._factors: FactorTable | None = factor_table(factors, self._kind) if factors is not None else None

    def _history(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What it has of `[start_at, end_at)`: the mix by the factor table, or what the service publishes."""
        if self._factors is None:
            return self._as_published(zone, start_at, end_at)
        mix = self.mix(zone, start_at, end_at)
        return self._factors.intensity_of(mix) if mix is not None else None

    def _as_published(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """What the service publishes of a window of whole hours; for those that have `published` kinds."""
        raise NotImplementedError

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation by fuel in `[start_at, end_at)`; None where there is nothing."""
        raise NotImplementedError
