"""carbon_ray's own policy for sweeps: the bulk runs in the cheapest hours that still meet the deadline, the promising in dearer ones too.

A sweep is planned as one elastic workload (`supply`) at every tick on the newest forecast; its first slot says how many trials run
now. Promise (`promise`), the chance that a trial beats the best score, sets the price of carbon up to which it runs, and one that has
next to none is ended instead of kept waiting. All others keep the order in which the base scheduler would run them: one that halves as
trials come compares each with those before it, and is too strict when the promising come first. Where waiting gains nothing, the base
scheduler is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.baselines.pcaps import LOOK_AHEAD_H
from carbon_ray.policies.sweeps import wording
from carbon_ray.policies.sweeps.limits import Room, affordable, iteration_s_of, room_of
from carbon_ray.policies.sweeps.placing import Guest, place
from carbon_ray.policies.sweeps.promise import Promise, fresh_promise, promise_of
from carbon_ray.policies.sweeps.state import SweepDecision, SweepView, TrialState, TrialView
from carbon_ray.policies.sweeps.supply import Fill, Supply, ladder_of, supply_of

_ROUNDING = 1e-6
LEAST_SHARE = 0.3
"""Share of a trial's iterations, and the base scheduler's last milestone, that come before a trial is ended as hopeless: trials that never
came to a milestone would make its comparison stricter, and a winner that dips there would be lost."""
_MOST_SLOTS = 7 * 24 * 4
"""Slots that are planned at most; a deadline further away is dealt with as if it were so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplannedSweep:
    """The default policy of sweeps.

    Attributes:
        slot_s: Length of a planning slot, seconds; also the time after which it wants to be asked again.
        patience_h: Hours that a sweep without a deadline may take beyond running at once.
        safety_margin_s: Planned to be done so long before the deadline, seconds.
        least_saving_fraction: Share of the emissions still to come that waiting must be expected to save; below it, everything runs.
        hysteresis_fraction: Everything runs while now is dearer than the dearest planned hour by no more than this share.
        importance_gamma: How steeply the price up to which a trial runs grows with its promise: near 0 in proportion, above 5 only the
            most promising run in dirty hours.
        hopeless_ratio: A trial is ended when its chance per hour is below that of any trial of the sweep before anything is known of it,
            times this and the swing of the prices (dearest planned over least price, less 1, at most 1). 0: none is. Chosen on recorded
            learning curves and Germany's grid of 2021: at 40 one sweep in 96 lost its winner, at 20 none; half of that, for there are other
            sweeps.
        pilot_fraction: Share of the trials that may run which do so at once, whatever the hour, until one has ended an iteration: before
            that nobody knows how long the sweep takes.
        work_margin_fraction: Share by which the work left is planned too large, because an estimate that is too low is found out when
            only dirty hours are left.
        move_h: Energy of resuming in another region, in hours of running.
    """

    slot_s: float = 900.0
    patience_h: float = 48.0
    safety_margin_s: float = 1800.0
    least_saving_fraction: float = 0.01
    hysteresis_fraction: float = 0.02
    importance_gamma: float = 6.0
    hopeless_ratio: float = 10.0
    pilot_fraction: float = 0.25
    work_margin_fraction: float = 0.05
    move_h: float = 0.1

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """See `SweepPolicy`.

        Raises:
            UnknownZoneError: The snapshot lacks the zone of a region.
            ForecastHorizonError: A forecast does not hold so much as the next slot.
        """
        room = room_of(sweep, now=now, patience_s=self.patience_h * S_PER_H, safety_margin_s=self.safety_margin_s)
        if room.is_past:
            return self._over(sweep, regions, snapshot, now, wording.PAST_DEADLINE)
        supply = supply_of(
            regions,
            snapshot,
            now=now,
            slots=int(np.clip(room.window_s // self.slot_s, 1, _MOST_SLOTS)),
            slot_s=self.slot_s,
            power_w=sweep.power_w,
            room=sweep.room,
            most=sweep.max_concurrency,
        )
        paid = affordable(sweep, float(supply.gco2_per_h[0].max()), check_s=self.slot_s)
        if paid == 0:
            return self._over(sweep, regions, snapshot, now, wording.BUDGET_USED)
        left_gco2 = math.inf if sweep.budget_gco2 is None else sweep.budget_gco2 - sweep.emitted_gco2
        work_h = room.work_h * (1 + self.work_margin_fraction)
        ladder = ladder_of(supply, room.lanes)
        plan = ladder.fill(work_h)
        is_flat = plan.saving_fraction < self.least_saving_fraction
        if plan.gco2 > left_gco2:
            plan = ladder.fill(work_h, left_gco2)  # what the budget pays for is done in the very cheapest hours
        here_gco2_per_h = supply.least_now_gco2_per_h
        is_free = room.is_forced or is_flat or not plan.fits
        promises, fresh = self._promises(sweep)
        stop = dict.fromkeys(room.late, wording.LATE)
        if not is_free:
            stop |= self._hopeless(sweep, room, promises, fresh, self._swing(supply, plan))
        count, first = sweep.max_concurrency, room.urgent
        if not is_free and here_gco2_per_h > plan.marginal_gco2_per_h * (1 + self.hysteresis_fraction):
            first |= self._worthy(supply, plan, here_gco2_per_h, promises) - stop.keys()
            count = max(math.ceil(plan.trials_now - _ROUNDING), len(first))
            if sweep.iteration_s is None:
                count = max(count, math.ceil(self.pilot_fraction * room.lanes))
        count = min(max(count, sweep.min_concurrency), sweep.max_concurrency, sweep.max_concurrency if paid is None else paid)
        order = _in_order(sweep, first, stop)
        slots, changes = self._places(sweep, supply, order, promises, fresh, count)
        return SweepDecision(
            slots=slots,
            order=order,
            stop=stop,
            region_of=changes,
            check_at=now + timedelta(seconds=self.slot_s),
            reason=wording.reason_of(plan, here_gco2_per_h, count, sweep.max_concurrency, is_forced=room.is_forced, is_flat=is_flat),
            forecaster=_forecaster_of(regions, snapshot),
        )

    def _over(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, now: datetime, reason: str) -> SweepDecision:
        return SweepDecision(
            slots={region.name: 0 for region in regions},
            order=tuple(trial.trial_id for trial in sweep.trials),
            stop={trial.trial_id: reason for trial in sweep.trials},
            check_at=now + timedelta(seconds=self.slot_s),
            reason=reason,
            forecaster=_forecaster_of(regions, snapshot),
            is_over=True,
        )

    def _promises(self, sweep: SweepView) -> tuple[dict[str, Promise], Promise]:
        iteration_s = iteration_s_of(sweep)
        rungs = {milestone: scores for milestone, scores in sweep.rung_scores.items() if scores}
        promises = {
            trial.trial_id: promise_of(trial, sweep.best_score, rungs, sweep.max_iterations, iteration_s)
            for trial in sweep.trials
            if trial.iterations
        }
        trials = sweep.ended + len(sweep.trials) + (sweep.unstarted or 0)
        return promises, fresh_promise(trials, rungs, sweep.max_iterations, iteration_s)

    def _swing(self, supply: Supply, plan: Fill) -> float:
        """How much dearer the dearest planned hour is than the least: what an hour that is not needed is worth."""
        least = float(supply.gco2_per_h.min())
        return min(1.0, max(0.0, plan.marginal_gco2_per_h / least - 1.0)) if least > 0 else 1.0

    def _hopeless(self, sweep: SweepView, room: Room, promises: Mapping[str, Promise], fresh: Promise, swing: float) -> dict[str, str]:
        least = self.hopeless_ratio * swing * fresh.chance_per_h
        last_milestone = max((milestone for milestone, scores in sweep.rung_scores.items() if scores), default=0)
        begun = max(last_milestone, LEAST_SHARE * (sweep.max_iterations or math.inf))
        return {
            trial.trial_id: wording.hopeless(promises[trial.trial_id].chance)
            for trial in sweep.trials
            if trial.iterations >= begun and promises[trial.trial_id].chance_per_h < least and trial.trial_id not in room.urgent
        }

    def _worthy(self, supply: Supply, plan: Fill, here_gco2_per_h: float, promises: Mapping[str, Promise]) -> frozenset[str]:
        """Trials that run although the hour is not among the planned ones, because their promise is worth its price.

        The price up to which a trial runs grows with its promise from the dearest planned one to the highest ahead.

        Source: the importance thresholds of PCAPS (`policies.baselines.pcaps`), with the plan's price in place of the least.
        """
        ahead = supply.gco2_per_h[: max(1, round(LOOK_AHEAD_H / supply.slot_h))].min(axis=1)
        rise, gamma = float(ahead.max()) - plan.marginal_gco2_per_h, self.importance_gamma
        worth = {name: math.expm1(gamma * one.chance) / math.expm1(gamma) if gamma > 0 else one.chance for name, one in promises.items()}
        return frozenset(name for name, share in worth.items() if here_gco2_per_h <= plan.marginal_gco2_per_h + rise * share)

    def _places(
        self,
        sweep: SweepView,
        supply: Supply,
        order: Sequence[str | None],
        promises: Mapping[str, Promise],
        fresh: Promise,
        count: int,
    ) -> tuple[dict[str, int], dict[str, str]]:
        known = {trial.trial_id: trial for trial in sweep.trials}
        unbegun = sum(1 for trial in sweep.trials if not trial.iterations)
        new = count if sweep.unstarted is None else min(count, unbegun + sweep.unstarted)
        guests = list[Guest]()
        for name in order:
            if name is None:
                guests += [Guest(None, "", fresh.remaining_h)] * new
            else:
                guests.append(Guest(name, known[name].region, promises[name].remaining_h))
        guests += [Guest(None, "", fresh.remaining_h)] * count  # room that nobody wants now is there all the same
        return place(supply, guests[:count], self.move_h)


def _in_order(sweep: SweepView, first: Collection[str], stop: Mapping[str, str]) -> tuple[str | None, ...]:
    """Some first; of the others those that have come least far, so that all come to a milestone in the order that they would without us.

    Of trials that have come equally far those that run keep their place. New ones are last.
    """
    begun = [one for one in sweep.trials if one.iterations and one.trial_id not in stop]

    def rank(trial: TrialView) -> tuple[bool, int, bool]:
        return trial.trial_id not in first, trial.iterations, trial.state is not TrialState.RUNNING

    return (*(one.trial_id for one in sorted(begun, key=rank)), None)


def _forecaster_of(regions: Sequence[Region], snapshot: ForecastSnapshot) -> str:
    return ", ".join(dict.fromkeys(snapshot[region.zone].forecaster for region in regions))
