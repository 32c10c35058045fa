"""Emission factors by fuel: named sets that never mix, and the intensity of a generation mix by one of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from importlib.resources import files

import numpy as np

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.mix import STORAGE, UNTOLD, Fuel, GenerationMix
from carbon_ray.providers.readings import Readings

DEFAULT_SET = "carboncast"

_INSTEAD: Mapping[Fuel, tuple[Fuel, ...]] = {
    Fuel.COAL: (Fuel.HARD_COAL,),
    Fuel.COAL_GAS: (Fuel.COAL,),
    Fuel.HARD_COAL: (Fuel.COAL,),
    Fuel.HYDRO: (Fuel.HYDRO_RESERVOIR,),
    Fuel.HYDRO_RESERVOIR: (Fuel.HYDRO,),
    Fuel.HYDRO_RUN_OF_RIVER: (Fuel.HYDRO,),
    Fuel.LIGNITE: (Fuel.COAL,),
    Fuel.MARINE: (Fuel.HYDRO,),
    Fuel.OIL_SHALE: (Fuel.COAL,),
    Fuel.OTHER: (Fuel.UNKNOWN,),
    Fuel.OTHER_RENEWABLE: (Fuel.BIOMASS,),
    Fuel.PEAT: (Fuel.COAL,),
    Fuel.UNKNOWN: (Fuel.OTHER,),
    Fuel.WASTE: (Fuel.OTHER,),
    Fuel.WIND: (Fuel.WIND_ONSHORE,),
    Fuel.WIND_OFFSHORE: (Fuel.WIND,),
    Fuel.WIND_ONSHORE: (Fuel.WIND,),
}
"""Which factor of the same set stands in where a set does not tell two fuels apart. Other renewables are mostly biogenic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTable:
    """Factors of one set and one kind.

    Attributes:
        name: Name of the set.
        kind: Life-cycle or direct.
        factors_gco2_per_kwh: Per fuel, gCO2e per kWh generated.
        source: Where the set comes from.
    """

    name: str
    kind: IntensityKind
    factors_gco2_per_kwh: Mapping[Fuel, float] = field(repr=False)
    source: str

    def factor_gco2_per_kwh(self, fuel: Fuel) -> float:
        """Factor of a fuel, or of what the set puts in its place.

        Raises:
            ConfigError: The set says nothing of it.
        """
        for one in (fuel, *_INSTEAD.get(fuel, ())):
            if one in self.factors_gco2_per_kwh:
                return self.factors_gco2_per_kwh[one]
        raise ConfigError(f"factor set {self.name!r} has no {self.kind} factor for {fuel}; choose another of {', '.join(factor_sets())}")

    def intensity_of(self, mix: GenerationMix) -> Readings | None:
        """Mean factor of what generates, weighted by its power; None where nothing does.

        What comes out of storage is left out: its emissions were counted when it went in. Intervals in which nothing
        generates are gaps. The share of fuels that the source does not name is told in the provenance.

        Raises:
            ConfigError: The set says nothing of a fuel that generates.
        """
        generating = {fuel: power for fuel, power in mix.power_mw.items() if fuel not in STORAGE and np.nansum(power) > 0}
        if not generating:
            return None
        total = np.sum(list(generating.values()), axis=0)
        emitted = np.sum([power * self.factor_gco2_per_kwh(fuel) for fuel, power in generating.items()], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(total > 0, emitted / total, np.nan)
        untold = sum(float(np.nansum(power)) for fuel, power in generating.items() if fuel in UNTOLD)
        parts = [
            mix.provenance.detail,
            "consumption-based" if mix.is_consumption else "production-based",
            f"factors {self.name} ({self.kind}), storage left out",
            f"{untold / float(np.nansum(total)):.1%} of fuels that are not named" if untold else "",
        ]
        readings = Readings(
            zone=mix.zone,
            kind=self.kind,
            start_at=mix.start_at,
            step_s=mix.step_s,
            values_gco2_per_kwh=values,
            provenance=replace(mix.provenance, detail="; ".join(part for part in parts if part)),
        )
        there, step = np.flatnonzero(~np.isnan(values)), timedelta(seconds=mix.step_s)
        if not len(there):
            return None
        return readings.window(mix.start_at + int(there[0]) * step, mix.start_at + (int(there[-1]) + 1) * step)


def factor_sets() -> tuple[str, ...]:
    """Names of all sets, sorted."""
    return tuple(sorted({row["set"] for row in _rows()}))


def factor_table(name: str, kind: IntensityKind) -> FactorTable:
    """The factors of a set.

    Args:
        name: Name of the set.
        kind: Life-cycle or direct.

    Raises:
        ConfigError: There is no such set, or it has no factors of the kind.
    """
    if name not in (known := factor_sets()):
        raise ConfigError(f"unknown factor set {name!r}; use one of {', '.join(known)}")
    column = {IntensityKind.AVERAGE_LIFECYCLE: "lifecycle_gco2_per_kwh", IntensityKind.AVERAGE_DIRECT: "direct_gco2_per_kwh"}.get(kind)
    rows = [row for row in _rows() if row["set"] == name and column is not None and row[column]]
    if column is None or not rows:
        raise ConfigError(f"factor set {name!r} has no factors for {kind}; use another set or kind")
    factors = {Fuel(row["fuel"]): float(row[column]) for row in rows}
    return FactorTable(name=name, kind=kind, factors_gco2_per_kwh=factors, source=rows[0]["source"])


@lru_cache(maxsize=1)
def _rows() -> tuple[Mapping[str, str], ...]:
    text = (files("carbon_ray.providers") / "data" / "emission_factors.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))
