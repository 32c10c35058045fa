"""Fakes of the policy of a sweep: one that says what a script says, and one that lets everything run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.state import SweepDecision, SweepView


@dataclass(slots=True)
class ScriptedSweep:
    """Says what the script says.

    Attributes:
        script: By hours from the sweep's start the places from then on: a number in the first region, or one by region; "all" for
            as many as may run.
        order: Order of the trials, made from the view; none by default: new ones first.
        stop: Trials to end, by id, with reasons; made from the view.
        region_of: Where held trials resume.
        check_every_s: Seconds until it wants to be asked again.
        fails: While True it raises.
        asked: Every view that it was shown, with the instant.
    """

    script: Sequence[tuple[float, int | str | Mapping[str, int]]] = ((0.0, "all"),)
    order: Callable[[SweepView], tuple[str | None, ...]] | None = None
    stop: Callable[[SweepView], Mapping[str, str]] | None = None
    region_of: Mapping[str, str] = field(default_factory=dict)
    check_every_s: float = 300.0
    fails: bool = False
    asked: list[tuple[datetime, SweepView]] = field(default_factory=list)

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """What the script says for now."""
        self.asked.append((now, sweep))
        if self.fails:
            raise RuntimeError("the scripted policy was told to fail")
        since_h = (now - sweep.started_at).total_seconds() / 3600
        said = next((places for from_h, places in reversed(self.script) if since_h >= from_h), "all")
        slots = said if isinstance(said, Mapping) else {regions[0].name: sweep.max_concurrency if isinstance(said, str) else said}
        later = [sweep.started_at + timedelta(hours=from_h) for from_h, _ in self.script if since_h < from_h]
        return SweepDecision(
            slots=slots,
            order=self.order(sweep) if self.order else (None,),
            stop=self.stop(sweep) if self.stop else {},
            region_of=self.region_of,
            check_at=min([now + timedelta(seconds=self.check_every_s), *later]),
            reason=f"the script says {said}",
            forecaster=next(iter(snapshot.forecasts.values())).forecaster,
        )


@dataclass(slots=True)
class DirtyHours:
    """Holds everything while the forecast's median is above a limit, however long that takes.

    Attributes:
        limit_gco2_per_kwh: Above it nothing runs.
        check_every_s: Seconds until it wants to be asked again.
    """

    limit_gco2_per_kwh: float
    check_every_s: float = 60.0

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """All or nothing, by the first region's grid."""
        intensity = snapshot[regions[0].zone].median.at(now)
        places = sweep.max_concurrency if intensity <= self.limit_gco2_per_kwh else 0
        return SweepDecision(
            slots={regions[0].name: places},
            order=(*(one.trial_id for one in sweep.trials), None),
            check_at=now + timedelta(seconds=self.check_every_s),
            reason=f"{intensity:.0f} g/kWh now, {self.limit_gco2_per_kwh:.0f} at most",
        )
