"""From the rows of an answer to readings on a regular grid: checked, sorted, each instant once, holes left open."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from carbon_ray.core.errors import ProviderNoDataError, ProviderResponseError
from carbon_ray.core.forecast import MEDIAN, Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, Provenance
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.fields import MAX_GCO2_PER_KWH

MAX_INTERVALS = 2_000_000
_LEAST_STEP_S, _LONGEST_STEP_S = 60, 86_400


class Row(NamedTuple):
    """One value of an answer: `value` in gCO2e per kWh or MW, None for a gap; `is_estimated` None where nothing is said."""

    start_at: datetime
    end_at: datetime
    value: float | None
    is_estimated: bool | None = None


def usual_step_s(starts: Iterable[datetime], otherwise_s: float) -> float:
    """The step that instants are mostly apart, for services that do not name it; `otherwise_s` for fewer than two."""
    ordered = sorted(set(starts))
    steps = Counter((right - left).total_seconds() for left, right in pairwise(ordered))
    return min(steps, key=lambda step: (-steps[step], step)) if steps else otherwise_s


def stepped(points: Sequence[tuple[datetime, float | None, bool | None]], otherwise_s: float) -> list[Row]:
    """Rows of points that name their start alone."""
    step = timedelta(seconds=usual_step_s((start_at for start_at, _, _ in points), otherwise_s))
    return [Row(start_at, start_at + step, value, is_estimated) for start_at, value, is_estimated in points]


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid that holds all rows: `count` intervals of `step_s` from `start_at` on."""

    start_at: datetime
    step_s: int
    count: int

    def cells(self, row: Row) -> slice:
        """The intervals that a row fills."""
        first = round((row.start_at - self.start_at).total_seconds()) // self.step_s
        return slice(first, first + round((row.end_at - row.start_at).total_seconds()) // self.step_s)


def grid_of(rows: Sequence[Row], *, provider: str, zone: str) -> Grid:
    """The coarsest grid on whose lines all rows begin and end.

    Raises:
        ProviderResponseError: There is none of at least a minute, or the rows lie too far apart.
    """
    origin = min(row.start_at for row in rows)
    end_at = max(row.end_at for row in rows)
    step_s = 0
    for row in rows:
        length_s = (row.end_at - row.start_at).total_seconds()
        offset_s = (row.start_at - origin).total_seconds()
        if length_s != int(length_s) or offset_s != int(offset_s) or length_s <= 0:
            raise ProviderResponseError(
                provider, zone, f"sent an interval that is not of whole seconds, at {row.start_at:%Y-%m-%dT%H:%M:%SZ}"
            )
        step_s = math.gcd(step_s, int(length_s), int(offset_s))
    if not _LEAST_STEP_S <= step_s <= _LONGEST_STEP_S:
        raise ProviderResponseError(provider, zone, f"sent intervals that lie on no regular grid (step {step_s} s)")
    count = round((end_at - origin).total_seconds()) // step_s
    if count > MAX_INTERVALS:
        raise ProviderResponseError(
            provider, zone, f"sent intervals from {origin:%Y-%m-%d} to {end_at:%Y-%m-%d}, more than is read at once"
        )
    return Grid(origin, step_s, count)


def intersecting(rows: Iterable[Row], start_at: datetime, end_at: datetime) -> list[Row]:
    """The rows that intersect `[start_at, end_at)`."""
    return [row for row in rows if row.start_at < end_at and row.end_at > start_at]


def readings_of(
    rows: Sequence[Row],
    *,
    zone: str,
    kind: IntensityKind,
    provenance: Provenance,
    newest_at: datetime | None,
    is_forecast: bool = False,
) -> Readings | None:
    """Readings from the first to the last value; None where there is no value.

    Of several rows for one interval the last one counts: services send revisions after what they revise.

    Args:
        rows: In the order in which they came.
        zone: Grid zone.
        kind: What is counted.
        provenance: Where they came from.
        newest_at: No interval of what came true can begin after that, aware UTC; None for forecasts.
        is_forecast: See `Readings`.

    Raises:
        ProviderResponseError: A value is negative or implausible, lies in the future, or the rows fit no grid.
    """
    provider = provenance.provider
    for row in rows:
        if row.value is not None and not 0 <= row.value <= MAX_GCO2_PER_KWH:
            raise ProviderResponseError(
                provider, zone, f"sent {row.value:.6g} gCO2/kWh for {row.start_at:%Y-%m-%dT%H:%MZ}, outside 0 to {MAX_GCO2_PER_KWH:.0f}"
            )
        if newest_at is not None and row.value is not None and row.start_at > newest_at:
            raise ProviderResponseError(
                provider, zone, f"says what came true at {row.start_at:%Y-%m-%dT%H:%MZ}, which is still to come; check the clocks"
            )
    there = [row for row in rows if row.value is not None]
    if not there:
        return None
    first_at, last_at = min(row.start_at for row in there), max(row.end_at for row in there)
    rows = intersecting(rows, first_at, last_at)
    grid = grid_of(rows, provider=provider, zone=zone)
    values, marks = np.full(grid.count, np.nan), np.zeros(grid.count, dtype=np.bool_)
    for row in rows:
        values[grid.cells(row)] = np.nan if row.value is None else row.value
        marks[grid.cells(row)] = bool(row.is_estimated)
    is_told = any(row.is_estimated is not None for row in there)
    readings = Readings(
        zone=zone,
        kind=kind,
        start_at=grid.start_at,
        step_s=float(grid.step_s),
        values_gco2_per_kwh=values,
        is_estimated=marks if is_told else None,
        is_forecast=is_forecast,
        provenance=provenance,
    )
    return readings.window(first_at, last_at)


def forecast_of(readings: Readings | None, *, provider: str, zone: str, now: datetime, horizon_s: float, issued_at: datetime) -> Forecast:
    """A forecast of readings that are one: from the interval that holds the present to the horizon or the first gap.

    Raises:
        ProviderNoDataError: There is nothing for the present.
    """
    ahead = readings.window(now, now + timedelta(seconds=horizon_s)) if readings is not None else None
    values: FloatArray = ahead.values_gco2_per_kwh if ahead is not None else np.empty(0)
    length = int(np.argmax(np.isnan(values))) if np.isnan(values).any() else len(values)
    if ahead is None or not length or ahead.start_at > now:
        raise ProviderNoDataError(provider, zone, f"has issued no forecast that begins at {now:%Y-%m-%dT%H:%MZ}")
    return Forecast(
        zone=zone,
        kind=ahead.kind,
        issued_at=issued_at,
        start_at=ahead.start_at,
        step_s=ahead.step_s,
        quantiles_gco2_per_kwh={MEDIAN: values[:length]},
        forecaster=provider,
        provenance=ahead.provenance,
    )
