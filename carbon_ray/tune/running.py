"""A sweep while it runs: hands Tune's calls to the base scheduler, accounts for what trials draw, and holds and releases them.

Every call does work for the live trials at most; ended ones are only sums. The policy is asked through the decider, which says when.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.cluster.once import OncePerCause
from carbon_ray.core.clock import ManualClock
from carbon_ray.policies.sweeps.state import SweepDecision, TrialState
from carbon_ray.tune import checks
from carbon_ray.tune.accounting import SweepAccounting
from carbon_ray.tune.base_scheduler import BaseScheduler, rungs_of
from carbon_ray.tune.book import SweepBook, Wishes
from carbon_ray.tune.columns import CarbonColumns
from carbon_ray.tune.deciding import Decider
from carbon_ray.tune.ending import Ending
from carbon_ray.tune.gate import Gate, Standing, Start, StartNew
from carbon_ray.tune.holding import Holdable
from carbon_ray.tune.internals import CLOSED, TuneInternals
from carbon_ray.tune.journal import text_of
from carbon_ray.tune.pulling import Pulling
from carbon_ray.tune.restoring import Restoring
from carbon_ray.tune.settings import SearchProperties, SweepSettings
from carbon_ray.tune.world import find_world

log = logging.getLogger(__name__)

IDLE_WALL_S = 0.25
"""Wall seconds that Tune's loop rests while nothing may run; without it the loop spins."""


class SweepRun:
    """One sweep, from its first trial on.

    Args:
        settings: What it was asked to do.
        base: The base scheduler, as the user made it.
        search: Metric, mode and stopping criterion.
        tune_controller: What Tune hands a scheduler.
        first: The first trial, which tells what trials need.

    Raises:
        ConfigError: A setting does not go together with holding, or it is not said which grid feeds the nodes.
    """

    def __init__(self, settings: SweepSettings, base: TrialScheduler, search: SearchProperties, tune_controller: Any, first: Trial) -> None:
        self._settings = settings
        self.base = BaseScheduler(base)
        self.world = find_world(settings.regions, settings.forecasts, settings.clock)
        checks.require_trial(first, base, len(self.world.regions))
        checks.tell_limits(tune_controller.search_alg)
        self._clock = self.world.clock
        self.internals = TuneInternals(tune_controller)
        self.accounting = SweepAccounting(self.world, settings.power_w, first, self.internals.directory(), self.internals.fetch)
        self.book = SweepBook(self.accounting.ledger, rungs_of(base, search.stop))
        self.book.metric, self.book.sign = search.metric, 1.0 if search.mode == "max" else -1.0
        self._ending = Ending(settings.budget_gco2, self.accounting, self.book)
        self._holdable = Holdable(settings.allow_restart_from_zero)
        self._room, limit = self.accounting.room()
        self._wishes = Wishes(
            budget_gco2=settings.budget_gco2,
            objective=settings.objective,
            min_concurrency=settings.min_concurrency,
            max_concurrency=settings.max_concurrency or limit,
        )
        self._is_limited = settings.max_concurrency is not None or len(self.world.regions) > 1
        self.decider = Decider(settings.policy, self.world.regions, self._clock.speedup, self.accounting.decisions)
        self._gate: Gate | None = None
        self._once = OncePerCause(log)
        self._pulling = Pulling(self.book, self.internals)
        self._holds = 0
        self._was_open = True
        self._has_begun = False
        self.callback = CarbonColumns(self)
        self._is_hooked = self.internals.install(self.callback, self._save)
        self._restoring: Restoring | None = Restoring.begin(self.accounting, self.now())
        if self._restoring is not None:
            self._restoring.fill(self.book)

    # What Tune calls, through the scheduler

    def add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial was added: a new one, a restored one, or one whose node was lost."""
        now = self.now()
        if self._restoring is not None and not self._restoring.is_over:
            self._restoring.add(trial, self.book, now)
        else:
            self.base.add(tune_controller, trial)
        if trial.is_finished():
            self.book.added += 1
        else:
            self.book.add(trial.trial_id, trial, now)
        self._note_begin(now)
        self.decider.note_change()

    def result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """The base scheduler's decision; where that is to go on, whether the trial may."""
        now = self.now()
        self._take_up(tune_controller)
        result.update(self._account(trial, result, now))
        decision = self.base.result(tune_controller, trial, result, self._held())
        if decision != TrialScheduler.CONTINUE:
            self.accounting.note_leaving(trial)
            self.decider.note_change()
            return decision
        if (reason := self._ending.why(trial.trial_id, self.decider.decision)) is not None:
            log.info("trial %s ends at iteration %s: %s", trial.trial_id, result.get("training_iteration"), reason)
            self.accounting.note_leaving(trial)
            self.decider.note_change()
            return str(TrialScheduler.STOP)
        self._decide_if_due(tune_controller, now)
        if self._is_open() or self._may_stay(tune_controller, trial) or not self._holdable.now(trial, result):
            return decision
        if self._holds == 0 and self._settings.allow_restart_from_zero:
            checks.warn_without_dashboard()
        self._holds += 1
        self.book.held[trial.trial_id] = now
        self.accounting.note_leaving(trial)
        return str(TrialScheduler.PAUSE)

    def choose(self, tune_controller: Any) -> Trial | None:
        """What Tune is to start next."""
        now = self.now()
        self._take_up(tune_controller)
        self._decide_if_due(tune_controller, now)
        decision = self.decider.decision
        assert decision is not None  # just made
        if decision.is_over or decision.stop or self._settings.budget_gco2 is not None:
            self._ending.end_waiting(tune_controller, self.internals, decision)
        if self._is_open():
            if self.book.held:
                return self._release_one()
            self._was_open = True
            self.internals.set_door(None)
            return self.base.choose(tune_controller, {})
        return self._choose_within(tune_controller)

    def complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A running trial has ended."""
        self.base.complete(tune_controller, trial, result, self._held(trial.trial_id))
        self._forget(trial)

    def remove(self, tune_controller: Any, trial: Trial) -> None:
        """A waiting trial has been ended."""
        self.base.remove(tune_controller, trial, self._held(trial.trial_id))
        self._forget(trial)

    def error(self, tune_controller: Any, trial: Trial) -> None:
        """A running trial has failed; it may be added again."""
        self.base.error(tune_controller, trial, self._held(trial.trial_id))
        self.book.held.pop(trial.trial_id, None)
        self.accounting.note_gone(trial, self.now())
        if not trial.should_recover():
            self._forget(trial)
        self.decider.note_change()

    # What Tune's callbacks say

    def note_started(self, trial: Trial) -> None:
        """A trial has its place."""
        now = self.now()
        self.accounting.note_started(trial, now)
        self.book.held.pop(trial.trial_id, None)
        self.book.note_start(trial.trial_id, now)

    def columns(self, trial: Trial, result: dict[str, Any]) -> dict[str, float | str]:
        """The columns of a result, accounted for if the scheduler was not asked about it."""
        return self._account(trial, result, self.now())

    def note_gone(self, trial: Trial) -> None:
        """A trial has ended or lost its node."""
        self.accounting.note_gone(trial, self.now())

    def tick(self) -> None:
        """A step of Tune's loop is over."""
        self.accounting.tick(self.now(), self.book.held)

    def close(self) -> None:
        """The sweep is over."""
        self.accounting.close(self.now())

    # Deciding

    def now(self) -> datetime:
        """The present instant of the sweep's clock."""
        return self._clock.now()

    @property
    def wakes_at(self) -> datetime | None:
        """When the policy wants to be asked again."""
        return self.decider.wakes_at

    @property
    def decision(self) -> SweepDecision | None:
        """What may run now."""
        return self.decider.decision

    def debug_string(self) -> str:
        """A line for the console."""
        decision, ledger = self.decider.decision, self.accounting.ledger
        places = "" if decision is None else f", {decision.concurrency} may run: {decision.reason}"
        return f"Carbon-aware: {len(self.book.held)} held, {ledger.total_gco2:.1f} gCO2e, {ledger.total_kwh:.3f} kWh{places}"

    def _decide_if_due(self, tune_controller: Any, now: datetime) -> None:
        if not self.decider.is_due(now):
            return
        self.accounting.accrue_running(now)
        unstarted = self._unstarted(tune_controller)

        def view() -> Any:
            return self.book.view(self._wishes, unstarted, self._room, self.accounting.power_w, now)

        snapshot = self.world.grid.snapshot(now)
        context = {
            "running": len(self.accounting.ledger.running()),
            "held": len(self.book.held),
            "emitted_gco2": self.accounting.ledger.total_gco2,
            "source": self.world.grid.source,
        }
        decision = self.decider.ask(view, snapshot, now, context)
        self._gate = Gate(decision, self.world.regions[0].name)
        self._pulling.note_change()

    def _is_open(self) -> bool:
        """Whether Tune may go on as it would without us: everything that can run may."""
        decision = self.decider.decision
        if decision is None or self._is_limited or decision.stop or decision.is_over:
            return False
        return decision.concurrency >= self._wishes.max_concurrency

    def _note_begin(self, now: datetime) -> None:
        """The first trial has come: the sweep's time counts from here."""
        if self._has_begun:
            return
        self._has_begun = True
        started_at, deadline = self.book.started_at or now, self._settings.deadline
        if deadline is not None:
            self._wishes = replace(self._wishes, deadline_at=started_at + deadline if isinstance(deadline, timedelta) else deadline)
        self.accounting.note_sweep(
            {
                "metric": self.book.metric,
                "mode": "max" if self.book.sign > 0 else "min",
                "base": type(self.base.scheduler).__name__,
                "started_at": text_of(started_at),
                "deadline_at": text_of(self._wishes.deadline_at) if self._wishes.deadline_at is not None else None,
                "budget_gco2": self._wishes.budget_gco2,
                "max_concurrency": self._wishes.max_concurrency,
            },
            started_at,
            self._wishes.max_concurrency,
        )

    def _unstarted(self, tune_controller: Any) -> int | None:
        total = getattr(tune_controller.search_alg, "total_samples", None)
        if not isinstance(total, int) or total >= 2**31:
            return None
        return max(0, total - self.book.added)

    # Holding and releasing

    def _standings(self) -> tuple[dict[str, Standing], int]:
        """Trials that run, are about to, or are held; and how many the base scheduler has paused."""
        standings, paused, adrift = {}, 0, []
        for one in self.book.active.values():
            state, is_staged = self.book.state_of(one), False
            if state is TrialState.PAUSED:
                paused += 1
                continue
            if state is not TrialState.RUNNING:
                is_staged = self.internals.is_staged(one.handle)
                if not is_staged and state is TrialState.PENDING:
                    adrift.append(one.trial_id)
                    continue
            standings[one.trial_id] = Standing(one.trial_id, state, self.accounting.region_of(one.handle), is_staged)
        for trial_id in adrift:
            self.book.note_waiting(trial_id)
        return standings, paused

    def _note_places(self) -> None:
        """While everything may run, Tune lets waiting trials ask for their places by itself."""
        for trial_id in [one.trial_id for one in self.book.waiting.values() if self.internals.is_staged(one.handle)]:
            self.book.note_place(trial_id)

    def _may_stay(self, tune_controller: Any, trial: Trial) -> bool:
        standings, paused = self._standings()
        mine = standings.pop(trial.trial_id, None)
        if mine is None or self._gate is None:
            return True
        new_ones = len(self.book.waiting) + paused + (1 if self._pulling.may_suggest(tune_controller) else 0)
        return self._gate.may_stay(mine, standings.values(), new_ones)

    def _choose_within(self, tune_controller: Any) -> Trial | None:
        """Start what the decision allows, one trial a step, in its order."""
        assert self._gate is not None  # decided before
        if self._was_open:
            self._was_open = False
            self._note_places()
        standings, paused = self._standings()
        self._take_back_excess(standings)
        waiting = next(iter(self.book.waiting.values()), None)
        self._pulling.note_step()
        self.internals.set_door(CLOSED)
        may_suggest = self._pulling.may_suggest(tune_controller)
        start = self._gate.next_start(standings, new_ones=waiting is not None or bool(paused) or may_suggest)
        if isinstance(start, StartNew):
            # Tune itself starts PENDING trials in the order in which they came; the base scheduler's choice matters for what it paused.
            chosen = waiting.handle if waiting is not None else self.base.choose(tune_controller, self._held())
            if chosen is not None:
                return self._sent_to(chosen, start.region)
            if may_suggest:
                self._pulling.pull(len([one for one in standings.values() if one.is_staged]))
                return None
            start = self._gate.next_start(standings, new_ones=False)
        if isinstance(start, Start):
            trial: Trial = self.book.live[start.trial_id].handle
            if trial.status == Trial.RUNNING:
                return None  # it is still being saved
            self.book.held.pop(start.trial_id, None)
            return self._sent_to(trial, start.region)
        if not any(one.holds_place for one in standings.values()):
            self._rest()
        return None

    def _release_one(self) -> Trial | None:
        """Everything may run: the next held trial, in the decision's order; the door stays closed until none is left."""
        assert self._gate is not None  # decided before
        self.internals.set_door(CLOSED)
        for trial_id in self._gate.in_order(self.book.held):
            trial: Trial = self.book.live[trial_id].handle
            if trial.status != Trial.RUNNING:
                del self.book.held[trial_id]
                self.book.note_place(trial_id)
                return trial
        return None

    def _sent_to(self, trial: Trial, region: str) -> Trial:
        self.book.note_place(trial.trial_id)
        if len(self.world.regions) > 1 and not self.internals.is_staged(trial):
            self.internals.place(trial, region)
        return trial

    def _take_back_excess(self, standings: dict[str, Standing]) -> None:
        """Trials that wait for a place which they may not have any more wait without asking for one."""
        assert self._gate is not None
        free = self._gate.free(standings.values())
        for one in reversed(list(standings.values())):
            region = one.region or self.world.regions[0].name
            if one.is_staged and free.get(region, 0) < 0 and self.internals.unstage(self.book.live[one.trial_id].handle):
                free[region] += 1
                del standings[one.trial_id]
                self.book.note_waiting(one.trial_id)

    def _rest(self) -> None:
        """Nothing runs, and nothing may: leave the processor to others, and the resources too."""
        self.internals.let_cached_actors_go()
        self.internals.quiet()
        if not isinstance(self._clock, ManualClock):
            threading.Event().wait(IDLE_WALL_S)

    # Keeping the books

    def _account(self, trial: Trial, result: Mapping[str, Any], now: datetime) -> dict[str, float | str]:
        one = self.book.live.get(trial.trial_id)
        iteration = int(result.get("training_iteration", 0))
        if one is not None and iteration != one.iterations:
            self.accounting.accrue(trial, iteration, now)
            self.book.note_result(trial.trial_id, result, now)
            one.can_hold = self._holdable.ever(trial, result)
        return self.accounting.columns(trial.trial_id, now)

    def _held(self, but: str = "") -> dict[str, Trial]:
        live = self.book.live
        return {trial_id: live[trial_id].handle for trial_id in self.book.held if trial_id in live and trial_id != but}

    def _forget(self, trial: Trial) -> None:
        self.accounting.note_gone(trial, self.now())
        self.book.end(trial.trial_id)
        self._pulling.note_change()
        self.decider.note_change()

    def _take_up(self, tune_controller: Any) -> None:
        """Once all trials of a restored sweep are there: the base scheduler's state."""
        if self._restoring is not None and not self._restoring.is_over:
            self.base = self._restoring.finish(tune_controller, self.base)

    def _save(self) -> None:
        """Tune has just saved its own state."""
        if self._restoring is None or self._restoring.is_over:
            self.accounting.save(self.book, self.base)
