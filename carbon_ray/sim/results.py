"""What a simulation gives: the books of every job beside their run-now counterfactual, and every change that was made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from carbon_ray.core.decision import Change
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.region import Market
from carbon_ray.core.units import S_PER_H


class Refusal(StrEnum):
    """Why a decision did not come to anything."""

    GUARD = "guard"
    CAPACITY = "capacity"
    DISRUPTIONS = "disruptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """One job's books, priced at the intensity that came true.

    Attributes:
        workload_id: Whose.
        home: Home region.
        submitted_at: Aware UTC.
        deadline_at: Aware UTC.
        finished_at: Aware UTC.
        gco2: Emissions, g: work, held nodes and overheads.
        overhead_gco2: Share of that for checkpoints, restores, migrations and nodes held without steps, g.
        energy_kwh: At the site, PUE included.
        overhead_kwh: Share of that for overheads.
        usd: Nodes and transfers.
        held_h: Hours in which nodes were held.
        run_now_gco2: Emissions of the same work run at once at home without a pause or mishap, g.
        run_now_kwh: Its energy.
        run_now_usd: Its money.
        delay_h: Hours by which it was done later than run-now.
        suspends: Pauses.
        moves: Changes of region after the first start.
        losses: Segments that ended because nodes were lost.
        lost_h: Running hours that had to be done again for that.
        is_missed: It was done after its deadline.
        rescales: Changes of the worker count without a pause.
    """

    workload_id: str
    home: str
    submitted_at: datetime
    deadline_at: datetime
    finished_at: datetime
    gco2: float
    overhead_gco2: float
    energy_kwh: float
    overhead_kwh: float
    usd: float
    held_h: float
    run_now_gco2: float
    run_now_kwh: float
    run_now_usd: float
    delay_h: float
    suspends: int
    moves: int
    losses: int
    lost_h: float
    is_missed: bool
    rescales: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMade:
    """A decision that was admitted and changed something.

    Attributes:
        at: When, aware UTC.
        workload_id: Whose.
        change: What.
        region: Where to; None for a suspend.
        workers: Worker count; 0 for a suspend.
        is_forced: The deadline left no choice.
    """

    at: datetime
    workload_id: str
    change: Change
    region: str | None
    workers: int
    is_forced: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A segment in seconds from the origin, as the simulation wrote it down; `Run.segments` gives it as the ledger knows it."""

    job: int
    index: int
    region: str
    workers: int
    node_type: str
    nodes: int
    start_s: float
    running_s: float | None
    stopped_s: float | None
    end_s: float
    outcome: Outcome
    market: Market = Market.ON_DEMAND
    usd: float = 0.0

    @property
    def node_h(self) -> float:
        """Node-hours held."""
        return self.nodes * (self.end_s - self.start_s) / S_PER_H


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTotals:
    """What nodes of one market came to.

    Attributes:
        usd: Money as booked; a reserved node-hour at what the reservation comes to.
        node_h: Node-hours held.
        losses: Segments that ended because nodes were lost.
    """

    usd: float = 0.0
    node_h: float = 0.0
    losses: int = 0

    def __add__(self, other: MarketTotals) -> MarketTotals:
        return MarketTotals(usd=self.usd + other.usd, node_h=self.node_h + other.node_h, losses=self.losses + other.losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One simulation: one policy, one forecaster, one job set, one world.

    Attributes:
        origin_at: Second 0, aware UTC.
        forecaster: Name of the forecasts' model.
        is_clairvoyant: The policy was told the truth: a bound.
        jobs: Books in order of submission.
        changes: Every change made, in order of time.
        stretches: Every segment, in order of their ends.
        decided: How often a workload was decided on.
        refused: How often what was decided was not done, by reason.
    """

    origin_at: datetime
    forecaster: str
    is_clairvoyant: bool
    jobs: tuple[JobResult, ...]
    changes: tuple[ChangeMade, ...]
    stretches: tuple[Stretch, ...]
    decided: int
    refused: dict[Refusal, int]

    def by_market(self) -> dict[Market, MarketTotals]:
        """What the nodes of each market that was used came to; transfers are not in it."""
        out: dict[Market, MarketTotals] = {}
        for one in self.stretches:
            more = MarketTotals(usd=one.usd, node_h=one.node_h, losses=int(one.outcome is Outcome.LOST))
            out[one.market] = out.get(one.market, MarketTotals()) + more
        return {market: out[market] for market in Market if market in out}

    def segments(self) -> tuple[Segment, ...]:
        """Every segment as the ledger holds it."""

        def at(second: float | None) -> datetime | None:
            return None if second is None else self.origin_at + timedelta(seconds=second)

        return tuple(
            Segment(
                workload_id=self.jobs[one.job].workload_id,
                index=one.index,
                region=one.region,
                workers=one.workers,
                node_type=one.node_type,
                nodes=one.nodes,
                start_at=self.origin_at + timedelta(seconds=one.start_s),
                running_at=at(one.running_s),
                stopped_at=at(one.stopped_s),
                end_at=at(one.end_s),
                outcome=one.outcome,
            )
            for one in self.stretches
        )
