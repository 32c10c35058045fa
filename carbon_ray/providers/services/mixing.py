"""From rows of power by fuel to a generation mix on a regular grid; an interval of which a part is missing is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from carbon_ray.core.errors import ProviderResponseError
from carbon_ray.core.intensity import FloatArray, Provenance
from carbon_ray.providers.mix import STORAGE, UNTOLD, Fuel, GenerationMix
from carbon_ray.providers.services.grid import Row, grid_of, intersecting

MAX_POWER_MW = 5_000_000.0
"""All of the world's generation is less; what is above was sent in another unit."""


class FuelRow(NamedTuple):
    """Mean power of one fuel: `code` is the source's own name of it, `power_mw` None for a gap."""

    code: str
    fuel: Fuel
    start_at: datetime
    end_at: datetime
    power_mw: float | None


def mix_of(
    rows: Sequence[FuelRow], *, zone: str, start_at: datetime, end_at: datetime, provenance: Provenance, is_consumption: bool = False
) -> GenerationMix | None:
    """The mix in the intervals that intersect `[start_at, end_at)`, from the first to the last that is whole; None for none.

    A fuel that the source names at all is part of every interval: where it is missing, the interval is a gap, because what is
    left would look cleaner or dirtier than it was. Exceptions are storage, and what a source sums up as other or unknown: many
    name these only while there is some, so where they are not named there is none. Negative power is a plant's own use and
    counts as 0. Of several rows for one fuel and interval the last one counts.

    Raises:
        ProviderResponseError: A power is implausible, or the rows fit no grid.
    """
    cut = intersecting([Row(row.start_at, row.end_at, 0.0) for row in rows], start_at, end_at)
    if not cut:
        return None
    grid = grid_of(cut, provider=provenance.provider, zone=zone)
    by_code: dict[tuple[str, Fuel], FloatArray] = {}
    for row in rows:
        if not (row.start_at < end_at and row.end_at > start_at):
            continue
        if row.power_mw is not None and abs(row.power_mw) > MAX_POWER_MW:
            raise ProviderResponseError(provenance.provider, zone, f"sent {row.power_mw:.6g} MW of {row.code[:40]}, which cannot be")
        otherwise = 0.0 if row.fuel in STORAGE | UNTOLD else np.nan
        power = by_code.setdefault((row.code, row.fuel), np.full(grid.count, otherwise))
        cells = grid.cells(Row(row.start_at, row.end_at, None))
        power[cells] = np.nan if row.power_mw is None else max(0.0, row.power_mw)
    power_mw: dict[Fuel, FloatArray] = {}
    for (_, fuel), power in by_code.items():
        if np.isnan(power).all():
            continue
        filled = np.nan_to_num(power) if fuel in STORAGE else power
        power_mw[fuel] = power_mw[fuel] + filled if fuel in power_mw else filled
    if not power_mw:
        return None
    missing = np.isnan(np.sum(list(power_mw.values()), axis=0))
    if missing.all():
        return None
    whole = np.flatnonzero(~missing)
    inside = slice(int(whole[0]), int(whole[-1]) + 1)
    return GenerationMix(
        zone=zone,
        start_at=grid.start_at + int(whole[0]) * timedelta(seconds=grid.step_s),
        step_s=float(grid.step_s),
        power_mw={fuel: np.where(missing, np.nan, power)[inside] for fuel, power in power_mw.items()},
        is_consumption=is_consumption,
        provenance=provenance,
    )
