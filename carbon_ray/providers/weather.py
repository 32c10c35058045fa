"""Weather as a service forecasts it for a zone: hours ahead of the instant at which it was issued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import FloatArray, Provenance

VARIABLES = ("wind_speed_m_per_s", "temperature_k", "dewpoint_k", "radiation_w_per_m2", "precipitation_kg_per_m2")
"""What is forecast; wind about as high as turbines are, radiation and precipitation of the hour."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeatherForecast:
    """The weather of one zone as it was forecast, hour by hour.

    Attributes:
        zone: Grid zone.
        start_at: Start of the first hour, on the hour, aware UTC; may lie before `issued_at`.
        issued_at: From when on it was known; when it was fetched where the service does not say. Aware UTC.
        values: By name of `VARIABLES`, all of them, each of shape (hours,); NaN where nothing is known.
        provenance: Where it came from.
    """

    zone: str
    start_at: datetime
    issued_at: datetime
    values: Mapping[str, FloatArray] = field(repr=False)
    provenance: Provenance

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        require_utc(self.issued_at, "issued_at")
        if set(self.values) != set(VARIABLES) or len({len(one) for one in self.values.values()}) != 1 or not len(self):
            raise ValueError(f"zone {self.zone}: a weather forecast needs {', '.join(VARIABLES)}, all of one length of at least an hour")
        if any(np.isinf(one).any() for one in self.values.values()):
            raise ValueError(f"zone {self.zone}: a weather forecast holds finite values, or NaN for what is not known")

    def __len__(self) -> int:
        return len(self.values[VARIABLES[0]])

    @property
    def end_at(self) -> datetime:
        """End of the last hour; itself outside."""
        return self.start_at + timedelta(hours=len(self))

    @property
    def count(self) -> int:
        """Hours of which anything is known."""
        return int((~np.isnan(np.stack([self.values[name] for name in VARIABLES]))).any(axis=0).sum())


@runtime_checkable
class WeatherProvider(Protocol):
    """A source of weather forecasts. It pickles; what is wrong with its settings is raised when it is made."""

    @property
    def name(self) -> str:
        """Name of the source, as provenance shows it."""
        ...

    def zones(self) -> tuple[str, ...]:
        """All zones whose places it knows, sorted."""
        ...

    def weather(self, zone: str) -> WeatherForecast:
        """The newest forecast, from the beginning of the present day (UTC) on.

        Raises:
            UnknownZoneError: It does not know where the zone is.
            ProviderNoDataError: It has nothing.
            ProviderError: It could not be asked.
        """
        ...
