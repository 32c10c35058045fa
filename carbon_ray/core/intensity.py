"""Carbon intensity over time: its kind, where it came from, and a series that refuses to be extended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import OutsideDataError, UnitMismatchError

FloatArray = NDArray[np.float64]


class IntensityKind(StrEnum):
    """What an intensity counts. Two kinds are never added, averaged or fallen over into each other."""

    AVERAGE_LIFECYCLE = "average_lifecycle"
    AVERAGE_DIRECT = "average_direct"
    MARGINAL = "marginal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a number came from; travels with it into every report.

    Attributes:
        provider: Name of the data source or model.
        detail: File, licence, method: whatever a reader needs to find it again.
        is_embedded: True for the typical profile shipped in the package: an illustration, not an observation.
        estimated_fraction: Share of the values that their source marks as estimates; None where it does not say.
        issued_at: When the source issued or last revised them, aware UTC; None where it does not say.
        fetched_at: When they were fetched from the source, aware UTC; None for what was never fetched.
    """

    provider: str
    detail: str = ""
    is_embedded: bool = False
    estimated_fraction: float | None = None
    issued_at: datetime | None = None
    fetched_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.estimated_fraction is not None and not 0 <= self.estimated_fraction <= 1:
            raise ValueError(f"estimated_fraction must be between 0 and 1, got {self.estimated_fraction}")
        for name in ("issued_at", "fetched_at"):
            if (instant := getattr(self, name)) is not None:
                require_utc(instant, name)

    def __str__(self) -> str:
        mark = "embedded " if self.is_embedded and not self.provider.startswith("embedded") else ""
        return f"{mark}{self.provider}{f' ({self.detail})' if self.detail else ''}"

    def in_full(self) -> str:
        """The same with whether values were measured or estimated, and when they were issued and fetched, where that is known."""
        parts = [str(self)]
        if (fraction := self.estimated_fraction) is not None:
            parts.append("measured" if fraction == 0 else "estimated" if fraction == 1 else f"{fraction:.0%} estimated")
        if self.issued_at is not None:
            parts.append(f"issued {self.issued_at:%Y-%m-%dT%H:%MZ}")
        if self.fetched_at is not None:
            parts.append(f"fetched {self.fetched_at:%Y-%m-%dT%H:%MZ}")
        return "; ".join(parts)


_ROUNDING = 1e-9
"""Intervals by which a range may exceed the data, for rounding."""


def frozen_array(values: Sequence[float] | FloatArray) -> FloatArray:
    """A read-only float64 copy; what is one already, or a part of one, itself."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64 and not values.flags.writeable:
        base = values.base
        if base is None or (isinstance(base, np.ndarray) and not base.flags.writeable):
            return values
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntensitySeries:
    """Piecewise constant intensity of one zone on a regular grid of half-open intervals `[start_at, end_at)`.

    Attributes:
        zone: Grid zone.
        kind: What is counted.
        start_at: Start of the first interval, aware UTC.
        step_s: Length of every interval, seconds.
        values_gco2_per_kwh: One value an interval, finite and not negative; read-only.
        provenance: Where the values came from.
    """

    zone: str
    kind: IntensityKind
    start_at: datetime
    step_s: float
    values_gco2_per_kwh: FloatArray = field(repr=False)
    provenance: Provenance

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        if not self.step_s > 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        object.__setattr__(self, "values_gco2_per_kwh", checked_intensities(self.values_gco2_per_kwh, self.zone))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IntensitySeries):
            return NotImplemented
        return self._key() == other._key() and np.array_equal(self.values_gco2_per_kwh, other.values_gco2_per_kwh)

    def __hash__(self) -> int:
        return hash((*self._key(), self.values_gco2_per_kwh.tobytes()))

    def _key(self) -> tuple[object, ...]:
        return (self.zone, self.kind, self.start_at, self.step_s, self.provenance)

    def __len__(self) -> int:
        return len(self.values_gco2_per_kwh)

    @property
    def end_at(self) -> datetime:
        """End of the last interval; itself outside the series."""
        return self.start_at + timedelta(seconds=self.step_s * len(self))

    def _position(self, instant: datetime) -> float:
        return (require_utc(instant) - self.start_at).total_seconds() / self.step_s

    def _outside(self, start_at: datetime, end_at: datetime) -> OutsideDataError:
        return OutsideDataError(
            f"zone {self.zone}: [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}) is outside the data "
            f"[{self.start_at:%Y-%m-%dT%H:%MZ}, {self.end_at:%Y-%m-%dT%H:%MZ})"
        )

    def at(self, instant: datetime) -> float:
        """Intensity at an instant, gCO2e per kWh.

        Raises:
            OutsideDataError: The instant lies outside `[start_at, end_at)`.
        """
        position = math.floor(self._position(instant))
        if not 0 <= position < len(self):
            raise self._outside(instant, instant)
        return float(self.values_gco2_per_kwh[position])

    def pieces(self, start_at: datetime, end_at: datetime) -> Iterator[tuple[datetime, datetime, float]]:
        """Split `[start_at, end_at)` at the grid: (start, end, gCO2e per kWh) in order of time.

        Raises:
            OutsideDataError: Part of the interval lies outside the series.
        """
        if start_at == end_at:
            return
        if start_at < self.start_at or end_at > self.end_at or end_at < start_at:
            raise self._outside(start_at, end_at)
        index, left = math.floor(self._position(start_at)), start_at
        while left < end_at:
            right = min(end_at, self.start_at + timedelta(seconds=self.step_s * (index + 1)))
            yield left, right, float(self.values_gco2_per_kwh[index])
            index, left = index + 1, right

    def mean(self, start_at: datetime, end_at: datetime) -> float:
        """Time-weighted mean over a non-empty `[start_at, end_at)`, gCO2e per kWh.

        Raises:
            OutsideDataError: Part of the interval lies outside the series, or it is empty.
        """
        return float(self.resample(start_at, (end_at - start_at).total_seconds(), 1)[0])

    def resample(self, start_at: datetime, step_s: float, count: int) -> FloatArray:
        """Time-weighted means over `count` consecutive intervals of `step_s` seconds, shape (count,).

        Raises:
            OutsideDataError: Part of the range lies outside the series, or the step is not above zero.
        """
        first = self._position(start_at)
        if step_s <= 0 or first < 0 or first + count * (step_s / self.step_s) > len(self) + _ROUNDING:
            raise self._outside(start_at, start_at + timedelta(seconds=step_s * count))
        return resampled(self.values_gco2_per_kwh, first, step_s / self.step_s, count)

    def window(self, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that lie in `[start_at, end_at)`; both ends must be on the grid.

        Raises:
            OutsideDataError: The window is empty, off the grid or outside the series.
        """
        first, last = self._position(start_at), self._position(end_at)
        if first != int(first) or last != int(last) or not 0 <= first < last <= len(self):
            raise self._outside(start_at, end_at)
        values = self.values_gco2_per_kwh[int(first) : int(last)]
        return IntensitySeries(
            zone=self.zone, kind=self.kind, start_at=start_at, step_s=self.step_s, values_gco2_per_kwh=values, provenance=self.provenance
        )


def checked_intensities(values: Sequence[float] | FloatArray, zone: str) -> FloatArray:
    """The values, read-only.

    Raises:
        ValueError: They are not one-dimensional, there is none, or one is NaN, infinite or negative.
    """
    frozen = frozen_array(values)
    if frozen.ndim != 1 or not len(frozen):
        raise ValueError("values_gco2_per_kwh must be one-dimensional and not empty")
    if not (np.minimum.reduce(frozen) >= 0 and np.maximum.reduce(frozen) < np.inf):  # NaN is neither
        raise ValueError(f"zone {zone}: an intensity is NaN, infinite or negative")
    return frozen


def resampled(values: FloatArray, first: float, ratio: float, count: int) -> FloatArray:
    """Means of piecewise constant values over `count` consecutive steps, along the first axis.

    Args:
        values: One row an interval, not negative; further axes are taken side by side.
        first: Where the first step begins, in intervals; not negative.
        ratio: Length of a step in intervals, above 0.
        count: Steps; they end inside the values.
    """
    if ratio == 1 and first == int(first):
        return values[int(first) : int(first) + count].copy()
    edges = np.minimum(first + np.arange(count + 1) * ratio, len(values))
    integral = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=integral[1:])
    whole = np.minimum(edges.astype(int), len(values) - 1)
    part = (edges - whole).reshape(-1, *[1] * (values.ndim - 1))
    at_edges = integral[whole] + part * values[whole]
    means: FloatArray = (at_edges[1:] - at_edges[:-1]) / ratio
    return np.maximum(means, 0.0, out=means)


def require_one_kind(kinds: Sequence[IntensityKind]) -> IntensityKind:
    """The kind that all have in common.

    Raises:
        UnitMismatchError: There are several kinds, or none.
    """
    distinct = set(kinds)
    if len(distinct) != 1:
        raise UnitMismatchError(f"intensities of one kind are needed, got {sorted(distinct) or 'none'}")
    return distinct.pop()
