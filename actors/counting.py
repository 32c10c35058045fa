"""What a live workload, and run-now in its place, have emitted until now: what the guard against backfire goes by.

Priced segments count as the ledger has them, all others by the same arithmetic with the intensity as it was seen. Run-now is
that of the reports. Nothing here must survive: the ledger holds what is summed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from carbon_ray.actors.pricing import Pricing, energy_of
from carbon_ray.actors.progress import run_now_startup_s
from carbon_ray.actors.seen_intensity import SeenIntensity
from carbon_ray.core.errors import CarbonRayError, NoCapacityError, UnknownRegionError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.ledger import EnergyStretch, Segment, as_of, energy_stretches, run_now_segment
from carbon_ray.core.region import Region
from carbon_ray.core.workload import Progress, Workload

log = logging.getLogger(__name__)


class Counting:
    """Counts emissions of live workloads.

    Args:
        regions: The cluster's regions.
        pricing: What the ledger says of priced segments.
        seen: Intensity of the past.
        slot_s: Length of a planning slot, seconds.
    """

    def __init__(self, regions: Mapping[str, Region], pricing: Pricing, seen: SeenIntensity, slot_s: float) -> None:
        self._regions, self._pricing, self._seen, self._slot = regions, pricing, seen, timedelta(seconds=slot_s)

    def counted(
        self, progress: Progress, workload: Workload, segments: Sequence[Segment], snapshot: ForecastSnapshot, *, now: datetime
    ) -> Progress:
        """The progress with what is known of emissions; None stays where part of the past is not known.

        Args:
            progress: Of the workload.
            workload: With its start-up and its length as measured so far.
            segments: Its segments in order.
            snapshot: The newest forecasts.
            now: Cluster's clock.
        """
        emitted_gco2 = run_now_gco2 = last_gco2_per_kwh = None
        try:
            emitted_gco2 = self.emitted_gco2(workload, segments, snapshot, now=now)
            run_now_gco2 = self.run_now_gco2(workload, segments, snapshot, now=now)
        except CarbonRayError as error:
            log.debug("%s: not counted: %s", workload.workload_id, error)
        try:
            last_gco2_per_kwh = self._last_gco2_per_kwh(progress, segments, snapshot, now)
        except CarbonRayError as error:
            log.debug("%s: the slot before is not known: %s", workload.workload_id, error)
        return replace(progress, emitted_gco2=emitted_gco2, run_now_gco2=run_now_gco2, last_gco2_per_kwh=last_gco2_per_kwh)

    def emitted_gco2(self, workload: Workload, segments: Sequence[Segment], snapshot: ForecastSnapshot, *, now: datetime) -> float:
        """Emissions of all segments until now, g.

        Raises:
            OutsideDataError: Part of the past is not known.
            ConfigError: A node type that was held is no longer configured.
        """
        booked, total_gco2 = self._pricing.booked(workload.workload_id), 0.0
        for segment in segments:
            known = booked.get(segment.index)
            if known is not None and all(known.kind in (None, forecast.kind) for forecast in snapshot.forecasts.values()):
                total_gco2 += known.gco2
            else:
                stretches, region = energy_of(segment, workload, self._regions, now)
                total_gco2 += self._sum_gco2(stretches, region, snapshot)
        return total_gco2

    def run_now_gco2(self, workload: Workload, segments: Sequence[Segment], snapshot: ForecastSnapshot, *, now: datetime) -> float:
        """What the same work, started at its submission at home, would have emitted until now, g.

        Raises:
            OutsideDataError: Part of the past is not known.
            UnknownRegionError, NoCapacityError: Home is not configured, or cannot hold the workload.
        """
        home = self._regions.get(workload.home_region)
        if home is None:
            raise UnknownRegionError(workload.home_region, tuple(self._regions))
        held = home.node_type_for(workload.workers, workload.resources_per_worker)
        if held is None:
            raise NoCapacityError(f"home region {home.name} cannot hold the {workload.workers} workers of {workload.workload_id}")
        node_type, nodes = held
        startup_s = run_now_startup_s(segments, workload.overheads.startup_s)
        whole = run_now_segment(workload, node_type, nodes, workload.work_h, startup_s)
        stretches = energy_stretches(as_of(whole, now), node_type, workload.utilisation_fraction, now)
        return self._sum_gco2(stretches, home, snapshot)

    def _sum_gco2(self, stretches: Iterable[EnergyStretch], region: Region, snapshot: ForecastSnapshot) -> float:
        """As `core.ledger.price` sums up to, without its pieces: a mean for each stretch."""
        return sum(
            stretch.energy_kwh * region.pue * self._seen.mean(snapshot, region.zone, stretch.start_at, stretch.end_at)
            for stretch in stretches
        )

    def _last_gco2_per_kwh(
        self, progress: Progress, segments: Sequence[Segment], snapshot: ForecastSnapshot, now: datetime
    ) -> float | None:
        """Intensity of the slot that has just run, where steps are made: a checkpoint written now belongs to it."""
        current = segments[-1] if segments else None
        if not progress.is_running or current is None or current.end_at is not None or current.running_at is None:
            return None
        if current.region != progress.region or current.region not in self._regions or current.start_at >= now:
            return None
        start_at = max(current.start_at, now - self._slot)
        return self._seen.mean(snapshot, self._regions[current.region].zone, start_at, now)
