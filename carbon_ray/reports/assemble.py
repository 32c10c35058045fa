"""From the ledger's values to a report. Pure arithmetic over arguments: no database, no clock, no file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from carbon_ray.actors.progress import run_now_startup_s
from carbon_ray.books.records import NodeEvent
from carbon_ray.core.decision import Change, Decision
from carbon_ray.core.errors import ConfigError, LedgerError, UnknownRegionError
from carbon_ray.core.intensity import IntensitySeries, require_one_kind
from carbon_ray.core.ledger import Emission, Outcome, Phase, Segment, Totals, energy_stretches, price, run_now_segment, totals
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.units import S_PER_H, hours
from carbon_ray.core.workload import Workload
from carbon_ray.reports.run_report import (
    Clairvoyant,
    Counterfactual,
    CurvePoint,
    DecisionRow,
    MeasuredOverheads,
    NodeEventRow,
    ReportTotals,
    RunReport,
    SegmentRow,
)

SUM_TOLERANCE = 1e-9
"""Relative difference up to which two sums of the same numbers are equal: rounding is below it, a forgotten stretch above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClairvoyantRun:
    """What the best run in hindsight would have come to, as the caller found it.

    Attributes:
        totals: Energy, emissions and cost.
        finish_at: Its end, aware UTC.
        suspends: Its pauses; None where not known.
        moves: Its changes of region; None where not known.
    """

    totals: Totals
    finish_at: datetime
    suspends: int | None = None
    moves: int | None = None


def assemble(
    *,
    workload: Workload,
    segments: Sequence[Segment],
    emissions: Mapping[int, Sequence[Emission]],
    segment_totals: Mapping[int, Totals],
    ledger_totals: Totals,
    decisions: Sequence[Decision],
    node_events: Sequence[NodeEvent],
    regions: Mapping[str, Region],
    intensity: Mapping[str, IntensitySeries],
    clairvoyant: ClairvoyantRun | None,
    lost_steps: int,
    redone_steps: int,
    bit_equal: bool | None,
    forecaster: str,
    provenance: Sequence[str],
    now: datetime,
) -> RunReport:
    """The report of a finished workload.

    Args:
        workload: As it was submitted.
        segments: All of its segments, `Ledger.segments`.
        emissions: By segment index, `Ledger.emissions`.
        segment_totals: By segment index, `Ledger.segment_totals`.
        ledger_totals: Of the whole workload, `Ledger.totals`; checked against the sum over the segments.
        decisions: `Ledger.decisions`.
        node_events: `Ledger.node_events` of the time that the report shall show.
        regions: By name; the home region and those of the segments must be there.
        intensity: What came true, by region name; the home region must be there.
        clairvoyant: The best run in hindsight; None where it was not computed.
        lost_steps: Steps that planned stops, or checkpoints that were durable, did not carry over.
        redone_steps: Steps made again after the loss of a node or a failure.
        bit_equal: Whether the result equals that of an uninterrupted run; None where it was not compared.
        forecaster: Name of the forecast model.
        provenance: Further lines on where numbers come from, such as the clock; those of energy and intensity are added here.
        now: When the report is made, aware UTC.

    Raises:
        LedgerError: The workload has not finished, a segment is not priced, or the sums differ.
        OutsideDataError: The intensity at home does not cover the run-now run.
        UnknownRegionError: The home region or its intensity is missing.
        UnitMismatchError: Intensities of several kinds are mixed.
        ConfigError: The home region cannot hold the workload.
    """
    ordered = sorted(segments, key=lambda segment: segment.index)
    _require_finished(workload, ordered, segment_totals)
    _require_equal_sums(workload, ordered, emissions, segment_totals, ledger_totals)
    finished_at = max(_end_at(segment) for segment in ordered)
    flat = [emission for segment in ordered for emission in emissions.get(segment.index, ())]
    running_h = _running_h(ordered, None)
    counterfactual, run_now_emissions = _run_now(workload, ordered, lost_steps + redone_steps, regions, intensity)
    kind = require_one_kind([emission.kind for emission in (*flat, *run_now_emissions)])
    saving_fraction = _saving(ledger_totals.gco2, counterfactual.gco2)
    best = None if clairvoyant is None else _clairvoyant(workload, clairvoyant, counterfactual)
    best_saving = None if best is None else best.saving_fraction
    shown = [workload.home_region, *(segment.region for segment in ordered)]
    return RunReport(
        workload_id=workload.workload_id,
        outcome=ordered[-1].outcome or Outcome.FAILED,
        submitted_at=workload.submitted_at,
        deadline_at=workload.deadline_at,
        finished_at=finished_at,
        deadline_met=ordered[-1].outcome is Outcome.COMPLETED and finished_at <= workload.deadline_at,
        saving_fraction=saving_fraction,
        captured_fraction=None if saving_fraction is None or not best_saving or best_saving <= 0 else saving_fraction / best_saving,
        lost_steps=lost_steps,
        redone_steps=redone_steps,
        bit_equal=bit_equal,
        suspended_h=max(0.0, hours(finished_at - workload.submitted_at) - sum(_held_h(segment) for segment in ordered)),
        suspends=_suspends(ordered, decisions),
        moves=sum(left.region != right.region for left, right in pairwise(ordered)),
        totals=ReportTotals(
            energy_kwh=ledger_totals.energy_kwh,
            gco2=ledger_totals.gco2,
            usd=ledger_totals.usd,
            held_h=ledger_totals.held_h,
            running_h=running_h,
        ),
        counterfactual=counterfactual,
        clairvoyant=best,
        segments=tuple(_segment_row(segment, segment_totals.get(segment.index, Totals())) for segment in ordered),
        node_events=tuple(_node_event_row(event) for event in sorted(node_events, key=lambda event: (event.at, event.node_id))),
        decisions=tuple(_decision_row(decision) for decision in sorted(decisions, key=lambda decision: decision.at)),
        overheads=_overheads(ordered, flat),
        pue={name: regions[name].pue for name in sorted({*intensity, *shown} & set(regions))},
        intensity_kind=kind,
        is_embedded=any(series.provenance.is_embedded for series in intensity.values()),
        forecaster=forecaster,
        provenance=_provenance(intensity, [*flat, *run_now_emissions], provenance),
        carbon_aware_curve=_curve(workload.submitted_at, flat),
        run_now_curve=_curve(workload.submitted_at, run_now_emissions),
        generated_at=now,
    )


def _require_finished(workload: Workload, segments: Sequence[Segment], segment_totals: Mapping[int, Totals]) -> None:
    if not segments or any(segment.end_at is None or segment.outcome is None for segment in segments):
        raise LedgerError(f"workload {workload.workload_id} has not finished; a report is made once its last segment has ended")
    # A segment that ended in the instant it began has nothing to be priced.
    if unpriced := [segment.index for segment in segments if segment.index not in segment_totals and _held_h(segment) > 0]:
        raise LedgerError(f"segments {unpriced} of {workload.workload_id} are not priced yet; price them before making the report")


def _require_equal_sums(
    workload: Workload,
    segments: Sequence[Segment],
    emissions: Mapping[int, Sequence[Emission]],
    segment_totals: Mapping[int, Totals],
    ledger_totals: Totals,
) -> None:
    by_segment = {segment.index: totals(emissions.get(segment.index, ()), 0.0) for segment in segments}
    pairs: list[tuple[str, Totals, Totals, tuple[str, ...]]]
    pairs = [
        (f"segment {index}", part, segment_totals.get(index, Totals()), ("energy_kwh", "gco2", "held_h"))
        for index, part in by_segment.items()
    ]
    whole = sum((segment_totals.get(segment.index, Totals()) for segment in segments), Totals())
    pairs.append(("the whole", whole, ledger_totals, ("energy_kwh", "gco2", "usd", "held_h")))
    for what, parts, stored, names in pairs:
        for name in names:
            ours, theirs = getattr(parts, name), getattr(stored, name)
            if not math.isclose(ours, theirs, rel_tol=SUM_TOLERANCE, abs_tol=1e-12):
                raise LedgerError(
                    f"{name} of {what} of {workload.workload_id}: the parts sum to {ours!r}, the ledger says {theirs!r}; "
                    "price the workload anew and read all values again"
                )


def _end_at(segment: Segment) -> datetime:
    return segment.end_at or segment.start_at


def _held_h(segment: Segment) -> float:
    return hours(_end_at(segment) - segment.start_at)


def _phase_h(segment: Segment, wanted: Phase) -> float:
    return sum(hours(end_at - start_at) for phase, start_at, end_at in segment.phases(_end_at(segment)) if phase is wanted)


def _running_h(segments: Iterable[Segment], workload: Workload | None) -> float:
    return sum(_phase_h(segment, Phase.RUNNING) * (workload.pace(segment.workers) if workload else 1.0) for segment in segments)


def useful_running_h(segments: Sequence[Segment], repeated_steps: int, workload: Workload | None = None) -> float:
    """Running hours that the same work takes without interruption: no step is made twice, and steps are taken to be equally long.

    Where a segment's last step is not known, because its node was lost, its hours hold an unknown wait for the loss to be
    noticed; so the length of a step is measured on the other segments, if there are any.

    Args:
        segments: All segments of the work.
        repeated_steps: Steps that were made more than once, each repetition counted.
        workload: Whose; an hour of an elastic one counts as what its default worker count does in it.
    """
    ran = [segment for segment in segments if segment.running_at is not None]
    kept_steps = max([segment.end_step for segment in segments], default=0)
    blurred_steps = sum(segment.reached_step - (segment.start_step or 0) for segment in ran if segment.stopped_at is None)
    timed_steps = kept_steps + repeated_steps - blurred_steps
    timed_h = _running_h((segment for segment in ran if segment.stopped_at is not None), workload)
    if kept_steps and timed_steps > 0 and timed_h > 0:
        return timed_h * kept_steps / timed_steps
    running_h = _running_h(ran, workload)
    return running_h * kept_steps / (kept_steps + repeated_steps) if kept_steps else running_h


def _saving(gco2: float, run_now_gco2: float) -> float | None:
    return 1 - gco2 / run_now_gco2 if run_now_gco2 > 0 else None


def _home_node_type(workload: Workload, regions: Mapping[str, Region], intensity: Mapping[str, IntensitySeries]) -> tuple[NodeType, int]:
    for known in (regions, intensity):
        if workload.home_region not in known:
            raise UnknownRegionError(workload.home_region, tuple(known))
    found = regions[workload.home_region].node_type_for(workload.workers, workload.resources_per_worker)
    if found is None:
        raise ConfigError(
            f"home region {workload.home_region} cannot hold the {workload.workers} workers of {workload.workload_id}, so there is no "
            "run-now run to compare with; name a home region that can"
        )
    return found


def _run_now(
    workload: Workload,
    segments: Sequence[Segment],
    repeated_steps: int,
    regions: Mapping[str, Region],
    intensity: Mapping[str, IntensitySeries],
) -> tuple[Counterfactual, tuple[Emission, ...]]:
    node_type, nodes = _home_node_type(workload, regions, intensity)
    useful_h = useful_running_h(segments, repeated_steps, workload)
    segment = run_now_segment(workload, node_type, nodes, useful_h, run_now_startup_s(segments, 0.0))
    stretches = energy_stretches(segment, node_type, workload.utilisation_fraction, _end_at(segment))
    emissions = price(stretches, intensity[workload.home_region], regions[workload.home_region].pue)
    summed = totals(emissions, node_type.usd_per_h * nodes)
    counterfactual = Counterfactual(
        policy="run_now",
        region=workload.home_region,
        node_type=node_type.name,
        nodes=nodes,
        energy_kwh=summed.energy_kwh,
        gco2=summed.gco2,
        usd=summed.usd,
        finish_at=_end_at(segment),
        hours=hours(_end_at(segment) - workload.submitted_at),
    )
    return counterfactual, emissions


def _clairvoyant(workload: Workload, run: ClairvoyantRun, counterfactual: Counterfactual) -> Clairvoyant:
    return Clairvoyant(
        gco2=run.totals.gco2,
        energy_kwh=run.totals.energy_kwh,
        usd=run.totals.usd,
        finish_at=run.finish_at,
        hours=hours(run.finish_at - workload.submitted_at),
        saving_fraction=_saving(run.totals.gco2, counterfactual.gco2),
        suspends=run.suspends,
        moves=run.moves,
    )


def _suspends(segments: Sequence[Segment], decisions: Sequence[Decision]) -> int:
    """A pause on purpose ends one segment and begins the next where it was, or was decided as a pause and ended elsewhere."""
    pauses = [decision.at for decision in decisions if decision.change is Change.SUSPEND]
    count = 0
    for left, right in pairwise(segments):
        was_decided = any(left.start_at <= at < right.start_at for at in pauses)
        goes_on = left.region == right.region and left.workers == right.workers  # with another worker count it is a rescale
        count += left.outcome is Outcome.SUSPENDED and (was_decided or goes_on)
    return count


def _overheads(segments: Sequence[Segment], emissions: Sequence[Emission]) -> MeasuredOverheads:
    ran = [segment for segment in segments if segment.running_at is not None]
    by_phase = {phase: [emission for emission in emissions if emission.phase is phase] for phase in Phase}

    def mean_s(phase: Phase) -> float | None:
        return sum(_phase_h(segment, phase) for segment in ran) * S_PER_H / len(ran) if ran else None

    return MeasuredOverheads(
        startup_s=mean_s(Phase.STARTING),
        stopping_s=mean_s(Phase.STOPPING),
        starting_gco2=sum(emission.gco2 for emission in by_phase[Phase.STARTING]),
        stopping_gco2=sum(emission.gco2 for emission in by_phase[Phase.STOPPING]),
        starting_energy_kwh=sum(emission.energy_kwh for emission in by_phase[Phase.STARTING]),
        stopping_energy_kwh=sum(emission.energy_kwh for emission in by_phase[Phase.STOPPING]),
    )


def _segment_row(segment: Segment, part: Totals) -> SegmentRow:
    return SegmentRow(
        index=segment.index,
        region=segment.region,
        workers=segment.workers,
        node_type=segment.node_type,
        nodes=segment.nodes,
        start_at=segment.start_at,
        running_at=segment.running_at,
        stopped_at=segment.stopped_at,
        end_at=_end_at(segment),
        energy_kwh=part.energy_kwh,
        gco2=part.gco2,
        usd=part.usd,
        start_step=segment.start_step,
        end_step=segment.end_step,
        reached_step=segment.reached_step,
        outcome=segment.outcome or Outcome.FAILED,
        reason=segment.reason,
    )


def _node_event_row(event: NodeEvent) -> NodeEventRow:
    return NodeEventRow(
        region=event.region, kind=event.kind.value, at=event.at, reason=event.reason, node_type=event.node_type, node_id=event.node_id
    )


def _decision_row(decision: Decision) -> DecisionRow:
    return DecisionRow(
        at=decision.at,
        change=decision.change,
        from_region=None if decision.current is None else decision.current.region,
        to_region=None if decision.target is None else decision.target.region,
        workers=0 if decision.target is None else decision.target.workers,
        reason=decision.reason,
        gain_usd=decision.gain_usd if math.isfinite(decision.gain_usd) else None,
        is_forced=decision.is_forced,
    )


def _provenance(intensity: Mapping[str, IntensitySeries], emissions: Iterable[Emission], further: Sequence[str]) -> tuple[str, ...]:
    lines = [f"intensity of {name}: zone {one.zone}, {one.kind}, {one.provenance.in_full()}" for name, one in sorted(intensity.items())]
    lines += sorted({f"energy: {emission.energy_source}" for emission in emissions})
    return tuple(dict.fromkeys([*lines, *further]))


def _curve(submitted_at: datetime, emissions: Iterable[Emission]) -> tuple[CurvePoint, ...]:
    points, gco2 = [CurvePoint(at=submitted_at, gco2=0.0)], 0.0
    for emission in sorted(emissions, key=lambda emission: emission.start_at):
        if emission.start_at > points[-1].at:
            points.append(CurvePoint(at=emission.start_at, gco2=gco2))
        gco2 += emission.gco2
        points.append(CurvePoint(at=emission.end_at, gco2=gco2))
    return tuple(points)
