"""From what the controller's books hold of one workload to its report, the clairvoyant run included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from carbon_ray.actors.progress import measured_startup_s
from carbon_ray.actors.views import Books
from carbon_ray.books.records import NodeEvent, NodeEventKind
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.errors import DeadlinePassed, DeadlineTooShort, UnknownRegionError, UnknownZoneError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.ledger import Outcome, Segment, Totals
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.replan import Replan
from carbon_ray.reports.assemble import ClairvoyantRun, assemble, useful_running_h
from carbon_ray.reports.run_report import RunReport


def report_from_books(
    books: Books,
    config: ClusterConfig,
    truth: Mapping[str, IntensitySeries],
    *,
    forecaster: str,
    clock: str,
    bit_equal: bool | None,
    now: datetime,
) -> tuple[RunReport, Mapping[str, IntensitySeries]]:
    """The report of a settled workload, and the intensities that its page draws, by region.

    Args:
        books: What the ledger holds of the workload.
        config: The cluster that it ran on.
        truth: Intensity that came true, by zone, at least from submission to finish, for the zones of all regions that the
            workload was allowed, came to, or has as its home. The clairvoyant run is computed where it reaches the deadline.
        forecaster: Name of the forecast model.
        clock: Which time the cluster lived in, in words.
        bit_equal: Whether the result equals that of an uninterrupted run; None where it was not compared.
        now: When the report is made, aware UTC.

    Raises:
        UnknownRegionError: A region of the workload is not in the configuration.
        UnknownZoneError: The truth lacks a zone.
        LedgerError, OutsideDataError, UnitMismatchError, ConfigError: As `assemble`.
    """
    workload = books.record.workload
    segments = sorted(books.segments, key=lambda segment: segment.index)
    names = dict.fromkeys((*workload.regions, workload.home_region, *(segment.region for segment in segments)))
    intensity = {name: _of_region(name, config, truth) for name in names}
    repeated = repeated_steps(segments)
    report = assemble(
        workload=workload,
        segments=segments,
        emissions=books.emissions,
        segment_totals=books.segment_totals,
        ledger_totals=books.totals,
        decisions=books.decisions,
        node_events=_during(books.node_events, workload, segments),
        regions=config.regions,
        intensity=intensity,
        clairvoyant=_clairvoyant(workload, segments, repeated.total, config, intensity),
        lost_steps=repeated.lost,
        redone_steps=repeated.redone,
        bit_equal=bit_equal,
        forecaster=forecaster,
        provenance=(f"clock: {clock}",),
        now=now,
    )
    return report, intensity


def _of_region(name: str, config: ClusterConfig, truth: Mapping[str, IntensitySeries]) -> IntensitySeries:
    if name not in config.regions:
        raise UnknownRegionError(name, tuple(config.regions))
    zone = config.regions[name].zone
    if zone not in truth:
        raise UnknownZoneError(zone, tuple(truth))
    return truth[zone]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedSteps:
    """Steps that were made more than once, each repetition counted in one of the two.

    Attributes:
        lost: A planned stop, or a checkpoint that was durable, should have carried them over and did not.
        redone: Made after the last checkpoint before the loss of a node or a failure, and so made again.
    """

    lost: int
    redone: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.lost + self.redone


def repeated_steps(segments: Sequence[Segment]) -> RepeatedSteps:
    """Count the steps made more than once. Segments that never came to a step carry nothing and are passed over."""
    stepped = [segment for segment in sorted(segments, key=lambda segment: segment.index) if segment.start_step is not None]
    lost = redone = 0
    for before, after in pairwise(stepped):
        resumed_at_step = after.start_step or 0
        # A segment that was lost before its first own checkpoint still rests on the one that it began from.
        durable_step = max(before.start_step or 0, before.end_step)
        repeated = max(0, max(durable_step, before.reached_step) - resumed_at_step)
        own = repeated if before.outcome is Outcome.SUSPENDED else max(0, durable_step - resumed_at_step)
        lost, redone = lost + own, redone + repeated - own
    return RepeatedSteps(lost=lost, redone=redone)


def _during(events: Sequence[NodeEvent], workload: Workload, segments: Sequence[Segment]) -> list[NodeEvent]:
    """All events of the nodes that were there at some time between submission and finish."""
    finished_at = max([segment.end_at or segment.start_at for segment in segments], default=workload.submitted_at)
    left_before = {event.node_id for event in events if event.kind is NodeEventKind.REMOVED and event.at < workload.submitted_at}
    came_after = {event.node_id for event in events if event.kind is NodeEventKind.ADDED and event.at > finished_at}
    return [event for event in events if event.node_id not in left_before | came_after]


def _clairvoyant(
    workload: Workload, segments: Sequence[Segment], repeated: int, config: ClusterConfig, intensity: Mapping[str, IntensitySeries]
) -> ClairvoyantRun | None:
    """The best plan for the work as it really was; None where the truth ends before the deadline or no plan would have met it."""
    running_h = useful_running_h(segments, repeated, workload)
    known = [intensity[name] for name in workload.regions]
    is_known = all(series.start_at <= workload.submitted_at and series.end_at >= workload.deadline_at for series in known)
    if not is_known or running_h <= 0:
        return None
    startup_s = measured_startup_s(segments)
    overheads = workload.overheads if startup_s is None else replace(workload.overheads, startup_s=startup_s)
    # The margin is there for what is not known; the real run was free to use it up, so the bound must be, too.
    actual = replace(workload, work_h=running_h, overheads=overheads, safety_margin_s=0.0)
    snapshot = ForecastSnapshot(
        version=0,
        issued_at=workload.submitted_at,
        forecasts={series.zone: Forecast.certain(series, workload.submitted_at) for series in known},
    )
    policy = Replan(slot_s=config.carbon.controller.slot_s, hysteresis_fraction=0.0)
    around = Surroundings(regions=config.regions, snapshot=snapshot)
    try:
        policy.require_feasible(actual, around, now=workload.submitted_at)
    except (DeadlinePassed, DeadlineTooShort):
        return None
    plan, _ = policy.decide(actual, Progress(remaining_h=running_h, region=workload.home_region), around, now=workload.submitted_at)
    expected = plan.expected
    held_h = sum(hours(min(step.end_at, expected.finish_at) - step.start_at) for step in plan.steps if step.region is not None)
    return ClairvoyantRun(
        totals=Totals(energy_kwh=expected.energy_kwh, gco2=expected.gco2, usd=expected.usd, held_h=held_h),
        finish_at=expected.finish_at,
        suspends=expected.suspends,
        moves=expected.moves,
    )
