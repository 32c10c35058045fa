"""Rules around the programme, in tables: hysteresis, force, blocked regions, reasons, guards, run-now, the registry."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Change, Decision, Placement
from carbon_ray.core.errors import (
    CarbonRayError,
    ConfigError,
    CooldownActive,
    DeadlineTooShort,
    NoCapacityError,
    SnapshotOutdated,
)
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import PlacementPolicy, Surroundings
from carbon_ray.policies.guards import Guards
from carbon_ray.policies.registry import policy_named
from carbon_ray.policies.replan import Replan
from carbon_ray.policies.run_now import RunNow

T0 = datetime(2022, 1, 1, tzinfo=UTC)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def region(name: str, max_nodes: int = 2) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test")
    node_type = NodeType(name=f"gpu-{name}", resources={"GPU": 1.0}, max_nodes=max_nodes, usd_per_h=1.0, power=power)
    return Region(name=name, zone=name, pue=1.0, node_types=(node_type,))


REGIONS = {name: region(name) for name in ("east", "west")}


def around(east: list[float], west: list[float], blocked_until: dict[str, datetime] | None = None) -> Surroundings:
    forecasts = {}
    for zone, values in (("east", east), ("west", west)):
        series = IntensitySeries(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=3600.0,
            values_gco2_per_kwh=values,  # type: ignore[arg-type]
            provenance=Provenance(provider="test"),
        )
        forecasts[zone] = Forecast.certain(series, T0)
    return Surroundings(
        regions=REGIONS, snapshot=ForecastSnapshot(version=3, issued_at=T0, forecasts=forecasts), blocked_until=blocked_until or {}
    )


def workload(**changes: Any) -> Workload:
    given_: dict[str, Any] = {
        "workload_id": "run",
        "work_h": 2.0,
        "workers": 1,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": "east",
        "regions": ("east", "west"),
        "submitted_at": T0,
        "deadline_at": at(6),
        "objective": Objective(usd_per_kgco2=1.0, usd_weight=0.0),
    }
    return Workload(**{**given_, **changes})


FRESH = Progress(remaining_h=2.0, region="east")
RUNNING = Progress(remaining_h=2.0, region="east", is_running=True, is_started=True)
SUSPENDED = Progress(remaining_h=2.0, region="east", is_started=True)
HOURLY = Replan(slot_s=3600.0)


def decide(progress: Progress, surroundings: Surroundings, policy: PlacementPolicy = HOURLY, **changes: Any) -> Decision:
    return policy.decide(workload(**changes), progress, surroundings, now=T0)[1]


# What is done, and why


@pytest.mark.parametrize(
    ("progress", "east", "west", "change", "target", "says"),
    [
        (FRESH, [100] * 6, [200] * 6, Change.START, "east", "start in east at 100 g/kWh"),
        (FRESH, [500] * 6, [100] * 6, Change.START, "west", "start in west at 100 g/kWh, 500 in east"),
        (
            FRESH,
            [500, 500, 100, 100, 500, 500],
            [600] * 6,
            Change.KEEP,
            None,
            "wait: 500 g/kWh in east, the cleanest, now; run from 01-01 02:00Z",
        ),
        (
            RUNNING,
            [500, 500, 100, 100, 500, 500],
            [600] * 6,
            Change.SUSPEND,
            None,
            "suspend: 500 g/kWh in east now; run from 01-01 02:00Z in east",
        ),
        (RUNNING, [500] * 6, [100] * 6, Change.MOVE, "west", "move to west: 100 g/kWh there, 500 in east now"),
        (RUNNING, [100] * 6, [500] * 6, Change.KEEP, "east", "run on in east at 100 g/kWh; to the end at about 01-01 02:00Z"),
        (SUSPENDED, [100] * 6, [500] * 6, Change.START, "east", "resume in east at 100 g/kWh; to the end at about 01-01 02:00Z"),
        (SUSPENDED, [90, 400, 90, 400, 400, 400], [500] * 6, Change.START, "east", "planned pause from 01-01 01:00Z"),
        (
            SUSPENDED,
            [90, 400, 400, 400, 400, 400],
            [500, 80, 500, 500, 500, 500],
            Change.START,
            "east",
            "planned move to west at 01-01 01:00Z",
        ),
    ],
)
def test_the_first_step_and_its_reason(
    progress: Progress, east: list[float], west: list[float], change: Change, target: str | None, says: str
) -> None:
    decision = decide(progress, around(east, west))
    assert decision.change is change
    assert (decision.target.region if decision.target else None) == target
    assert says in decision.reason
    assert not decision.is_forced


def test_a_reason_tells_savings_that_add_up() -> None:
    decision = decide(FRESH, around([500, 500, 100, 100, 500, 500], [600] * 6))
    # 2 h of 0.92 kW (utilisation 0.9, idle share 0.2) at 400 g/kWh less
    assert "saves 0.74 kg = 0.74 USD against running through in east, costs 2.0 h and +0.00 USD of nodes" in decision.reason


def test_where_waiting_gains_nothing_the_work_runs() -> None:
    assert decide(FRESH, around([300] * 6, [300] * 6)).target == Placement(region="east", workers=1)
    assert decide(SUSPENDED, around([300] * 6, [300] * 6)).target == Placement(region="east", workers=1)


intensities = st.lists(st.floats(0.0, 900.0), min_size=6, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    intensities,
    intensities,
    st.sampled_from([FRESH, RUNNING, SUSPENDED, replace(RUNNING, starting_s=600.0), replace(FRESH, is_running=True, starting_s=600.0)]),
    st.sampled_from([{}, {"east": at(1)}, {"west": at(2)}, {"east": at(9), "west": at(9)}]),
    st.sampled_from([2.0, 5.0, 6.0, 20.0]),
)
def test_reasons_are_one_line_and_name_a_region_and_numbers_are_numbers(
    east: list[float], west: list[float], progress: Progress, blocked: dict[str, datetime], remaining_h: float
) -> None:
    overheads = Overheads(checkpoint_h=0.05, restore_h=0.05, migrate_h=0.1, startup_s=600.0)
    plan, decision = HOURLY.decide(
        workload(overheads=overheads), replace(progress, remaining_h=remaining_h), around(east, west, blocked), now=T0
    )
    for reason in (plan.reason, decision.reason):
        assert "\n" not in reason
        assert "east" in reason or "west" in reason
        assert "nan" not in reason
        assert "inf" not in reason
    assert not math.isnan(decision.gain_usd)
    assert decision.gain_usd >= -1e-9
    assert plan.steps
    assert plan.forecast_version == 3


# Hysteresis


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        (Replan(slot_s=3600.0, hysteresis_fraction=0.0), Change.MOVE),
        (Replan(slot_s=3600.0, hysteresis_fraction=0.04), Change.MOVE),
        (Replan(slot_s=3600.0, hysteresis_fraction=0.06), Change.KEEP),
        (Replan(slot_s=3600.0, hysteresis_fraction=0.0, hysteresis_usd=0.01), Change.MOVE),
        (Replan(slot_s=3600.0, hysteresis_fraction=0.0, hysteresis_usd=0.02), Change.KEEP),
    ],
)
def test_a_running_workload_is_left_alone_for_a_small_gain(policy: Replan, change: Change) -> None:
    # Moving now and not an hour later saves a twentieth of that hour: 0.92 kWh x 20 g/kWh = 18.4 g = 0.0184 USD.
    plan, decision = policy.decide(workload(), RUNNING, around([400] * 6, [380] * 6), now=T0)
    assert decision.change is change
    assert decision.gain_usd == pytest.approx(0.0184 if change is Change.MOVE else 0.0)
    assert plan.now.region == ("west" if change is Change.MOVE else "east")


def test_hysteresis_does_not_depend_on_how_much_work_is_left() -> None:
    left = replace(RUNNING, remaining_h=100.0)
    surroundings = around([400] * 200, [300] * 200)
    assert decide(left, surroundings, Replan(slot_s=3600.0, hysteresis_fraction=0.02), deadline_at=at(200)).change is Change.MOVE


def test_a_start_needs_no_gain() -> None:
    assert decide(FRESH, around([400] * 6, [380] * 6), Replan(slot_s=3600.0, hysteresis_fraction=0.5)).target == Placement(
        region="west", workers=1
    )


# Force


@pytest.mark.parametrize(
    ("progress", "remaining_h", "target"),
    [
        (FRESH, 6.0, "west"),  # not a slot to spare: the plan says so
        (RUNNING, 6.0, "east"),
        (FRESH, 7.5, "west"),  # too late by any plan: it runs all the same, where it is cleanest now
        (RUNNING, 7.5, "east"),
        (SUSPENDED, 100.0, "west"),
    ],
)
def test_near_the_deadline_the_work_runs(progress: Progress, remaining_h: float, target: str) -> None:
    overheads = Overheads(migrate_h=0.1)
    east, west = [500] * 5 + [490], [480] * 5 + [450]
    decision = decide(
        replace(progress, remaining_h=remaining_h), around(east, west), Replan(slot_s=3600.0, hysteresis_fraction=0.1), overheads=overheads
    )
    assert decision.target == Placement(region=target, workers=1)
    assert decision.is_forced or decision.change is Change.KEEP
    if remaining_h > 6:
        assert decision.gain_usd == 0.0
        assert "leaves no room for waiting" in decision.reason


@pytest.mark.parametrize("over_h", [-1.0, 0.0, 5.0])
def test_past_its_deadline_the_work_runs_to_its_end(over_h: float) -> None:
    decision = decide(SUSPENDED, around([500, 1, 1], [600, 1, 1]), deadline_at=at(-over_h))
    assert decision.target == Placement(region="east", workers=1)
    assert decision.is_forced


def test_a_sliver_before_the_deadline_is_not_taken_for_a_whole_slot() -> None:
    surroundings = around([100] * 6, [100] * 6)
    HOURLY.require_feasible(workload(work_h=0.5, deadline_at=at(0.5)), surroundings, now=T0)
    with pytest.raises(DeadlineTooShort):
        HOURLY.require_feasible(workload(work_h=0.5, deadline_at=at(0.4)), surroundings, now=T0)


# Blocked regions


@pytest.mark.parametrize(
    ("progress", "blocked", "target", "is_forced"),
    [
        (FRESH, {"east": at(1)}, None, False),  # east is worth an hour's wait
        (FRESH, {"east": at(5)}, "west", False),
        (FRESH, {"east": at(6), "west": at(2)}, None, False),
        (RUNNING, {"east": at(6)}, "west", True),
        (RUNNING, {"east": at(1)}, None, True),
        (RUNNING, {"west": at(6)}, "east", False),
        (FRESH, {"east": at(6), "west": at(6)}, "east", True),  # nothing helps; the guards will hold it
    ],
)
def test_a_blocked_region_is_not_planned_for(progress: Progress, blocked: dict[str, datetime], target: str | None, is_forced: bool) -> None:
    decision = decide(progress, around([100] * 6, [300] * 6, blocked))
    assert (decision.target.region if decision.target else None) == target
    assert decision.is_forced is is_forced


def test_a_start_up_longer_than_the_block_is_not_kept_in_a_blocked_region() -> None:
    starting = Progress(remaining_h=2.0, region="east", is_running=True, starting_s=2 * 3600.0)
    overheads = Overheads(startup_s=2 * 3600.0)
    decision = decide(starting, around([100] * 6, [300] * 6, {"east": at(1)}), overheads=overheads)
    assert decision.target is None or decision.target.region == "west"


# Guards


def a_decision(current: str | None, target: str | None, *, decided_at: datetime = T0, is_forced: bool = False) -> Decision:
    def placement(name: str | None) -> Placement | None:
        return Placement(region=name, workers=1) if name else None

    return Decision(workload_id="run", at=decided_at, current=placement(current), target=placement(target), reason="r", is_forced=is_forced)


@pytest.mark.parametrize(
    ("decision", "progress", "blocked", "error"),
    [
        (a_decision(None, "east"), FRESH, {}, None),
        (a_decision("east", "west"), RUNNING, {}, None),
        (a_decision("east", None), RUNNING, {}, None),
        (a_decision("east", "east"), FRESH, {"east": at(9)}, None),  # keeping is always admitted
        (a_decision("west", "east"), RUNNING, {}, SnapshotOutdated),
        (a_decision(None, "east"), RUNNING, {}, SnapshotOutdated),
        (a_decision("east", None), FRESH, {}, SnapshotOutdated),
        (a_decision(None, "east", decided_at=at(-1.1)), FRESH, {}, SnapshotOutdated),
        (a_decision(None, "east", decided_at=at(-1.0)), FRESH, {}, None),
        (a_decision("east", None), replace(RUNNING, since_at=at(-0.2)), {}, CooldownActive),
        (a_decision("east", None), replace(RUNNING, since_at=at(-0.25)), {}, None),
        (a_decision("east", None, is_forced=True), replace(RUNNING, since_at=at(-0.2)), {}, None),
        (a_decision(None, "east"), replace(SUSPENDED, since_at=at(-0.2)), {}, CooldownActive),
        (a_decision(None, "east"), FRESH, {"east": at(0.1)}, NoCapacityError),
        (a_decision(None, "east"), FRESH, {"east": T0}, None),
        (a_decision(None, "east", is_forced=True), FRESH, {"east": at(0.1)}, NoCapacityError),
        (a_decision(None, "north"), FRESH, {}, NoCapacityError),
    ],
)
def test_guards(decision: Decision, progress: Progress, blocked: dict[str, datetime], error: type[CarbonRayError] | None) -> None:
    surroundings = around([100] * 6, [100] * 6, blocked)
    guards = Guards(min_stay_s=900.0, max_decision_age_s=3600.0)
    if error is None:
        assert guards.admit(decision, workload(), progress, surroundings, now=T0) is decision
    else:
        with pytest.raises(error):
            guards.admit(decision, workload(), progress, surroundings, now=T0)


def test_guards_do_not_admit_more_workers_than_a_region_holds() -> None:
    with pytest.raises(NoCapacityError, match="cannot hold 3 workers"):
        Guards().admit(a_decision(None, "east"), workload(workers=3), FRESH, around([1] * 6, [1] * 6), now=T0)


# The baseline, and finding policies by name


@pytest.mark.parametrize("progress", [FRESH, SUSPENDED])
def test_run_now_starts_at_once_at_home(progress: Progress) -> None:
    plan, decision = RunNow(slot_s=3600.0).decide(workload(), progress, around([900, 1, 1, 1, 1, 1], [1] * 6), now=T0)
    assert decision.change is Change.START
    assert decision.target == Placement(region="east", workers=1)
    assert decision.reason == "run at once in east"
    assert [step.region for step in plan.steps] == ["east"]
    assert plan.expected.finish_at == at(2)


def test_run_now_runs_on() -> None:
    assert RunNow(slot_s=3600.0).decide(workload(), RUNNING, around([900, 1, 1, 1, 1, 1], [1] * 6), now=T0)[1].change is Change.KEEP


def test_policies_are_found_by_name_and_take_the_parameters_that_they_have() -> None:
    assert policy_named("carbon_ray", slot_s=600.0, hysteresis_fraction=0.1) == Replan(slot_s=600.0, hysteresis_fraction=0.1)
    assert policy_named("run_now", slot_s=600.0, hysteresis_fraction=0.1) == RunNow(slot_s=600.0)
    assert isinstance(policy_named("run_now"), PlacementPolicy)
    with pytest.raises(ConfigError, match=r"unknown policy 'best'; installed: best_window, .*carbon_ray, .*run_now"):
        policy_named("best")
