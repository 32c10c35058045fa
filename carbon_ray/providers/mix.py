"""Generation by fuel over time: what several sources give instead of a carbon intensity, and what forecasters like to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import FloatArray, Provenance


class Fuel(StrEnum):
    """Every fuel that a source tells apart; an emission-factor table says what each emits."""

    BATTERY = "battery"
    BIOMASS = "biomass"
    COAL = "coal"
    COAL_GAS = "coal_gas"
    GAS = "gas"
    GEOTHERMAL = "geothermal"
    HARD_COAL = "hard_coal"
    HYDRO = "hydro"
    HYDRO_PUMPED = "hydro_pumped"
    HYDRO_RESERVOIR = "hydro_reservoir"
    HYDRO_RUN_OF_RIVER = "hydro_run_of_river"
    LIGNITE = "lignite"
    MARINE = "marine"
    NUCLEAR = "nuclear"
    OIL = "oil"
    OIL_SHALE = "oil_shale"
    OTHER = "other"
    OTHER_RENEWABLE = "other_renewable"
    PEAT = "peat"
    SOLAR = "solar"
    UNKNOWN = "unknown"
    WASTE = "waste"
    WIND = "wind"
    WIND_OFFSHORE = "wind_offshore"
    WIND_ONSHORE = "wind_onshore"


STORAGE = frozenset({Fuel.BATTERY, Fuel.HYDRO_PUMPED})
"""What gives back what was put in before: no source of its own."""

UNTOLD = frozenset({Fuel.OTHER, Fuel.UNKNOWN})
"""What a source sums up without saying what it is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GenerationMix:
    """Mean power by fuel on a regular grid of half-open intervals.

    Attributes:
        zone: Grid zone.
        start_at: Start of the first interval, aware UTC.
        step_s: Length of every interval, seconds.
        power_mw: Per fuel the mean power generated in each interval, MW, 0 or above; NaN in every fuel for a gap; shape (n,).
        is_consumption: True if imports are in and exports out; False for what the zone produced.
        provenance: Where it came from.
    """

    zone: str
    start_at: datetime
    step_s: float
    power_mw: Mapping[Fuel, FloatArray] = field(repr=False)
    is_consumption: bool = False
    provenance: Provenance

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        if not self.step_s > 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        frozen: dict[Fuel, FloatArray] = {}
        for fuel, values in sorted(self.power_mw.items()):
            array = np.array(values, dtype=np.float64)
            if array.ndim != 1 or not len(array) or np.isinf(array).any() or (array < 0).any():
                raise ValueError(f"zone {self.zone}: power of {fuel} must be one-dimensional, not empty, and 0 or above, or NaN for a gap")
            array.setflags(write=False)
            frozen[Fuel(fuel)] = array
        if len({len(values) for values in frozen.values()}) != 1:
            raise ValueError(f"zone {self.zone}: a mix needs at least one fuel, and all of one length")
        object.__setattr__(self, "power_mw", frozen)

    def __len__(self) -> int:
        return len(next(iter(self.power_mw.values())))

    @property
    def end_at(self) -> datetime:
        """End of the last interval; itself outside the mix."""
        return self.start_at + timedelta(seconds=self.step_s * len(self))

    @property
    def total_mw(self) -> FloatArray:
        """Mean power of all fuels together, MW; NaN for a gap; shape (n,)."""
        total: FloatArray = np.sum(list(self.power_mw.values()), axis=0)
        return total

    @property
    def count(self) -> int:
        """Number of intervals that are there."""
        return int((~np.isnan(self.total_mw)).sum())
