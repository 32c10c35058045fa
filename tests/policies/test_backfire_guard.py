"""The guard against backfire: the chance is that of the difference of two courses, and the plan obeys its price."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Decision
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.backfire import chance_of_backfire
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.preparation import prepare
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 5, 2, tzinfo=UTC)
ZONES = ("A", "B")


def around_of(medians: dict[str, list[float]], spread: float) -> Surroundings:
    """Regions of one kilowatt, whose forecasts are off by `spread` (half of the distance of the outer quantiles)."""
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="test")
    regions = {
        zone: Region(
            name=zone, zone=zone, pue=1.0, node_types=(NodeType(name=zone, resources={"GPU": 1}, max_nodes=1, usd_per_h=0.0, power=power),)
        )
        for zone in medians
    }
    forecasts = {
        zone: Forecast(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            issued_at=T0,
            start_at=T0,
            step_s=3600.0,
            quantiles_gco2_per_kwh={
                0.1: np.maximum(np.array(values) - spread, 0.0),
                0.5: np.array(values, dtype=float),
                0.9: np.array(values) + spread,
            },
            forecaster="test",
            provenance=Provenance(provider="test"),
        )
        for zone, values in medians.items()
    }
    return Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts))


def workload_of(hours: int, submitted_at: datetime = T0, work_h: float = 2.0) -> Workload:
    return Workload(
        workload_id="w",
        work_h=work_h,
        workers=1,
        resources_per_worker={"GPU": 1},
        home_region="A",
        regions=("A",),
        submitted_at=submitted_at,
        deadline_at=T0 + timedelta(hours=hours),
        objective=Objective(usd_per_kgco2=1.0),
        utilisation_fraction=1.0,
    )


HOPE = {"A": [100.0, 100.0, 100.0, 97.0, 97.0, 97.0]}
"""Waiting three hours gains three in a hundred."""


@pytest.mark.parametrize(("spread", "starts"), [(0.0, False), (1.0, False), (80.0, True)], ids=["certain", "nearly certain", "a guess"])
def test_a_small_hope_is_followed_only_where_the_forecast_is_sure(spread: float, starts: bool) -> None:
    around = around_of(HOPE, spread)
    plan, decision = Replan(slot_s=3600.0).decide(workload_of(6), Progress(remaining_h=2.0, region="A"), around, now=T0)
    assert (decision.target is not None) is starts
    assert ("risk of ending above running at once" in plan.reason) is starts
    unguarded, _ = Replan(slot_s=3600.0, backfire_fraction=0.0).decide(
        workload_of(6), Progress(remaining_h=2.0, region="A"), around, now=T0
    )
    assert unguarded.now.region is None


def test_a_large_gain_is_worth_the_risk() -> None:
    around = around_of({"A": [100.0, 100.0, 100.0, 20.0, 20.0, 20.0]}, 30.0)
    _, decision = Replan(slot_s=3600.0).decide(workload_of(6), Progress(remaining_h=2.0, region="A"), around, now=T0)
    assert decision.target is None


def test_a_home_that_is_cleanest_by_far_is_not_gambled_with() -> None:
    hope, work = {"A": [30.0, 30.0, 30.0, 26.0, 26.0, 26.0]}, workload_of(6)
    progress = Progress(remaining_h=2.0, region="A")
    _, alone = Replan(slot_s=3600.0).decide(work, progress, around_of(hope, 8.0), now=T0)
    _, beside = Replan(slot_s=3600.0).decide(
        replace(work, regions=("A", "B")), progress, around_of(hope | {"B": [1000.0] * 6}, 8.0), now=T0
    )
    assert alone.target is None
    assert beside.target is not None
    assert beside.target.region == "A"
    assert "run through" in beside.reason


def test_who_runs_as_run_now_would_risks_nothing_by_running_on() -> None:
    around = around_of({"A": [100.0, 98.0, 97.0, 97.0]}, 50.0)
    workload = workload_of(4, submitted_at=T0 - timedelta(hours=1), work_h=3.0)
    progress = Progress(remaining_h=2.0, region="A", is_running=True, is_started=True, emitted_gco2=90.0, run_now_gco2=90.0)
    _, decision = Replan(slot_s=3600.0).decide(workload, progress, around, now=T0)
    assert decision.target is not None


def test_who_is_far_ahead_may_go_on_hoping() -> None:
    around = around_of(HOPE, 80.0)
    workload = workload_of(6, submitted_at=T0 - timedelta(hours=3))
    ahead = Progress(remaining_h=2.0, region="A", emitted_gco2=0.0, run_now_gco2=800.0)
    assert Replan(slot_s=3600.0).decide(workload, ahead, around, now=T0)[1].target is None


def test_where_nobody_counted_there_is_no_guard() -> None:
    around = around_of(HOPE, 80.0)
    workload = workload_of(6, submitted_at=T0 - timedelta(hours=1))
    _, decision = Replan(slot_s=3600.0).decide(workload, Progress(remaining_h=2.0, region="A"), around, now=T0)
    assert decision.target is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 2), st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
def test_the_chance_is_that_of_simulated_errors(slots: int, regions: int, persistence: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    plan, run_now = random.integers(0, 2, (2, slots, regions)).astype(float)
    intensity, spread = random.uniform(50, 500, (slots, regions)), random.uniform(5, 80, (slots, regions))
    ahead = float(random.normal(0, 50))
    chance = chance_of_backfire(plan, run_now, intensity, spread, ahead, 1000.0, persistence)
    errors = np.empty((4000, slots, regions))
    errors[:, 0] = random.normal(size=(4000, regions))
    for slot in range(1, slots):
        errors[:, slot] = persistence * errors[:, slot - 1] + math.sqrt(1 - persistence**2) * random.normal(size=(4000, regions))
    excess = ((plan - run_now) * (intensity + errors * spread)).sum(axis=(1, 2)) - ahead
    if (plan == run_now).all():
        assert chance == (ahead < 0)
    else:
        assert chance == pytest.approx((excess > 0).mean(), abs=0.035)


def test_preparing_a_policy_asks_it_for_a_plan_that_has_both_a_guard_and_a_programme() -> None:
    asked = []

    class Recording(Replan):
        def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
            asked.append(super().decide(workload, progress, around, now=now))
            return asked[-1]

    prepare(Recording())
    ((plan, decision),) = asked
    assert plan.expected.finish_at <= T0
    assert decision.workload_id == "none"
