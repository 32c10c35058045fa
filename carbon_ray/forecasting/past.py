"""What is known of one zone: its hourly intensity and, where there is any, generation by fuel and issued weather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.weather import WeatherRuns

FUELS = ("coal", "gas", "nuclear", "hydro", "solar", "wind", "other")
"""Groups of fuels that models know; oil, biomass, geothermal and what is not named are `other`."""
_LEAST_GCO2_PER_KWH = 1.0
"""Intensities are compared by their logarithm, which needs a floor."""
_LEAST_POWER = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZonePast:
    """One zone's hours.

    Attributes:
        zone: Grid zone.
        start_at: Start of the first hour, aware UTC.
        values_gco2_per_kwh: Hourly intensity, the oldest first.
        generation: Generation by group of `FUELS`, each of the length of the values, in any one unit of power; may be empty.
        weather: Runs of a weather model over the zone.
    """

    zone: str
    start_at: datetime
    values_gco2_per_kwh: FloatArray = field(repr=False)
    generation: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)
    weather: WeatherRuns | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        unknown = set(self.generation) - set(FUELS)
        if unknown or any(len(one) != len(self) for one in self.generation.values()):
            raise ValueError(f"zone {self.zone}: generation needs fuels of {', '.join(FUELS)}, each with {len(self)} hours")

    def __len__(self) -> int:
        return len(self.values_gco2_per_kwh)

    @property
    def log_values(self) -> FloatArray:
        """Natural logarithm of the intensity."""
        logs: FloatArray = np.log(np.maximum(self.values_gco2_per_kwh, _LEAST_GCO2_PER_KWH))
        return logs

    @property
    def total(self) -> FloatArray | None:
        """All generation of every hour, above 0."""
        if not self.generation:
            return None
        total: FloatArray = np.maximum(np.sum(list(self.generation.values()), axis=0), _LEAST_POWER)
        return total

    def until(self, hours: int) -> ZonePast:
        """The same with its first `hours` hours alone; the weather's runs are left as they are, each knows when it was known."""
        return ZonePast(
            zone=self.zone,
            start_at=self.start_at,
            values_gco2_per_kwh=self.values_gco2_per_kwh[:hours],
            generation={fuel: values[:hours] for fuel, values in self.generation.items()},
            weather=self.weather,
        )

    def since(self, hours: int) -> ZonePast:
        """The same without its first `hours` hours."""
        return ZonePast(
            zone=self.zone,
            start_at=self.start_at + timedelta(hours=hours),
            values_gco2_per_kwh=self.values_gco2_per_kwh[hours:],
            generation={fuel: values[hours:] for fuel, values in self.generation.items()},
            weather=self.weather,
        )
