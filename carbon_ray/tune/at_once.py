"""The counterfactual of a sweep: the same running seconds from its start on, at full concurrency, without a hold."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.units import kwh
from carbon_ray.tune.ledger import Interval

IntervalAt = Callable[[str, datetime], Interval]
"""The interval of a zone's intensity that an instant lies in, as it came true or is known best."""


def run_at_once_gco2(
    running_s: Iterable[float], concurrency: int, started_at: datetime, *, zone: str, pue: float, power_w: float, interval_at: IntervalAt
) -> float | None:
    """Emissions of the sweep had its trials run one after the other in `concurrency` places from the start on, g.

    Args:
        running_s: Seconds that each trial held its place, in the order in which the trials came.
        concurrency: Places.
        started_at: Start of the sweep, aware UTC.
        zone: Grid zone of the first region.
        pue: Of the first region.
        power_w: What a trial draws there.
        interval_at: Tells the intensity.

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
    total_gco2, known = 0.0, dict[datetime, Interval]()
    for start_at, end_at in spans:
        at = start_at
        while at < end_at:
            hour_at = at.replace(minute=0, second=0, microsecond=0)
            try:
                interval = known.get(hour_at)
                if interval is None or not interval.start_at <= at < interval.end_at:
                    interval = known[hour_at] = interval_at(zone, at)
            except CarbonRayError:
                return None
            until_at = min(end_at, interval.end_at, hour_at + timedelta(hours=1))
            total_gco2 += kwh(power_w * pue, until_at - at) * interval.gco2_per_kwh
            at = until_at
    return total_gco2
