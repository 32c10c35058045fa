"""What a source has of a window, gaps and all: values on a regular grid, each with its provenance.

A gap is NaN here, never zero, and stays one unless somebody asks for a bridge. `IntensitySeries` is what is left when there is
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ProviderNoDataError
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value with all that is known of it.

    Attributes:
        zone: Grid zone.
        kind: What is counted.
        start_at: Start of the half-open interval, aware UTC.
        end_at: Its end, aware UTC.
        value_gco2_per_kwh: Intensity; None for a gap.
        is_forecast: True for what had not come true when it was issued.
        is_estimated: True where the source says that it was not measured; None where it does not say.
        provider: Name of the source.
        issued_at: When the source issued or last revised it, aware UTC; None where it does not say.
        fetched_at: When it was fetched, aware UTC.
    """

    zone: str
    kind: IntensityKind
    start_at: datetime
    end_at: datetime
    value_gco2_per_kwh: float | None
    is_forecast: bool
    is_estimated: bool | None
    provider: str
    issued_at: datetime | None
    fetched_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """Consecutive readings of one zone on a regular grid.

    Attributes:
        zone: Grid zone.
        kind: What is counted.
        start_at: Start of the first interval, aware UTC.
        step_s: Length of every half-open interval, seconds.
        values_gco2_per_kwh: One value an interval, NaN for a gap, otherwise finite and not negative; shape (n,), n at least 1.
        is_estimated: True where the source says that a value was not measured, shape (n,); None where it does not say.
        is_forecast: True if the values had not come true when they were issued.
        provenance: Where they came from; its `estimated_fraction` is that of the values that are there.
    """

    zone: str
    kind: IntensityKind
    start_at: datetime
    step_s: float
    values_gco2_per_kwh: FloatArray = field(repr=False)
    is_estimated: BoolArray | None = field(default=None, repr=False)
    is_forecast: bool = False
    provenance: Provenance

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        if not self.step_s > 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        values = np.array(self.values_gco2_per_kwh, dtype=np.float64)
        if values.ndim != 1 or not len(values) or np.isinf(values).any() or (values < 0).any():
            raise ValueError(f"zone {self.zone}: readings must be one-dimensional, not empty, and 0 or above, or NaN for a gap")
        values.setflags(write=False)
        object.__setattr__(self, "values_gco2_per_kwh", values)
        fraction = None
        if self.is_estimated is not None:
            marks = np.array(self.is_estimated, dtype=np.bool_)
            if marks.shape != values.shape:
                raise ValueError(f"is_estimated has shape {marks.shape}, the values {values.shape}")
            marks.setflags(write=False)
            object.__setattr__(self, "is_estimated", marks)
            there = ~np.isnan(values)
            fraction = float(marks[there].mean()) if there.any() else None
        object.__setattr__(self, "provenance", replace(self.provenance, estimated_fraction=fraction))

    def __len__(self) -> int:
        return len(self.values_gco2_per_kwh)

    @property
    def end_at(self) -> datetime:
        """End of the last interval; itself outside the readings."""
        return self.start_at + timedelta(seconds=self.step_s * len(self))

    @property
    def count(self) -> int:
        """Number of values that are there."""
        return int((~np.isnan(self.values_gco2_per_kwh)).sum())

    def __iter__(self) -> Iterator[Reading]:
        """All intervals in order of time, gaps too."""
        step = timedelta(seconds=self.step_s)
        for index, value in enumerate(self.values_gco2_per_kwh.tolist()):
            yield Reading(
                zone=self.zone,
                kind=self.kind,
                start_at=self.start_at + index * step,
                end_at=self.start_at + (index + 1) * step,
                value_gco2_per_kwh=None if value != value else value,
                is_forecast=self.is_forecast,
                is_estimated=None if self.is_estimated is None else bool(self.is_estimated[index]),
                provider=self.provenance.provider,
                issued_at=self.provenance.issued_at,
                fetched_at=self.provenance.fetched_at,
            )

    def gaps(self) -> tuple[tuple[datetime, datetime], ...]:
        """Half-open intervals without a value, joined where they touch, in order of time."""
        step = timedelta(seconds=self.step_s)
        missing = np.concatenate([[False], np.isnan(self.values_gco2_per_kwh), [False]])
        edges = np.flatnonzero(missing[1:] != missing[:-1])
        return tuple(
            (self.start_at + int(first) * step, self.start_at + int(last) * step)
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        )

    def window(self, start_at: datetime, end_at: datetime) -> Readings | None:
        """The intervals that intersect `[start_at, end_at)`; None where there is none."""
        step = timedelta(seconds=self.step_s)
        first = max(0, (start_at - self.start_at) // step)
        last = min(len(self), -((self.start_at - end_at) // step))
        if first >= last or start_at >= end_at:
            return None
        return replace(
            self,
            start_at=self.start_at + first * step,
            values_gco2_per_kwh=self.values_gco2_per_kwh[first:last],
            is_estimated=None if self.is_estimated is None else self.is_estimated[first:last],
        )

    def trimmed(self) -> Readings | None:
        """From the first to the last value; None where there is none."""
        there, step = np.flatnonzero(~np.isnan(self.values_gco2_per_kwh)), timedelta(seconds=self.step_s)
        if not len(there):
            return None
        return self.window(self.start_at + int(there[0]) * step, self.start_at + (int(there[-1]) + 1) * step)

    def bridged(self, longest_s: float) -> Readings:
        """The readings with short gaps bridged by a straight line, each such value marked as estimated and told in the provenance.

        For a forecaster, which can do with a guessed hour better than with none; never for pricing what was emitted.

        Args:
            longest_s: Gaps up to so many seconds are bridged; longer ones, and those at either end, stay.
        """
        values = np.array(self.values_gco2_per_kwh)
        marks = np.zeros(len(values), dtype=np.bool_) if self.is_estimated is None else np.array(self.is_estimated)
        missing = np.isnan(values)
        positions, there = np.arange(len(values)), np.flatnonzero(~missing)
        count = 0
        for left, right in self.gaps():
            first, last = (round((instant - self.start_at).total_seconds() / self.step_s) for instant in (left, right))
            if (right - left).total_seconds() <= longest_s and first > 0 and last < len(values):
                values[first:last] = np.interp(positions[first:last], there, values[there])
                marks[first:last] = True
                count += last - first
        if not count:
            return self
        detail = "; ".join(part for part in (self.provenance.detail, f"{count} of {len(values)} intervals bridged") if part)
        return replace(self, values_gco2_per_kwh=values, is_estimated=marks, provenance=replace(self.provenance, detail=detail))

    def last_run(self) -> IntensitySeries:
        """The newest stretch without a gap.

        Raises:
            ProviderNoDataError: Every interval is a gap.
        """
        there = np.flatnonzero(~np.isnan(self.values_gco2_per_kwh))
        if not len(there):
            return self.series()  # which says so
        last = int(there[-1]) + 1
        before = np.flatnonzero(np.isnan(self.values_gco2_per_kwh[:last]))
        first = int(before[-1]) + 1 if len(before) else 0
        step = timedelta(seconds=self.step_s)
        run = self.window(self.start_at + first * step, self.start_at + last * step)
        return (run or self).series()

    def series(self) -> IntensitySeries:
        """The readings as a series.

        Raises:
            ProviderNoDataError: There is a gap; says where.
        """
        if gaps := self.gaps():
            where = ", ".join(f"[{left:%Y-%m-%dT%H:%MZ}, {right:%Y-%m-%dT%H:%MZ})" for left, right in gaps[:3])
            raise ProviderNoDataError(
                self.provenance.provider,
                self.zone,
                f"has nothing for {where}{', ...' if len(gaps) > 3 else ''}; ask for a window without gaps",
            )
        return IntensitySeries(
            zone=self.zone,
            kind=self.kind,
            start_at=self.start_at,
            step_s=self.step_s,
            values_gco2_per_kwh=self.values_gco2_per_kwh,
            provenance=self.provenance,
        )
