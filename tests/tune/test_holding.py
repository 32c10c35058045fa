"""Holding and releasing in virtual time: places, order, regions, budget, stops, and what is refused."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest
from ray.tune import CheckpointConfig
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining, ResourceChangingScheduler

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import ConfigError, UnknownRegionError
from carbon_ray.testing import FakeForecasts
from carbon_ray.testing.sweeps import DirtyHours, ScriptedSweep
from carbon_ray.testing.tune_loop import ListedTrials, LoopTiming, TuneLoop
from carbon_ray.tune import CarbonAwareTuneScheduler
from tests.tune.sweeping import HERE, START, THERE, carbon_aware, ends, grid, happened, sweep


def running_at(loop: TuneLoop, hours: float) -> list[str]:
    at = START + timedelta(hours=hours)
    return sorted(one.trial_id for one in loop.stretches if one.start_at <= at < one.end_at)


def test_while_nothing_may_run_no_place_is_taken_and_none_is_asked_for() -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (5.0, "all")])
    loop, scheduler = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy))
    loop.run()
    assert all(running_at(loop, 0.1 + step * 0.2) == [] for step in range(24))
    assert len(running_at(loop, 5.01)) == 4
    account = scheduler.run.accounting.ledger.account("00000")
    assert account.held_s == pytest.approx(5 * 3600 - 180, abs=120)


def test_as_many_run_as_the_decision_allows() -> None:
    policy = ScriptedSweep(script=[(0.0, 2), (0.1, 1), (0.3, 3)])
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy, max_concurrency=4))
    loop.run()
    assert [len(running_at(loop, hours)) for hours in (0.05, 0.2, 0.35)] == [2, 1, 3]
    assert set(ends(loop).values()) == {9}


def test_the_order_says_who_is_held_and_who_goes_on_first() -> None:
    def last_first(view: Any) -> tuple[str | None, ...]:
        return (*sorted((one.trial_id for one in view.trials), reverse=True), None)

    policy = ScriptedSweep(script=[(0.0, "all"), (0.06, 1)], order=last_first)
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy, max_concurrency=4), count=4)
    loop.run()
    assert running_at(loop, 0.12) == ["00003"]
    again = [event.trial_id for event in loop.events if event.kind == "started"][4:]
    assert again == ["00002", "00001", "00000"]


def test_a_held_trial_resumes_in_the_region_that_the_decision_names() -> None:
    policy = ScriptedSweep(
        script=[(0.0, {"here": 2, "there": 0}), (0.05, {"here": 0, "there": 2})],
        order=lambda view: (*(one.trial_id for one in view.trials), None),
        region_of={f"{one:05d}": "there" for one in range(2)},
    )
    loop, scheduler = sweep(
        lambda clock: carbon_aware(FIFOScheduler(), clock, policy, regions=[HERE, THERE], max_concurrency=2, power_w=1000.0),
        count=2,
        slots={"here": 2, "there": 2},
    )
    loop.run()
    assert {(one.trial_id, one.region) for one in loop.stretches} == {
        (f"{one:05d}", where) for one in range(2) for where in ("here", "there")
    }
    account = scheduler.run.accounting.ledger.account("00000")
    spans = {one.region: (one.end_at - one.start_at).total_seconds() for one in loop.stretches if one.trial_id == "00000"}
    assert account.energy_kwh == pytest.approx((spans["here"] * 1.25 + spans["there"] * 1.1) / 3600)
    assert ends(loop) == {"00000": 9, "00001": 9}


def test_a_trial_that_saves_nothing_is_not_held_unless_that_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    def run(**wishes: Any) -> list[int]:
        policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (2.0, "all")])
        loop, _ = sweep(
            lambda clock: carbon_aware(FIFOScheduler(), clock, policy, **wishes), count=1, slots=1, timing=LoopTiming(save_every=0)
        )
        return [event.iteration for event in loop.run().events if event.kind == "result"]

    assert run() == list(range(1, 10))
    assert sum("report no checkpoint" in record.message for record in caplog.records) == 1
    assert run(allow_restart_from_zero=True) == [1, 2, 3, *range(1, 10)]


def test_a_trial_is_held_at_its_next_checkpoint_and_repeats_nothing() -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (2.0, "all")])
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy), count=1, slots=1, timing=LoopTiming(save_every=4))
    loop.run()
    assert [event.iteration for event in loop.events if event.kind == "result"] == list(range(1, 10))
    assert [event.iteration for event in loop.events if event.kind == "paused"] == [4]


def test_the_budget_is_kept_to_within_an_iteration() -> None:
    """12 trials of 9 minutes at 1 kW, PUE 1.25 and 200 g/kWh are 450 g; an iteration is 4.17 g."""
    loop, scheduler = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, carbon_budget_gco2=200.0, power_w=1000.0))
    loop.run()
    spent = sum((one.end_at - one.start_at).total_seconds() for one in loop.stretches) / 3600 * 1.25 * 200.0
    assert spent == pytest.approx(scheduler.run.accounting.ledger.total_gco2)
    assert 200.0 - 4 * 4.17 < spent <= 200.0


def test_a_policy_ends_trials_that_run_are_held_or_wait() -> None:
    def hopeless(view: Any) -> dict[str, str]:
        return dict.fromkeys(("00001", "00003"), "hopeless") if any(one.iterations >= 3 for one in view.trials) else {}

    policy = ScriptedSweep(script=[(0.0, 2)], stop=hopeless)
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy, max_concurrency=2), count=4, slots=2)
    done = ends(loop.run())
    assert done["00000"] == done["00002"] == 9
    assert done["00001"] < 9
    assert done["00003"] == 0


def test_a_policy_that_fails_holds_nobody(caplog: pytest.LogCaptureFixture) -> None:
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, ScriptedSweep(fails=True)))
    alone, _ = sweep(lambda clock: FIFOScheduler())
    assert happened(loop.run()) == happened(alone.run())
    assert sum("the policy failed" in record.message for record in caplog.records) == 1


def test_min_concurrency_runs_through_the_dirtiest_hour() -> None:
    loop, _ = sweep(
        lambda clock: carbon_aware(FIFOScheduler(), clock, ScriptedSweep(script=[(0.0, 0)]), min_concurrency=1, max_concurrency=4)
    )
    assert len(ends(loop.run())) == 12
    assert all(len(running_at(loop, 0.1 * step)) <= 1 for step in range(1, 18))


def test_dirty_hours_are_sat_out_and_carbon_is_saved() -> None:
    values = [500.0] * 3 + [100.0] * 21

    def run(policy: Any) -> float:
        def make(clock: ManualClock) -> CarbonAwareTuneScheduler:
            forecasts = FakeForecasts({"DE": grid(values=values)}, clock)
            return carbon_aware(FIFOScheduler(), clock, policy, forecasts=forecasts, power_w=1000.0)

        loop, scheduler = sweep(make)
        loop.run()
        return float(scheduler.run.accounting.ledger.total_gco2)

    assert run(DirtyHours(300.0)) == pytest.approx(run(ScriptedSweep()) / 5, rel=0.01)


def test_held_trials_go_on_where_a_searcher_waits_for_them() -> None:
    """The searcher counts held trials as live: while two are held it has nothing new, so the held ones must go first."""
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (1.0, 2)])
    searcher = ListedTrials([{"curve": one, "x": 0.5} for one in range(6)], max_live=2)
    loop, _ = sweep(
        lambda clock: carbon_aware(FIFOScheduler(), clock, policy, max_concurrency=2), searcher=searcher, max_pending=2, slots=2
    )
    assert set(ends(loop.run()).values()) == {9}


def test_a_lost_node_under_a_hold_costs_only_what_was_not_saved() -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (1.0, "all")])
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy), count=4, fail_at={"00002": 5})
    assert set(ends(loop.run()).values()) == {9}


def test_the_policy_is_asked_when_something_changes_and_not_at_every_event() -> None:
    policy = ScriptedSweep(check_every_s=1800.0)
    loop, scheduler = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy), iteration_s=10.0)
    loop.run()
    assert len(policy.asked) == scheduler.run.decider.asked
    assert len(policy.asked) <= 1 + (loop.events[-1].at - START).total_seconds() / 60


def test_what_is_asked_for_survives_pickling_and_what_has_happened_does_not() -> None:
    loop, scheduler = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock))
    loop.step()
    again = pickle.loads(pickle.dumps(scheduler))
    assert scheduler.run is not None
    assert again.run is None


def population(**_: Any) -> PopulationBasedTraining:
    return PopulationBasedTraining(time_attr="training_iteration", hyperparam_mutations={"x": [0.1, 0.5]})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a base that is none": ({"base": "asha"}, "must be a Ray Tune scheduler"),
    "itself as base": ({"base": CarbonAwareTuneScheduler(policy=ScriptedSweep())}, "carbon-aware already"),
    "a naive deadline": ({"deadline": START.replace(tzinfo=None)}, "timedelta from the sweep's start"),
    "a deadline in hours": ({"deadline": 3.0}, "datetime or a timedelta"),
    "a budget of nothing": ({"carbon_budget_gco2": 0.0}, "above 0"),
    "an unknown objective": ({"objective": "green"}, "unknown objective"),
    "an objective that is none": ({"objective": 3}, "preset's name"),
    "a negative minimum": ({"min_concurrency": -1}, "at least 0"),
    "a minimum above the maximum": ({"min_concurrency": 3, "max_concurrency": 2}, "lower the first"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_are_refused_at_once(case: str) -> None:
    wishes, message = REFUSED[case]
    base = wishes.pop("base", None)
    with pytest.raises(ConfigError, match=message):
        CarbonAwareTuneScheduler(base, policy=ScriptedSweep(), **wishes)


def test_a_time_budget_is_refused_with_what_to_do_instead() -> None:
    scheduler = CarbonAwareTuneScheduler(policy=ScriptedSweep(), regions=["DE"])
    with pytest.raises(ConfigError, match="ActiveTimeStopper"):
        scheduler.set_search_properties("score", "max", time_budget_s=20.0)


def test_a_population_needs_its_checkpoints() -> None:
    searcher = ListedTrials([{"curve": 0, "x": 0.5}], checkpoint_config=CheckpointConfig(num_to_keep=1))
    loop, _ = sweep(lambda clock: carbon_aware(population(), clock), searcher=searcher)
    with pytest.raises(ConfigError, match="keep at least 4"):
        loop.run()


def test_changing_resources_stay_in_one_region() -> None:
    base = ResourceChangingScheduler(ASHAScheduler(max_t=9), resources_allocation_function=lambda *of: None)
    loop, _ = sweep(lambda clock: carbon_aware(base, clock, regions=[HERE, THERE], max_concurrency=2))
    with pytest.raises(ConfigError, match="one region"):
        loop.run()


@pytest.mark.parametrize(
    ("regions", "error", "message"),
    [
        (None, ConfigError, "which grid"),
        ([], ConfigError, "regions is empty"),
        ("DE", ConfigError, "must be a list"),
        (["Atlantis"], UnknownRegionError, "unknown region"),
    ],
)
def test_it_must_be_said_which_grid_feeds_the_nodes(regions: Any, error: type[Exception], message: str) -> None:
    loop, _ = sweep(lambda clock: CarbonAwareTuneScheduler(policy=ScriptedSweep(), regions=regions, clock=clock))
    with pytest.raises(error, match=message):
        loop.run()
