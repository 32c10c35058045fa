"""Fakes of the two sources of intensity: a provider that fails when told to, and a forecaster that knows the future."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from carbon_ray.core.errors import ForecastError, ProviderNoDataError, ProviderUnavailable, UnknownZoneError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, require_one_kind
from carbon_ray.forecasting.base import QUANTILES, Window
from carbon_ray.providers.base import covering


class FakeProvider:
    """Serves given series, and is unavailable after so many calls of `history`.

    Attributes:
        calls: How often `history` was called so far.
        fail_after: Number of calls that are answered before every further one fails; None to never fail. May be changed
            at any time.
        ends_at: Instant from which on it has nothing yet; None for all of its series. May be changed at any time.
        distort: What becomes of each answer before it is given, to play a source that errs; None for nothing.
        asked: Zone, start and end of every call, in order.

    Args:
        series: By zone; all of one kind.
        name: Name of the source.
        fail_after: See above.

    Raises:
        UnitMismatchError: The series are of several kinds, or there is none.
    """

    def __init__(self, series: Mapping[str, IntensitySeries], *, name: str = "fake", fail_after: int | None = None) -> None:
        self._series = dict(series)
        self._kind = require_one_kind([one.kind for one in self._series.values()])
        self._name = name
        self.fail_after = fail_after
        self.calls = 0
        self.ends_at: datetime | None = None
        self.distort: Callable[[IntensitySeries], IntensitySeries] | None = None
        self.asked: list[tuple[str, datetime, datetime]] = []

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    @property
    def kind(self) -> IntensityKind:
        """The kind of its series."""
        return self._kind

    def zones(self) -> tuple[str, ...]:
        """The zones of its series, sorted."""
        return tuple(sorted(self._series))

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals of the zone's series that intersect `[start_at, end_at)`.

        Raises:
            ProviderUnavailable: It was told to fail by now.
            UnknownZoneError: It has no such zone.
            ProviderNoDataError: Part of the window lies outside the series.
        """
        self.calls += 1
        self.asked.append((zone, start_at, end_at))
        if self.fail_after is not None and self.calls > self.fail_after:
            raise ProviderUnavailable(self.name, zone, f"told to fail after {self.fail_after} calls; set fail_after=None to go on")
        if zone not in self._series:
            raise UnknownZoneError(zone, self.zones())
        series = self._series[zone]
        if self.ends_at is not None and self.ends_at < end_at:
            raise ProviderNoDataError(self.name, zone, f"has nothing from {self.ends_at:%Y-%m-%dT%H:%MZ} on yet")
        answer = covering(series, start_at, end_at, provider=self.name)
        return answer if self.distort is None else self.distort(answer)


@dataclass(frozen=True, slots=True)
class PerfectForecaster:
    """Forecasts what will come true, at every quantile: the clairvoyant that no model beats.

    Attributes:
        truth: By zone; must reach as far as it is asked to forecast.
    """

    truth: Mapping[str, IntensitySeries]

    name: ClassVar[str] = "perfect"

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        """The truth of every zone of `history`, whose values are not looked at.

        Raises:
            UnknownZoneError: The truth of a zone is not known.
            ForecastError: The truth does not hold all of the window.
        """
        return {zone: self._one(zone, now, horizon_s) for zone in history}

    def _one(self, zone: str, now: datetime, horizon_s: float) -> Forecast:
        if zone not in self.truth:
            raise UnknownZoneError(zone, tuple(self.truth))
        truth = self.truth[zone]
        window = Window.of(truth, now=now, horizon_s=horizon_s)
        end_at = window.start_at + timedelta(seconds=window.count * truth.step_s)
        if window.first < 0 or end_at > truth.end_at:
            raise ForecastError(
                f"zone {zone}: the truth covers [{truth.start_at:%Y-%m-%dT%H:%MZ}, {truth.end_at:%Y-%m-%dT%H:%MZ}), not "
                f"[{window.start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}); give more of it or ask for less"
            )
        values = truth.values_gco2_per_kwh[window.first : window.first + window.count]
        return Forecast(
            zone=zone,
            kind=truth.kind,
            issued_at=now,
            start_at=window.start_at,
            step_s=truth.step_s,
            quantiles_gco2_per_kwh=dict.fromkeys(QUANTILES, values),
            forecaster=self.name,
            provenance=truth.provenance,
        )
