"""The report of one finished workload as a frozen value, and its JSON. Nothing is computed here but text.

The names of the fields are the keys of the JSON file; other programs read them, so a field may be added but not renamed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from carbon_ray.core import codec
from carbon_ray.core.decision import Change
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.ledger import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """One stretch of the run in one region.

    Attributes:
        index: 0, 1, ... in order of time.
        region: Where.
        workers: Worker count.
        node_type: Name of the node type that was held.
        nodes: Number of nodes held.
        start_at: Nodes are held from here.
        running_at: First step; None if it never came to one.
        stopped_at: Last step; None if it never ran.
        end_at: Everything is released.
        energy_kwh: At the site, PUE included.
        gco2: Emissions, g.
        usd: Cost of the nodes.
        start_step: Steps that the restored checkpoint held; None if it never came to one.
        end_step: Steps that its last durable checkpoint held.
        reached_step: Steps finished when it ended, saved or not.
        outcome: How it ended.
        reason: Why it was started.
    """

    index: int
    region: str
    workers: int
    node_type: str
    nodes: int
    start_at: datetime
    running_at: datetime | None
    stopped_at: datetime | None
    end_at: datetime
    energy_kwh: float
    gco2: float
    usd: float
    start_step: int | None
    end_step: int
    reached_step: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTotals:
    """Sums over all segments.

    Attributes:
        energy_kwh: At the site, PUE included.
        gco2: Emissions, g.
        usd: Cost of the nodes.
        held_h: Hours in which nodes were held.
        running_h: Of these, hours in which steps were made.
    """

    energy_kwh: float
    gco2: float
    usd: float
    held_h: float
    running_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """The same work started at once at home and never interrupted, priced at the intensity that came true.

    Attributes:
        policy: Always `run_now`.
        region: Home region.
        node_type: Node type it would have held.
        nodes: Nodes of it.
        energy_kwh: At the site, PUE included.
        gco2: Emissions, g.
        usd: Cost of the nodes.
        finish_at: When it would have ended.
        hours: From submission to the end.
    """

    policy: str
    region: str
    node_type: str
    nodes: int
    energy_kwh: float
    gco2: float
    usd: float
    finish_at: datetime
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clairvoyant:
    """The best run that perfect knowledge of the intensity would have allowed.

    Attributes:
        gco2: Emissions, g.
        energy_kwh: At the site, PUE included.
        usd: Cost of the nodes.
        finish_at: When it would have ended.
        hours: From submission to the end.
        saving_fraction: Saved against run-now, share of 1; None where run-now emits nothing.
        suspends: Its pauses; None where not told.
        moves: Its changes of region; None where not told.
    """

    gco2: float
    energy_kwh: float
    usd: float
    finish_at: datetime
    hours: float
    saving_fraction: float | None
    suspends: int | None
    moves: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredOverheads:
    """What suspending, resuming and moving really took.

    Attributes:
        startup_s: Mean seconds from the start of a segment to its first step; None where no segment ran.
        stopping_s: Mean seconds from a segment's last step to the release of its nodes; None where no segment ran.
        starting_gco2: Emitted while starting, g.
        stopping_gco2: Emitted while stopping, g.
        starting_energy_kwh: Used while starting, at the site.
        stopping_energy_kwh: Used while stopping, at the site.
    """

    startup_s: float | None
    stopping_s: float | None
    starting_gco2: float
    stopping_gco2: float
    starting_energy_kwh: float
    stopping_energy_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEventRow:
    """A node that came or went.

    Attributes:
        region: Where.
        kind: `added` or `removed`.
        at: When.
        reason: Why.
        node_type: Name of its node type.
        node_id: Ray's node id, hex.
    """

    region: str
    kind: str
    at: datetime
    reason: str
    node_type: str
    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """A decision and its reason.

    Attributes:
        at: When.
        change: What it changed.
        from_region: Where the workload was; None while suspended.
        to_region: Where it was to be; None to suspend.
        workers: Worker count it was to have; 0 to suspend.
        reason: Why.
        gain_usd: Objective saved against keeping things as they were; None where keeping would have missed the deadline.
        is_forced: True where the deadline left no choice.
    """

    at: datetime
    change: Change
    from_region: str | None
    to_region: str | None
    workers: int
    reason: str
    gain_usd: float | None
    is_forced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Emissions up to an instant.

    Attributes:
        at: When.
        gco2: Sum since submission, g.
    """

    at: datetime
    gco2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What became of one workload, against what would have been. Every instant is aware UTC.

    Attributes:
        workload_id: Whose.
        outcome: How its last segment ended.
        submitted_at: When it was asked for.
        deadline_at: When it had to be done.
        finished_at: End of its last segment.
        deadline_met: True if it was completed, not after the deadline.
        saving_fraction: Emissions saved against run-now, share of 1, negative if it emitted more; None where run-now emits
            nothing.
        captured_fraction: That saving as a share of the clairvoyant's; None where that one is unknown or saves nothing.
        lost_steps: Steps that had to be made twice though a planned stop, or a durable checkpoint, held them.
        redone_steps: Steps made again because a node was lost, or the training code failed, after its last checkpoint.
        bit_equal: True if the result equals that of an uninterrupted run bit for bit; None where it was not compared.
        suspended_h: Hours from submission to finish in which no nodes were held.
        suspends: Pauses between segments; a plain move is none.
        moves: Changes of region between consecutive segments.
        totals: Sums over the segments.
        counterfactual: The run-now run.
        clairvoyant: The best run in hindsight; None where it was not computed.
        segments: In order of time.
        node_events: In order of time.
        decisions: In order of time.
        overheads: As measured.
        pue: Power usage effectiveness by region, for the regions in this report.
        intensity_kind: What the intensities count.
        is_embedded: True if any intensity is the typical profile of the package: an illustration, not an observation.
        forecaster: Name of the forecast model that the decisions rested on.
        provenance: Where the numbers come from, one line each.
        carbon_aware_curve: Cumulated emissions of the run.
        run_now_curve: Cumulated emissions of the counterfactual.
        generated_at: When the report was made.
    """

    workload_id: str
    outcome: Outcome
    submitted_at: datetime
    deadline_at: datetime
    finished_at: datetime
    deadline_met: bool
    saving_fraction: float | None
    captured_fraction: float | None
    lost_steps: int
    redone_steps: int
    bit_equal: bool | None
    suspended_h: float
    suspends: int
    moves: int
    totals: ReportTotals
    counterfactual: Counterfactual
    clairvoyant: Clairvoyant | None
    segments: tuple[SegmentRow, ...]
    node_events: tuple[NodeEventRow, ...]
    decisions: tuple[DecisionRow, ...]
    overheads: MeasuredOverheads
    pue: dict[str, float]
    intensity_kind: IntensityKind
    is_embedded: bool
    forecaster: str
    provenance: tuple[str, ...]
    carbon_aware_curve: tuple[CurvePoint, ...]
    run_now_curve: tuple[CurvePoint, ...]
    generated_at: datetime


def to_json(report: RunReport) -> str:
    """The report as standard JSON text with sorted keys; equal reports give equal bytes.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    return json.dumps(codec.to_jsonable(report), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(report: RunReport, path: str | Path) -> Path:
    """Write the report's JSON, making the directory where it is missing, and return the file's path."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_json(report), encoding="utf-8")
    return file


def read_json(path: str | Path) -> RunReport:
    """The report that `write_json` wrote.

    Raises:
        ConfigError: The file cannot be read or is no such report.
    """
    try:
        return codec.loads(RunReport, Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"report {path}: {error.strerror}; name a report.json that carbon_ray wrote") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"report {path}: {error}; name a report.json that this version of carbon_ray wrote") from error
