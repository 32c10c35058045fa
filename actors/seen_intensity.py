"""Intensity of the past as the forecast service has seen it: what came true up to the newest forecast, from there on that forecast.

The service is asked once for each zone and snapshot, whoever wants to know; what it could not tell is not asked again before
the next one.
"""

from __future__ import annotations

import logging
from datetime import datetime

from carbon_ray.actors.ports import ForecastPort
from carbon_ray.core.errors import CarbonRayError, OutsideDataError, ProviderError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.units import hours

log = logging.getLogger(__name__)


class SeenIntensity:
    """Remembers what came true until the newest forecast.

    Args:
        forecasts: Who knows it.
    """

    def __init__(self, forecasts: ForecastPort) -> None:
        self._forecasts = forecasts
        self._seen_with: tuple[int, datetime] | None = None
        self._actual: dict[str, IntensitySeries] = {}
        self._expected: dict[str, IntensitySeries] = {}
        self._missing_at: dict[str, datetime] = {}

    def mean(self, snapshot: ForecastSnapshot, zone: str, start_at: datetime, end_at: datetime) -> float:
        """Time-weighted mean over a non-empty stretch of the past, gCO2e per kWh.

        The interval that is under way counts at the snapshot's median: nobody can know it yet. What lies before the snapshot and is
        not known to have come true is not replaced by anything.

        Args:
            snapshot: The newest forecasts.
            zone: Grid zone.
            start_at: Aware UTC.
            end_at: Not after now, aware UTC.

        Raises:
            OutsideDataError: Part of the stretch is not known.
            UnknownZoneError: The snapshot lacks the zone.
        """
        self._renew(snapshot)
        expected = self._expected.get(zone)
        if expected is None:
            expected = self._expected[zone] = snapshot[zone].median
        seam_at = expected.start_at
        if end_at <= seam_at:
            return self._known(zone, start_at, seam_at).mean(start_at, end_at)
        if start_at >= seam_at:
            return expected.mean(start_at, end_at)
        before_h, after_h = hours(seam_at - start_at), hours(end_at - seam_at)
        before = self._known(zone, start_at, seam_at).mean(start_at, seam_at)
        return (before * before_h + expected.mean(seam_at, end_at) * after_h) / (before_h + after_h)

    def _renew(self, snapshot: ForecastSnapshot) -> None:
        seen_with = (snapshot.version, snapshot.issued_at)  # a service that has lost its state counts from 1 again
        if seen_with != self._seen_with:
            self._seen_with = seen_with
            self._actual, self._expected, self._missing_at = {}, {}, {}

    def _known(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """What came true over at least `[start_at, end_at)`."""
        actual = self._actual.get(zone)
        if actual is not None and actual.start_at <= start_at:
            return actual
        missing_at = self._missing_at.get(zone)
        if missing_at is None or start_at > missing_at:
            try:
                self._actual[zone] = self._forecasts.actual(zone, start_at, end_at)
                return self._actual[zone]
            except (OutsideDataError, ProviderError) as error:
                self._missing_at[zone] = start_at
                log.info("what came true in %s since %s is not known (%s)", zone, f"{start_at:%Y-%m-%dT%H:%MZ}", error)
            except CarbonRayError as error:  # nobody answers, which takes long to find out
                self._missing_at[zone] = end_at
                log.info("what came true in %s is not known (%s)", zone, error)
        raise OutsideDataError(
            f"zone {zone}: what came true in [{start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}) is not known; it is asked for again "
            "with the next forecast"
        )
