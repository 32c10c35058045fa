"""The counterfactual of a sweep: the same running seconds from its start on, at full concurrency, without a hold."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.units import kwh

Actual = Callable[[str, datetime, datetime], IntensitySeries]
"""Intensity of a zone that came true over a window."""


def run_at_once_gco2(
    running_s: Iterable[float], concurrency: int, started_at: datetime, *, zone: str, pue: float, power_w: float, actual: Actual
) -> float | None:
    """Emissions of the sweep had its trials run one after the other in `concurrency` places from the start on, g.

    Args:
        running_s: Seconds that each trial held its place, in the order in which the trials came.
        concurrency: Places.
        started_at: Start of the sweep, aware UTC.
        zone: Grid zone of the first region.
        pue: Of the first region.
        power_w: What a trial draws there.
        actual: Tells what came true.

    Returns:
        None where the grid of those hours is not known.
    """
    spans, places = [], [0.0] * max(1, concurrency)
    for span_s in running_s:
        begin_s = heapq.heappop(places)
        heapq.heappush(places, begin_s + span_s)
        if span_s > 0:
            spans.append((started_at + timedelta(seconds=begin_s), started_at + timedelta(seconds=begin_s + span_s)))
    if not spans:
        return 0.0
    try:
        series = actual(zone, started_at, max(end_at for _, end_at in spans))
        pieces = [piece for start_at, end_at in spans for piece in series.pieces(start_at, end_at)]
    except CarbonRayError:
        return None
    return sum(kwh(power_w * pue, end_at - start_at) * gco2_per_kwh for start_at, end_at, gco2_per_kwh in pieces)
