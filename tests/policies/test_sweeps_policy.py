"""The default policy of sweeps: when it waits, when it must not, whom it prefers, and what it never does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import UnknownZoneError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.policy import ReplannedSweep
from carbon_ray.policies.sweeps.state import SweepDecision, SweepPolicy, SweepView, TrialState, TrialView

T0 = datetime(2022, 3, 1, tzinfo=UTC)
HOME = Region(name="home", zone="home", pue=1.2)
FLAT = (300.0,) * 72
DAYS = tuple(300.0 + 200.0 * np.cos(2 * np.pi * hour / 24) for hour in range(72))
"""Dirty at midnight, clean at noon."""


def snapshot(now: datetime = T0, **zones: Sequence[float]) -> ForecastSnapshot:
    made = {}
    for zone, values in zones.items():
        series = IntensitySeries(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=3600.0,
            values_gco2_per_kwh=np.array(values),
            provenance=Provenance(provider="test"),
        )
        made[zone] = Forecast.certain(series, now)
    return ForecastSnapshot(version=1, issued_at=now, forecasts=made)


RUNGS = {1: [float(score) for score in range(30)], 3: [float(score) for score in range(10, 20)], 9: [18.0, 20.0, 25.0]}


def trial(name: str, iterations: int, score: float, state: TrialState = TrialState.RUNNING, region: str = "home") -> TrialView:
    scores = tuple((at, score - 6.0 / at) for at in range(1, iterations + 1))
    return TrialView(trial_id=name, state=state, region=region, iterations=iterations, scores=scores, seconds_per_iteration=600.0)


GOOD, FAIR, WEAK = trial("good", 9, 30.0), trial("fair", 3, 19.0), trial("weak", 3, 11.0)


def view(**changes: object) -> SweepView:
    given: dict[str, object] = {
        "started_at": T0,
        "deadline_at": T0 + timedelta(hours=60),
        "max_concurrency": 4,
        "power_w": 1000.0,
        "trials": (WEAK, GOOD, FAIR),
        "unstarted": 40,
        "remaining_trial_s": 40 * 3600.0,
        "iteration_s": 600.0,
        "max_iterations": 27,
        "best_score": 28.0,
        "rung_scores": RUNGS,
    }
    return SweepView(**(given | changes))  # type: ignore[arg-type]


def decided(seen: SweepView, hour: float = 0.0, policy: ReplannedSweep | None = None, **zones: Sequence[float]) -> SweepDecision:
    regions = [Region(name=zone, zone=zone, pue=1.2) for zone in zones or {"home": None}]
    made = snapshot(**(zones or {"home": DAYS}))
    return (policy or ReplannedSweep()).decide(seen, regions, made, now=T0 + timedelta(hours=hour))


def test_it_is_a_sweep_policy() -> None:
    policy: SweepPolicy = ReplannedSweep()
    assert policy == ReplannedSweep()


def test_clean_hours_run_everything_and_dirty_ones_nothing_of_the_bulk() -> None:
    assert decided(view(trials=()), hour=12).concurrency == 4
    assert decided(view(trials=()), hour=0).concurrency == 0


@pytest.mark.parametrize("hour", [0.0, 7.3, 30.0])
def test_a_flat_grid_is_left_alone(hour: float) -> None:
    decision = decided(view(), hour=hour, home=FLAT)
    assert (decision.concurrency, decision.stop, decision.region_of) == (4, {}, {})
    assert "waiting would save 0.0 %" in decision.reason


@settings(max_examples=40, deadline=None)
@given(hour=st.floats(0.0, 59.0), noise=st.lists(st.floats(-1.0, 1.0), min_size=72, max_size=72))
def test_nothing_waits_for_less_than_what_waiting_is_worth(hour: float, noise: list[float]) -> None:
    decision = decided(view(), hour=hour, home=[300.0 + one for one in noise])
    assert decision.concurrency == 4
    assert not decision.is_over


def test_the_pilot_runs_until_an_iteration_is_known() -> None:
    seen = view(trials=(), iteration_s=None, rung_scores={}, best_score=None)
    assert decided(seen, hour=0).concurrency == 1
    assert decided(view(trials=(), rung_scores={}, best_score=None), hour=0).concurrency == 0


def test_the_deadline_always_wins() -> None:
    decision = decided(view(remaining_trial_s=4 * 60 * 3600.0), hour=0)
    assert decision.concurrency == 4
    assert "deadline" in decision.reason
    assert not decision.stop


@given(start=st.floats(0.0, 24.0), work_h=st.floats(1.0, 150.0), slack_h=st.floats(8.0, 46.0), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_work_that_runs_when_it_says_so_is_done_in_time(start: float, work_h: float, slack_h: float, seed: int) -> None:
    """Every quarter of an hour as much work is done as it lets run; the end comes before the deadline where running at once would do."""
    grid = np.random.default_rng(seed).uniform(50, 500, 72)
    span_h = min(work_h / 4 + slack_h, 71.0 - start)
    left, hour = work_h, start
    is_possible = work_h / 4 + 27 / 6 + 1.0 <= span_h
    while left > 1e-6 and hour < start + span_h:
        seen = view(
            started_at=T0 + timedelta(hours=start),
            deadline_at=T0 + timedelta(hours=start + span_h),
            remaining_trial_s=left * 3600,
            trials=(),
            unstarted=max(1, int(left)),
        )
        left -= 0.25 * decided(seen, hour=hour, home=grid).concurrency
        hour += 0.25
    if is_possible:
        assert left <= 1e-6


@given(hour=st.floats(0.0, 75.0), emitted=st.floats(0.0, 3000.0))
@settings(max_examples=60, deadline=None)
def test_a_budget_is_never_promised_twice(hour: float, emitted: float) -> None:
    seen = view(budget_gco2=2000.0, emitted_gco2=emitted, deadline_at=T0 + timedelta(hours=70))
    decision = decided(seen, hour=min(hour, 70.5))
    one_iteration = min(DAYS) * 1.2 / 6
    if decision.is_over:
        assert decision.concurrency == 0
        assert set(decision.stop) == {"weak", "good", "fair"}
        return
    assert emitted <= 2000.0
    assert decision.concurrency == 0 or emitted + decision.concurrency * one_iteration <= 2000.0 + 1e-6


def test_a_budget_that_is_used_up_ends_the_sweep() -> None:
    decision = decided(view(budget_gco2=100.0, emitted_gco2=99.9), hour=12)
    assert decision.is_over
    assert "budget" in decision.reason
    assert len(decision.stop) == 3


def test_a_tight_budget_waits_for_cleaner_hours() -> None:
    assert decided(view(trials=()), hour=9.5).concurrency == 4
    assert decided(view(trials=(), budget_gco2=500.0), hour=9.5).concurrency == 0


def test_past_the_deadline_everything_ends() -> None:
    decision = decided(view(), hour=59.9)
    assert decision.is_over
    assert set(decision.stop) == {"good", "fair", "weak"}


@pytest.mark.parametrize("hour", [7, 12])
def test_trials_keep_the_order_of_the_base_scheduler_and_new_ones_come_last(hour: float) -> None:
    waiting = replace(WEAK, trial_id="waiting", state=TrialState.HELD)
    early = trial("early", 2, 5.0, TrialState.HELD)
    far = trial("far", 5, 12.0)
    assert decided(view(trials=(far, waiting, WEAK, early)), hour=hour).order == ("early", "weak", "waiting", "far", None)


def test_who_is_worth_a_dirty_hour_takes_its_place_before_those_that_run() -> None:
    sure = trial("sure", 26, 60.0, TrialState.HELD)
    dirty, clean = (decided(view(trials=(WEAK, sure), best_score=40.0), hour=hour) for hour in (7, 12))
    assert (dirty.order[0], clean.order[0]) == ("sure", "weak")
    assert 1 <= dirty.concurrency < clean.concurrency


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.HELD])
def test_a_hopeless_trial_is_ended_where_carbon_swings_and_only_past_the_last_milestone(state: TrialState) -> None:
    falls = tuple((at, 1.0 - 0.5 * at) for at in range(1, 13))
    lost = TrialView(trial_id="lost", state=state, region="home", iterations=12, scores=falls, seconds_per_iteration=600.0)
    early = replace(lost, iterations=6, scores=falls[:6])
    policy = ReplannedSweep(hopeless_ratio=3.0)
    assert set(decided(view(trials=(lost, GOOD)), hour=12, policy=policy).stop) == {"lost"}
    assert "worth the carbon" in decided(view(trials=(lost, GOOD)), hour=12, policy=policy).stop["lost"]
    assert decided(view(trials=(early, GOOD)), hour=12, policy=policy).stop == {}
    assert decided(view(trials=(lost, GOOD)), hour=12, policy=policy, home=FLAT).stop == {}
    assert decided(view(trials=(lost, GOOD)), hour=12, policy=ReplannedSweep(hopeless_ratio=0.0)).stop == {}


def test_the_leader_of_a_young_sweep_goes_on_although_any_new_trial_might_beat_it() -> None:
    dips = tuple((at, 30.0 - 6.0 / at - (3.0 if at == 9 else 0.0)) for at in range(1, 10))
    leader = TrialView(trial_id="leader", state=TrialState.RUNNING, iterations=9, scores=dips, seconds_per_iteration=600.0, region="home")
    young = {1: [5.0, 10.0, 15.0, 20.0, 24.0], 3: [20.0, 28.0], 9: [dips[-1][1]]}
    seen = view(trials=(leader,), rung_scores=young, best_score=29.25, unstarted=194)
    assert decided(seen, hour=12).stop == {}


def test_the_most_promising_runs_in_an_hour_that_the_bulk_waits_through() -> None:
    sure = trial("sure", 26, 60.0, TrialState.HELD)
    assert decided(view(trials=(sure, WEAK), best_score=40.0), hour=7).concurrency >= 1
    assert decided(view(trials=(WEAK,), best_score=40.0), hour=7).concurrency == 0


def test_min_and_max_concurrency_hold() -> None:
    assert decided(view(trials=(), min_concurrency=2), hour=0).concurrency == 2
    assert decided(view(trials=(), max_concurrency=1), hour=12).concurrency == 1


def test_the_cleaner_region_runs_what_it_has_room_for() -> None:
    low = [value / 2 for value in DAYS]
    assert decided(view(trials=()), hour=12, home=DAYS, away=low).slots == {"home": 0, "away": 4}
    assert decided(view(trials=(), room={"away": 1}), hour=12, home=DAYS, away=low).slots == {"home": 3, "away": 1}


def test_nothing_is_placed_where_no_region_has_room() -> None:
    answer = decided(view(trials=(), room={"home": 0}), hour=12)
    assert (answer.slots, answer.is_over) == ({"home": 0}, False)


def test_a_held_trial_resumes_where_it_is_cleaner() -> None:
    seen = view(trials=(trial("good", 9, 30.0, TrialState.HELD),))
    decision = decided(seen, hour=12, home=DAYS, away=[value / 2 for value in DAYS])
    assert decision.region_of == {"good": "away"}


@given(names=st.permutations("abcd"), count=st.integers(2, 4), seed=st.integers(0, 99), hour=st.floats(0.0, 50.0))
@settings(max_examples=40, deadline=None)
def test_permuting_regions_permutes_the_answer(names: list[str], count: int, seed: int, hour: float) -> None:
    random = np.random.default_rng(seed)
    grids = {name: random.uniform(50, 500, 72) for name in names[:count]}  # of equal ones the first would be taken
    forth = decided(view(trials=()), hour=hour, **grids)
    back = decided(view(trials=()), hour=hour, **dict(reversed(grids.items())))
    assert forth.slots == back.slots
    assert forth.stop == back.stop
    assert forth.order == back.order


def test_equal_arguments_give_equal_answers() -> None:
    assert decided(view(), hour=5) == decided(view(), hour=5)


def test_a_forecast_that_ends_before_the_deadline_is_enough() -> None:
    assert decided(view(trials=(), deadline_at=T0 + timedelta(hours=200)), hour=12, home=DAYS[:30]).concurrency == 4


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(UnknownZoneError):
        ReplannedSweep().decide(view(), [HOME], snapshot(other=DAYS), now=T0)


def test_it_asks_to_be_asked_again_and_names_its_forecaster() -> None:
    decision = decided(view(), hour=5)
    assert decision.check_at == T0 + timedelta(hours=5, minutes=15)
    assert decision.forecaster == "truth"
