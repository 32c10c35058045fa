"""The published rules under the controller: plan, decision, reason, shut regions, start-ups, and their names."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Change, Placement
from carbon_ray.core.errors import ConfigError, ForecastHorizonError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import PlacementPolicy, Surroundings
from carbon_ray.policies.baselines import RULES, BestWindow, CarbonTime, LowestWindow, RunNowRule, WaitAwhile, placements
from carbon_ray.policies.baselines.placements import StaticCleanestPolicy, WaitAwhileBlockPolicy, WaitAwhilePolicy
from carbon_ray.policies.baselines.policy import RulePolicy

T0 = datetime(2022, 1, 1, tzinfo=UTC)
EAST = [5.0, 3.0, 4.0, 1.0, 6.0, 2.0, 7.0, 8.0]
WEST = [9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0]
POLICIES = sorted(
    (
        one
        for _, one in inspect.getmembers(placements, inspect.isclass)
        if one.__name__.endswith("Policy") and one.__module__ == placements.__name__
    ),
    key=lambda one: one.__name__,
)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def region(name: str) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="test")
    node_type = NodeType(name=f"gpu-{name}", resources={"GPU": 1.0}, max_nodes=2, usd_per_h=1.0, power=power)
    return Region(name=name, zone=name, pue=1.0, node_types=(node_type,))


def around(blocked_until: dict[str, datetime] | None = None, **values: list[float]) -> Surroundings:
    columns: dict[str, list[float]] = {"east": EAST, "west": WEST, **values}
    forecasts = {
        zone: Forecast.certain(
            IntensitySeries(
                zone=zone,
                kind=IntensityKind.AVERAGE_LIFECYCLE,
                start_at=T0,
                step_s=3600.0,
                values_gco2_per_kwh=column,  # type: ignore[arg-type]
                provenance=Provenance(provider="test"),
            ),
            T0,
        )
        for zone, column in columns.items()
    }
    return Surroundings(
        regions={zone: region(zone) for zone in columns},
        snapshot=ForecastSnapshot(version=3, issued_at=T0, forecasts=forecasts),
        blocked_until=blocked_until or {},
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
        "deadline_at": at(8),
        "objective": Objective(usd_per_kgco2=1.0, usd_weight=0.0),
        "utilisation_fraction": 1.0,
    }
    return Workload(**{**given_, **changes})


FRESH = Progress(remaining_h=2.0, region="east")


def test_the_plan_is_what_the_rule_would_do_if_the_forecast_came_true() -> None:
    plan, decision = RulePolicy(rule=WaitAwhile(), slot_s=3600.0).decide(workload(), FRESH, around(), now=T0)
    assert [(step.start_at, step.region) for step in plan.steps] == [(T0, None), (at(3), "east"), (at(4), None), (at(5), "east")]
    assert (plan.expected.gco2, plan.expected.suspends, plan.expected.finish_at) == (pytest.approx(3.0), 1, at(6))
    assert plan.forecast_version == 3
    assert (decision.change, decision.target, decision.is_forced) == (Change.KEEP, None, False)
    assert decision.reason == plan.reason
    assert decision.reason.startswith("wait_awhile: wait: ")
    assert "run from 01-01 03:00Z in east" in decision.reason


@pytest.mark.parametrize(
    ("policy", "now", "progress", "target", "change"),
    [
        (RulePolicy(rule=RunNowRule(), slot_s=3600.0), T0, FRESH, "east", Change.START),
        (RulePolicy(rule=BestWindow(), slot_s=3600.0), T0, FRESH, None, Change.KEEP),
        (RulePolicy(rule=BestWindow(), slot_s=3600.0), at(6), FRESH, "west", Change.START),
        (RulePolicy(rule=LowestWindow(), slot_s=3600.0), at(2), FRESH, "east", Change.START),
        (
            RulePolicy(rule=WaitAwhile(), slot_s=3600.0),
            at(4),
            Progress(remaining_h=1.0, region="east", is_running=True, is_started=True, since_at=at(3)),
            None,
            Change.SUSPEND,
        ),
        (
            RulePolicy(rule=LowestWindow(), slot_s=3600.0),
            at(4),
            Progress(remaining_h=1.0, region="west", is_running=True, is_started=True, since_at=at(3)),
            "west",
            Change.KEEP,
        ),
        (StaticCleanestPolicy(slot_s=3600.0), T0, FRESH, "east", Change.START),
        (
            StaticCleanestPolicy(slot_s=3600.0, annual_mean_gco2_per_kwh={"east": 2.0, "west": 1.0, "north": 0.0}),
            T0,
            FRESH,
            "west",
            Change.START,
        ),
    ],
)
def test_decisions(policy: PlacementPolicy, now: datetime, progress: Progress, target: str | None, change: Change) -> None:
    plan, decision = policy.decide(workload(), progress, around(), now=now)
    assert decision.change is change
    assert decision.target == (None if target is None else Placement(region=target, workers=1))
    assert plan.now.region == target


def test_the_last_moment_is_forced() -> None:
    _, decision = RulePolicy(rule=WaitAwhile(), slot_s=3600.0).decide(workload(), FRESH, around(), now=at(6))
    assert decision.is_forced
    assert "leaves no room for waiting" in decision.reason
    _, too_late = RulePolicy(rule=WaitAwhile(), slot_s=3600.0).decide(workload(), FRESH, around(), now=at(7))
    assert too_late.target == Placement(region="east", workers=1)
    assert too_late.is_forced


def test_a_shut_region_is_waited_for_or_left() -> None:
    shut = around(blocked_until={"east": at(5)})
    plan, _ = RulePolicy(rule=LowestWindow(), slot_s=3600.0).decide(workload(), FRESH, shut, now=T0)
    assert [(step.start_at, step.region) for step in plan.steps] == [(T0, None), (at(5), "east")]
    _, decision = RulePolicy(rule=LowestWindow(), slot_s=3600.0).decide(workload(deadline_at=at(2)), FRESH, shut, now=T0)
    assert decision.target == Placement(region="west", workers=1)
    running = Progress(remaining_h=1.0, region="east", is_running=True, is_started=True, since_at=T0)
    _, goes_on = RulePolicy(rule=LowestWindow(), slot_s=3600.0).decide(workload(), running, shut, now=at(1))
    assert goes_on.change is Change.KEEP
    _, cleanest = RulePolicy(rule=WaitAwhile(), slot_s=3600.0).decide(workload(), running, shut, now=at(3))
    assert cleanest.change is Change.KEEP, "shut is shut for new nodes, not for those that are held"


def test_start_ups_take_slots_and_are_finished() -> None:
    slow = workload(overheads=Overheads(startup_s=3600.0))
    plan, _ = RulePolicy(rule=LowestWindow(), slot_s=3600.0).decide(slow, FRESH, around(), now=T0)
    assert [(step.start_at, step.region) for step in plan.steps] == [(T0, None), (at(1), "east")]
    assert plan.expected.finish_at == at(4)
    starting = Progress(remaining_h=2.0, region="east", is_running=True, since_at=at(1), starting_s=1800.0)
    plan, decision = RulePolicy(rule=WaitAwhile(), slot_s=1800.0).decide(slow, starting, around(), now=at(1.5))
    assert decision.change is Change.KEEP
    assert plan.now.region == "east"


def test_carbon_time_remembers_submission_where_the_forecast_reaches_back() -> None:
    late = [8.0, 3.0, 3.0, 8.0, 8.0, 8.0, 2.0, 2.0]
    policy = RulePolicy(rule=CarbonTime(), slot_s=3600.0)
    first, _ = policy.decide(workload(), FRESH, around(east=late), now=T0)
    _, then = policy.decide(workload(), FRESH, around(east=late), now=at(1))
    assert first.steps[1].start_at == at(1)
    assert then.change is Change.START


def test_a_last_part_of_a_slot_ends_with_the_work() -> None:
    plan, _ = RulePolicy(rule=RunNowRule(), slot_s=3600.0).decide(
        workload(work_h=1.5), dataclasses.replace(FRESH, remaining_h=1.5), around(), now=T0
    )
    assert plan.expected.finish_at == at(1.5)
    assert plan.expected.gco2 == pytest.approx(5.0 + 0.5 * 3.0)
    done, decision = RulePolicy(rule=WaitAwhile(), slot_s=3600.0).decide(
        workload(), Progress(remaining_h=0.0, region="east", is_running=True, is_started=True), around(), now=at(1)
    )
    assert decision.change is Change.KEEP
    assert len(done.steps) == 1


def test_a_home_that_may_not_be_used_is_no_obstacle() -> None:
    away = workload(regions=("west",))
    for rule_class in RULES:
        _, decision = RulePolicy(rule=rule_class(), slot_s=3600.0).decide(away, FRESH, around(), now=at(6))
        assert decision.target == Placement(region="west", workers=1)


def test_errors_are_those_of_the_contract() -> None:
    with pytest.raises(ForecastHorizonError):
        RulePolicy(rule=WaitAwhile()).decide(workload(deadline_at=at(9)), FRESH, around(), now=T0)
    with pytest.raises(ConfigError, match="lacks west"):
        StaticCleanestPolicy(annual_mean_gco2_per_kwh={"east": 1.0}).decide(workload(), FRESH, around(), now=T0)


@pytest.mark.parametrize("policy_class", POLICIES, ids=lambda one: one.__name__)
def test_every_named_policy_is_made_as_the_registry_makes_it(policy_class: type[Any]) -> None:
    assert {"slot_s"} <= {field.name for field in dataclasses.fields(policy_class)}
    policy = policy_class(slot_s=3600.0)
    assert isinstance(policy_class(), PlacementPolicy)
    plan, decision = policy.decide(workload(), FRESH, around(), now=T0)
    assert plan.steps[-1].end_at <= at(8)
    assert decision.workload_id == "run"
    assert decision.reason
    assert policy == policy_class(slot_s=3600.0)


def test_there_is_a_named_policy_for_every_rule_but_run_now() -> None:
    """`RunNow` is one of its own: it also works where home is the only region that it looks at."""
    named = {rule for one in POLICIES for rule in one.__mro__ if rule in RULES}
    assert named | {rule for rule in RULES if rule.__name__ in ("RunNowRule", "StaticCleanest")} == set(RULES)
    assert WaitAwhileBlockPolicy().name != WaitAwhilePolicy().name


@settings(max_examples=40, deadline=None)
@given(
    east=st.lists(st.floats(1, 900), min_size=8, max_size=8),
    work_h=st.floats(0.3, 6.0),
    startup_s=st.sampled_from([0.0, 900.0, 2400.0]),
    index=st.integers(0, len(RULES) - 1),
)
def test_every_plan_ends_in_time(east: list[float], work_h: float, startup_s: float, index: int) -> None:
    work = workload(work_h=work_h, overheads=Overheads(startup_s=startup_s, restore_h=0.1, checkpoint_h=0.05, migrate_h=0.5))
    policy = RulePolicy(rule=RULES[index](), slot_s=1800.0)
    plan, _ = policy.decide(work, Progress(remaining_h=work_h, region="east"), around(east=east), now=T0)
    assert plan.expected.finish_at <= at(8)
    assert plan.expected.energy_kwh >= work_h - 1e-9
