"""Tune's loop in virtual time, in one process and without Ray: drives any trial scheduler with Tune's own trial objects.

It does what `ray.tune.execution.tune_controller.TuneController` of Ray 2.60 does with a scheduler, in its order, under the same names
(the searcher's door, `choose_trial_to_run`, the door by which PENDING trials start without it, the executed and the overruled
decisions), and nothing of the rest. A manual clock goes from event to event, so that days of a sweep take seconds.
"""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from carbon_ray.testing.tune_bookkeeping import LoopController
from carbon_ray.testing.tune_events import LoopEvent, LoopStalled, LoopStretch, LoopTiming, Slot, region_of
from carbon_ray.testing.tune_trials import ListedTrials, RecordedCurves, VirtualTrainable

__all__ = ["ListedTrials", "LoopEvent", "LoopStalled", "LoopStretch", "LoopTiming", "RecordedCurves", "TuneLoop", "VirtualTrainable"]


class TuneLoop(LoopController):
    """Runs one sweep.

    Args:
        scheduler: Any trial scheduler.
        trainable: What the trials do.
        searcher: Where they come from.
        clock: Is moved on.
        slots: Trials that have room at once: a number, or one by region (the label of the trial's placement group picks the region;
            a trial without one goes to the first with room).
        metric, mode: As in `TuneConfig`.
        callbacks: As in `RunConfig`.
        timing: How long things take.
        stopper: As in `RunConfig(stop=...)`, as a `Stopper`.
        fail_at: Trials that lose their node, by id: at the result of that iteration, once.
        directory: Experiment directory, where the scheduler writes files; None: there is none.
        end_at: Nothing may take longer.
        max_pending: As `_get_max_pending_trials` says for the searcher.
        reuse_actors: As in `TuneConfig`.
    """

    def is_finished(self) -> bool:
        """All trials have ended and no more will come."""
        return not self._live_trials and self._search_alg.is_finished()

    def run(self) -> TuneLoop:
        """Run the sweep to its end.

        Raises:
            LoopStalled: It does not come to one before `end_at`.
        """
        while not self.is_finished():
            self.step()
        self._callbacks.on_experiment_end(trials=self._trials)
        return self

    def step(self) -> None:
        """One step of Tune's loop: new trials, new actors, and one event."""
        self._changed = False
        self._callbacks.on_step_begin(iteration=self._iteration, trials=self._trials)
        while len(self._pending_trials) < self._max_pending_trials and not self._search_alg.is_finished():
            if (trial := self._search_alg.next_trial()) is None:
                break
            self.add_trial(trial)
        self._maybe_add_actors()
        self._grant()
        if not self._handle_one_event() and not self._changed:
            self._pass_time()
        if self._stopper is not None and self._stopper.stop_all():
            self._search_alg.set_finished()
            for trial in list(self._live_trials):
                self.stop_trial(trial)
        self._iteration += 1
        self._callbacks.on_step_end(iteration=self._iteration, trials=self._trials)

    def add_trial(self, trial: Trial) -> None:
        """Let a trial take part; a restored one may have another status than PENDING."""
        self._trials.append(trial)
        if not trial.is_finished():
            self._live_trials.add(trial)
        self._scheduler_alg.on_trial_add(self._wrapped(), trial)
        self._by_status[trial.status].add(trial)
        if trial.status == Trial.PENDING:
            self._pending_trials_list.append(trial)
        self._changed = True

    def _maybe_add_actors(self) -> None:
        chosen = self._scheduler_alg.choose_trial_to_run(self._wrapped())
        if chosen is not None and chosen not in self._staged_trials and chosen not in self._trial_to_actor:
            self._set_trial_status(chosen, Trial.PENDING)
            self._stage(chosen)
        kept: list[Trial] = []
        while self._pending_trials_list and len(self._waiting) < self._max_pending_trials:
            trial = self._pending_trials_list.pop(0)
            if trial not in self._pending_trials:
                continue
            if trial in self._trial_to_actor:
                kept.append(trial)
            elif trial not in self._staged_trials:
                self._stage(trial)
        self._pending_trials_list = kept + self._pending_trials_list

    def _stage(self, trial: Trial) -> None:
        slot = Slot(trial=trial, region="")
        self._staged_trials.add(trial)
        self._waiting.append(trial)
        self._trial_to_actor[trial] = slot
        self._actor_to_trial[slot] = trial
        self._changed = True

    def _grant(self) -> None:
        """Give slots to those that wait, in their order."""
        for trial in list(self._waiting):
            wanted = region_of(trial)
            fitting = [name for name in self._room if (wanted in ("", name)) and self._room[name] > 0]
            if not fitting:
                continue
            self._waiting.remove(trial)
            slot = self._trial_to_actor[trial]
            slot.region = fitting[0]
            self._room[slot.region] -= 1
            self._epochs += 1
            slot.epoch = self._epochs
            slot.stretch = LoopStretch(trial_id=trial.trial_id, region=slot.region, start_at=self._clock.now(), end_at=self._clock.now())
            self._schedule("start", slot, self._timing.startup_s)
            self._changed = True

    def _schedule(self, kind: str, slot: Slot, delay_s: float) -> None:
        self._serial += 1
        due_s = (self._clock.now() - self._queue_start_at).total_seconds() + delay_s
        heapq.heappush(self._heap, (due_s, self._serial, kind, slot.trial, slot.epoch))

    def _horizon_s(self) -> float:
        """Until when nothing but events may happen: the scheduler wants to be asked again, or a tick is over."""
        now = self._clock.now()
        horizon_at = now + timedelta(seconds=self._timing.tick_s)
        wakes_at: datetime | None = getattr(self._scheduler_alg, "wakes_at", None)
        if wakes_at is not None and now < wakes_at < horizon_at:
            horizon_at = wakes_at
        return (horizon_at - self._queue_start_at).total_seconds()

    def _handle_one_event(self) -> bool:
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        if not self._heap:
            return False
        now_s = (self._clock.now() - self._queue_start_at).total_seconds()
        if self._heap[0][0] > now_s and (self._changed or self._heap[0][0] > self._horizon_s()):
            return False
        due_s, _, kind, trial, _ = heapq.heappop(self._heap)
        self._clock.advance(timedelta(seconds=max(0.0, due_s - now_s)))
        if kind == "start":
            self._on_started(trial)
        elif kind == "free":
            self._room[trial.region] += 1  # a slot, not a trial
        else:
            self._on_result(trial)
        return True

    def _is_current(self, entry: tuple[float, int, str, Trial, int]) -> bool:
        _, _, kind, trial, epoch = entry
        return kind == "free" or (trial in self._trial_to_actor and self._trial_to_actor[trial].epoch == epoch)

    def _pass_time(self) -> None:
        horizon_s = self._horizon_s()
        now_s = (self._clock.now() - self._queue_start_at).total_seconds()
        self._clock.advance(timedelta(seconds=horizon_s - now_s))
        if self._clock.now() > self._end_at:
            states = {status: len(trials) for status, trials in self._by_status.items() if trials}
            raise LoopStalled(f"nothing more happens at {self._clock.now():%Y-%m-%dT%H:%MZ}: {states}")

    def _on_started(self, trial: Trial) -> None:
        self._staged_trials.discard(trial)
        self._trial_to_actor[trial].is_started = True
        self._callbacks.on_trial_start(iteration=self._iteration, trials=self._trials, trial=trial)
        self._set_trial_status(trial, Trial.RUNNING)
        saved = trial.latest_checkpoint_result
        if saved is not None:
            trial.run_metadata.last_result = dict(saved.metrics)
        else:
            trial.run_metadata.last_result = {}
        self._note("started", trial)
        self._train(trial)

    def _train(self, trial: Trial) -> None:
        iteration = int(trial.last_result.get("training_iteration", 0)) + 1
        ends = self._trainable.report(trial, iteration) is None
        self._schedule("result", self._trial_to_actor[trial], 0.0 if ends else self._trainable.iteration_s(trial, iteration))

    def _on_result(self, trial: Trial) -> None:
        before = trial.last_result
        iteration = int(before.get("training_iteration", 0)) + 1
        if self._fail_at.get(trial.trial_id) == iteration:
            del self._fail_at[trial.trial_id]
            self._lose(trial)
            return
        report = self._trainable.report(trial, iteration)
        is_duplicate = report is None
        if report is None:
            result = before
            result["done"] = True
        else:
            span_s = self._trainable.iteration_s(trial, iteration)
            result = dict(report)
            result.update(
                trial_id=trial.trial_id,
                training_iteration=iteration,
                time_this_iter_s=span_s,
                time_total_s=before.get("time_total_s", 0.0) + span_s,
                should_checkpoint=bool(self._timing.save_every) and iteration % self._timing.save_every == 0,
                done=False,
            )
        flat = dict(result)
        if trial.should_stop(flat) or (self._stopper is not None and self._stopper(trial.trial_id, result)):
            decision = TrialScheduler.STOP
        else:
            decision = self._scheduler_alg.on_trial_result(self._wrapped(), trial, flat)
        if decision == TrialScheduler.STOP:
            result["done"] = True
        else:
            self._search_alg.on_trial_result(trial.trial_id, flat)
        if not is_duplicate:
            self._callbacks.on_trial_result(iteration=self._iteration, trials=self._trials, trial=trial, result=result)
            trial.run_metadata.last_result = result
            trial.run_metadata.last_result_time = (self._clock.now() - self._queue_start_at).total_seconds()
            self._note("result", trial)
            every = self._timing.save_every
            if every and iteration % every == 0 and trial in self._trial_to_actor:
                self._save(trial)
        if decision == TrialScheduler.CONTINUE:
            self._train(trial)
        elif decision == TrialScheduler.PAUSE:
            self.pause_trial(trial)
        elif decision == TrialScheduler.STOP:
            self.stop_trial(trial)

    def _lose(self, trial: Trial) -> None:
        """The trial's node is gone: it goes back to the end of the line and on from its last checkpoint."""
        self._note("failed", trial)
        self._release(trial)
        self._set_trial_status(trial, Trial.ERROR)
        self._scheduler_alg.on_trial_error(self, trial)
        self._set_trial_status(trial, Trial.PENDING)
        self._trials.remove(trial)
        self._trials.append(trial)
        self._live_trials.add(trial)
        self._callbacks.on_trial_recover(iteration=self._iteration, trials=self._trials, trial=trial)
        self._scheduler_alg.on_trial_add(self._wrapped(), trial)
