"""What came true, as fast sums: intensity at an instant and over a stretch, in seconds from the simulation's origin."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import accumulate

from carbon_ray.core.errors import OutsideDataError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.units import S_PER_H

_ROUNDING = 1e-9


class ZoneTruth:
    """One zone's intensity that came true, with running sums: any stretch costs two look-ups, however long it is.

    Args:
        series: What came true.
        origin_at: Instant that counts as second 0, aware UTC.
    """

    __slots__ = ("_end_s", "_start_s", "_step_s", "_sums", "_values", "_zone")

    def __init__(self, series: IntensitySeries, origin_at: datetime) -> None:
        self._zone = series.zone
        self._start_s = (series.start_at - origin_at).total_seconds()
        self._step_s = series.step_s
        self._values: list[float] = series.values_gco2_per_kwh.tolist()
        self._sums: list[float] = [0.0, *accumulate(self._values)]
        self._end_s = self._start_s + self._step_s * len(self._values)

    @property
    def start_s(self) -> float:
        """Where the data begin."""
        return self._start_s

    @property
    def end_s(self) -> float:
        """Where the data end; itself outside them."""
        return self._end_s

    def at(self, t_s: float) -> float:
        """Intensity of the interval that holds the instant, gCO2e per kWh.

        Raises:
            OutsideDataError: The data do not hold it.
        """
        position = math.floor((t_s - self._start_s) / self._step_s + _ROUNDING)
        if not 0 <= position < len(self._values):
            raise self._outside(t_s)
        return self._values[position]

    def before(self, t_s: float) -> float:
        """Intensity just before the instant, gCO2e per kWh: at an edge that of the interval that ends there.

        Raises:
            OutsideDataError: The data do not hold it.
        """
        position = math.ceil((t_s - self._start_s) / self._step_s - _ROUNDING) - 1
        if not 0 <= position < len(self._values):
            raise self._outside(t_s)
        return self._values[position]

    def over(self, start_s: float, end_s: float) -> float:
        """Intensity summed over `[start_s, end_s)`, gCO2e per kWh times hours: grams for each kW that is drawn.

        Raises:
            OutsideDataError: Part of the stretch lies outside the data.
        """
        return (self._sum_to(end_s) - self._sum_to(start_s)) * self._step_s / S_PER_H if start_s < end_s else 0.0

    def _sum_to(self, t_s: float) -> float:
        edge = (t_s - self._start_s) / self._step_s
        whole = int(edge)
        if edge < 0 or edge > len(self._values) + _ROUNDING:
            raise self._outside(t_s)
        if whole >= len(self._values):
            return self._sums[-1]
        return self._sums[whole] + (edge - whole) * self._values[whole]

    def _outside(self, t_s: float) -> OutsideDataError:
        return OutsideDataError(
            f"zone {self._zone}: the simulation came to hour {t_s / S_PER_H:.1f}, but what came true is known for hours "
            f"{self._start_s / S_PER_H:.1f} to {self._end_s / S_PER_H:.1f} only; give a longer series, or less work"
        )
