"""What is expected of the grid: one zone's forecast, and the immutable snapshot of many zones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ForecastHorizonError, StaleForecastError, UnknownZoneError
from carbon_ray.core.intensity import (
    FloatArray,
    IntensityKind,
    IntensitySeries,
    Provenance,
    checked_intensities,
    require_one_kind,
    resampled,
)

MEDIAN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """Expected intensity of one zone, as it was known at `issued_at`.

    Attributes:
        zone: Grid zone.
        kind: What is counted.
        issued_at: Nothing later than this instant was used, aware UTC.
        start_at: Start of the first interval, aware UTC.
        step_s: Length of every half-open interval, seconds.
        quantiles_gco2_per_kwh: For each level in (0, 1) one value an interval; the median is always there.
        forecaster: Name of the model.
        provenance: Where the history came from.
    """

    zone: str
    kind: IntensityKind
    issued_at: datetime
    start_at: datetime
    step_s: float
    quantiles_gco2_per_kwh: Mapping[float, FloatArray] = field(repr=False)
    forecaster: str
    provenance: Provenance

    def __post_init__(self) -> None:
        require_utc(self.issued_at, "issued_at")
        require_utc(self.start_at, "start_at")
        if not self.step_s > 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        quantiles = {level: checked_intensities(values, self.zone) for level, values in sorted(self.quantiles_gco2_per_kwh.items())}
        if MEDIAN not in quantiles or any(not 0 < level < 1 for level in quantiles):
            raise ValueError("a forecast needs the 0.5 quantile, and levels strictly between 0 and 1")
        if len({len(values) for values in quantiles.values()}) != 1:
            raise ValueError("all quantiles of a forecast must have the same length")
        object.__setattr__(self, "quantiles_gco2_per_kwh", quantiles)

    @classmethod
    def certain(cls, series: IntensitySeries, issued_at: datetime) -> Forecast:
        """A forecast that says exactly what the series holds: for what came true, not for what is to come."""
        return cls(
            zone=series.zone,
            kind=series.kind,
            issued_at=issued_at,
            start_at=series.start_at,
            step_s=series.step_s,
            quantiles_gco2_per_kwh={MEDIAN: series.values_gco2_per_kwh},
            forecaster="truth",
            provenance=series.provenance,
        )

    @property
    def median(self) -> IntensitySeries:
        """The median as a series."""
        return self.quantile(MEDIAN)

    @property
    def end_at(self) -> datetime:
        """End of the last interval; itself outside the forecast."""
        return self.start_at + timedelta(seconds=self.step_s * len(self.quantiles_gco2_per_kwh[MEDIAN]))

    def quantile(self, level: float) -> IntensitySeries:
        """One quantile as a series.

        Raises:
            KeyError: The forecast has no such level.
        """
        return IntensitySeries(
            zone=self.zone,
            kind=self.kind,
            start_at=self.start_at,
            step_s=self.step_s,
            values_gco2_per_kwh=self.quantiles_gco2_per_kwh[level],
            provenance=self.provenance,
        )

    def resample(self, start_at: datetime, step_s: float, count: int, level: float = MEDIAN) -> FloatArray:
        """Time-weighted means of one quantile over `count` intervals of `step_s` seconds, shape (count,).

        Raises:
            ForecastHorizonError: Part of the range lies outside the forecast.
        """
        first = self.position(start_at, step_s, count)
        return resampled(self.quantiles_gco2_per_kwh[level], first, step_s / self.step_s, count)

    def position(self, start_at: datetime, step_s: float, count: int) -> float:
        """Where `count` intervals of `step_s` seconds begin, in intervals of the forecast.

        Raises:
            ForecastHorizonError: Part of the range lies outside the forecast.
        """
        end_at = start_at + timedelta(seconds=step_s * count)
        if start_at < self.start_at or end_at > self.end_at:
            raise ForecastHorizonError(
                f"zone {self.zone}: the forecast issued at {self.issued_at:%Y-%m-%dT%H:%MZ} covers "
                f"[{self.start_at:%Y-%m-%dT%H:%MZ}, {self.end_at:%Y-%m-%dT%H:%MZ}), not "
                f"[{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ})"
            )
        return (require_utc(start_at) - self.start_at).total_seconds() / self.step_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSnapshot:
    """Forecasts of many zones under one version; immutable, shared between processes.

    Attributes:
        version: Grows by one with every publication; 0 before the first.
        issued_at: When the snapshot was made, aware UTC.
        forecasts: By zone.
    """

    version: int
    issued_at: datetime
    forecasts: Mapping[str, Forecast]

    def __post_init__(self) -> None:
        require_utc(self.issued_at, "issued_at")
        if self.forecasts:
            require_one_kind([forecast.kind for forecast in self.forecasts.values()])

    def __getitem__(self, zone: str) -> Forecast:
        """The zone's forecast.

        Raises:
            UnknownZoneError: The snapshot has no such zone.
        """
        try:
            return self.forecasts[zone]
        except KeyError:
            raise UnknownZoneError(zone, tuple(self.forecasts)) from None

    def require_fresh(self, now: datetime, max_age_s: float) -> ForecastSnapshot:
        """Return the snapshot itself if it is not too old.

        Raises:
            StaleForecastError: It was issued more than `max_age_s` seconds before `now`.
        """
        if (now - self.issued_at).total_seconds() > max_age_s:
            raise StaleForecastError(self.issued_at, max_age_s)
        return self
