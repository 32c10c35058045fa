"""What a policy is shown at a round: where each job stands, the newest forecasts, and which regions give no nodes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from carbon_ray.core.workload import Progress
from carbon_ray.policies.base import Surroundings
from carbon_ray.sim.forecasts import ForecastSource
from carbon_ray.sim.live import LiveJob, State
from carbon_ray.sim.nodes import Nodes
from carbon_ray.sim.world import World

_LOOK_AHEAD = timedelta(days=1)
"""Forecasts reach at least so far: a job that is late is planned in slots that end after its deadline."""


class Observer:
    """Looks at the simulated cluster as the controller looks at a real one.

    Args:
        world: Where.
        nodes: Whose nodes are free.
        source: Forecasts.
        origin_at: Second 0, aware UTC.
    """

    def __init__(self, world: World, nodes: Nodes, source: ForecastSource, origin_at: datetime) -> None:
        self._world, self._nodes, self._source, self._origin = world, nodes, source, origin_at
        self._blocked: dict[str, float] = {}
        self._open: Surroundings | None = None

    def leave_out(self, region: str, until_s: float) -> None:
        """Show a region as full until then."""
        self._blocked[region] = until_s

    def look(self, jobs: Iterable[LiveJob], now: datetime, now_s: float) -> None:
        """Get the newest forecasts, to the last deadline of the jobs."""
        self._blocked = {region: until_s for region, until_s in self._blocked.items() if until_s > now_s}
        snapshot = self._source.snapshot(now, max(now + _LOOK_AHEAD, *(job.workload.deadline_at for job in jobs)))
        if self._open is None or snapshot is not self._open.snapshot:
            self._open = Surroundings(regions=self._world.regions, snapshot=snapshot)

    def progress(self, job: LiveJob, now_s: float) -> Progress:
        """Where a job stands: as told, even while its nodes still start. What was emitted until now counts as measured."""
        remaining_h, remaining_high_h = job.seen_h(now_s)
        return Progress(
            remaining_h=remaining_h,
            remaining_high_h=remaining_high_h,
            region=job.target.region if job.target else job.region,
            is_running=job.target is not None,
            is_started=job.is_started,
            since_at=None if job.told_s is None else self._at(job.told_s),
            starting_s=job.starting_s(now_s),
            emitted_gco2=job.emitted_gco2(now_s),
            run_now_gco2=job.run_now.gco2_until(now_s),
            workers=job.target.workers if job.target else None,
            moves=job.books.moves,
            spent_usd=job.spent_usd(now_s),
            last_gco2_per_kwh=job.last_gco2_per_kwh(now_s),
        )

    def is_open_to(self, jobs: Iterable[LiveJob]) -> bool:
        """True if nothing is closed to anyone, and these jobs together fill no node type: all of them see the same."""
        return not self._blocked and self._nodes.has_room_for(sum(max(job.workload.counts) for job in jobs))

    def around(self, now_s: float, job: LiveJob | None = None) -> Surroundings:
        """The world as all jobs see it, or as one does: that a region gives no more does not concern who has its nodes there."""
        assert self._open is not None
        closed, regions = set(self._blocked), self._world.regions
        if job is not None and job.held is not None and job.state is not State.STOPPING:
            closed.discard(job.held.region)
        if job is not None and self._nodes.is_scarce:
            own = job.held or job.reserved
            regions = self._nodes.regions_for(job.workload, own)
            closed |= self._nodes.full_for(job.workload) - ({own.region} if own is not None else set())
        if not closed and regions is self._world.regions:
            return self._open
        full_until_s = now_s + self._world.physics.block_s
        until_at = {region: self._at(self._blocked.get(region, full_until_s)) for region in sorted(closed)}
        return Surroundings(regions=regions, snapshot=self._open.snapshot, blocked_until=until_at)

    def _at(self, second: float) -> datetime:
        return self._origin + timedelta(seconds=second)
