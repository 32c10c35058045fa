"""The grid of a simulated sweep: forecasts as they would have been issued, and what came true, no sooner than it did."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from benchmarks.issued import Issued
from benchmarks.traces import HourlyTable
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import OutsideDataError
from carbon_ray.core.forecast import MEDIAN, Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries, Provenance
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.expectation import HIGH, LOW


class Issues:
    """Snapshots of forecasts as issued at every hour; nothing later than the hour of issue goes into one.

    Args:
        table: Gives zones and start.
        issued: Medians and spreads.
        hours: How far each reaches.
        name: Of the forecaster.
    """

    def __init__(self, table: HourlyTable, issued: Issued, hours: int, name: str) -> None:
        self._table, self._issued, self._hours, self._name = table, issued, hours, name
        self._made: dict[int, ForecastSnapshot] = {}

    def at(self, now: datetime) -> ForecastSnapshot:
        """The newest snapshot."""
        hour = self._table.position(now)
        if hour not in self._made:
            self._made[hour] = self._snapshot(hour)
        return self._made[hour]

    def _snapshot(self, hour: int) -> ForecastSnapshot:
        median, spread = self._issued.at(hour, self._hours)
        issued_at = self._table.start_at + timedelta(hours=hour)
        away = spread * LEVELS_APART / 2
        levels = {LOW: np.maximum(median - away, 0.0), MEDIAN: np.maximum(median, 0.0), HIGH: np.maximum(median + away, 0.0)}
        return ForecastSnapshot(
            version=hour,
            issued_at=issued_at,
            forecasts={
                zone: Forecast(
                    zone=zone,
                    kind=self._table.kind,
                    issued_at=issued_at,
                    start_at=issued_at,
                    step_s=S_PER_H,
                    quantiles_gco2_per_kwh={level: values[:, index] for level, values in levels.items()},
                    forecaster=self._name,
                    provenance=Provenance(provider="trace"),
                )
                for index, zone in enumerate(self._table.zones)
            },
        )


class IssuedForecasts:
    """What a wrapped scheduler asks for forecasts and for what came true, in virtual time.

    Args:
        issues: Snapshots by hour.
        table: Truth.
        clock: The sweep's.
    """

    def __init__(self, issues: Issues, table: HourlyTable, clock: ManualClock) -> None:
        self._issues, self._table, self._clock = issues, table, clock

    def snapshot(self) -> ForecastSnapshot:
        """The newest."""
        return self._issues.at(self._clock.now())

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The hours that have passed; a sweep's books settle on them, its decisions do not see them.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
        """
        now = self._clock.now()
        if end_at > now:
            raise OutsideDataError(f"zone {zone}: {end_at:%Y-%m-%dT%H:%MZ} has not come at {now:%Y-%m-%dT%H:%MZ}")
        first, last = self._table.position(start_at), -(-(end_at - self._table.start_at) // timedelta(hours=1))
        return IntensitySeries(
            zone=zone,
            kind=self._table.kind,
            start_at=self._table.start_at + timedelta(hours=first),
            step_s=S_PER_H,
            values_gco2_per_kwh=self._table.values_gco2_per_kwh[first:last, self._table.zones.index(zone)],
            provenance=Provenance(provider="trace"),
        )
