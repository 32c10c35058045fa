"""Checks and derived properties of workloads, plans, decisions and capacity plans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.decision import Change, Decision, Placement
from carbon_ray.core.plan import Expected, Plan, PlanStep
from carbon_ray.core.workload import Overheads, ScalingProfile, Workload

T0 = datetime(2022, 5, 2, tzinfo=UTC)
T1 = T0 + timedelta(hours=1)


def workload(**changes: Any) -> Workload:
    fields: dict[str, Any] = {
        "workload_id": "w",
        "work_h": 2.0,
        "workers": 2,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": "eu-de",
        "regions": ("eu-de",),
        "submitted_at": T0,
        "deadline_at": T1,
    }
    return Workload(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"work_h": 0.0}, "work_h must be above 0"),
        ({"work_h": -1.0}, "work_h must be above 0"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"regions": ()}, "regions must name at least one"),
        ({"utilisation_fraction": 1.1}, "utilisation_fraction must be within"),
        ({"utilisation_fraction": -0.1}, "utilisation_fraction must be within"),
        ({"total_steps": 0}, "total_steps must be at least 1"),
        ({"submitted_at": T0.replace(tzinfo=None)}, "submitted_at must be an aware UTC"),
        ({"deadline_at": T0.replace(tzinfo=None)}, "deadline_at must be an aware UTC"),
    ],
)
def test_a_malformed_workload_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        workload(**changes)


def test_the_safety_margin_comes_off_the_deadline() -> None:
    assert workload(safety_margin_s=900.0).latest_finish_at == T1 - timedelta(minutes=15)
    assert workload().latest_finish_at == T1


@pytest.mark.parametrize("throughput", [(), (2.0,), (1.0, 0.0), (1.0, -1.0)])
def test_throughput_starts_with_one_worker(throughput: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"throughput must start with 1\.0"):
        ScalingProfile(throughput=throughput)


def test_linear_scaling() -> None:
    assert ScalingProfile.linear(3) == ScalingProfile(throughput=(1.0, 2.0, 3.0))


@pytest.mark.parametrize("field", ["checkpoint_h", "restore_h", "migrate_h", "startup_s", "egress_usd"])
def test_no_overhead_is_negative(field: str) -> None:
    with pytest.raises(ValueError, match="overheads must not be negative"):
        Overheads(**{field: -0.1})


@pytest.mark.parametrize("every_s", [0.0, -1.0])
def test_checkpoints_are_some_time_apart(every_s: float) -> None:
    with pytest.raises(ValueError, match="checkpoint_every_s must be above 0"):
        Overheads(checkpoint_every_s=every_s)


HERE, THERE = Placement(region="eu-de", workers=2), Placement(region="us-ca", workers=2)


@pytest.mark.parametrize(
    ("current", "target", "expected"),
    [
        (None, None, Change.KEEP),
        (HERE, HERE, Change.KEEP),
        (None, HERE, Change.START),
        (HERE, None, Change.SUSPEND),
        (HERE, THERE, Change.MOVE),
        (HERE, Placement(region="eu-de", workers=4), Change.MOVE),
    ],
)
def test_what_a_decision_changes_follows_from_its_ends(current: Placement | None, target: Placement | None, expected: Change) -> None:
    assert Decision(workload_id="w", at=T0, current=current, target=target, reason="").change is expected


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2)])
def test_node_limits_are_in_order(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="0 <= min_nodes <= max_nodes"):
        TypePlan(min_nodes=low, max_nodes=high)


def test_a_capacity_plan_ends_at_its_expiry() -> None:
    plan = CapacityPlan(version=1, issued_at=T0, valid_until=T1)
    assert plan.is_valid(T0)
    assert plan.is_valid(T1 - timedelta.resolution)
    assert not plan.is_valid(T1)


def test_a_plan_begins_with_what_to_do_now() -> None:
    first = PlanStep(start_at=T0, end_at=T1, region=None, workers=0)
    then = PlanStep(start_at=T1, end_at=T1 + timedelta(hours=1), region="eu-de", workers=2)
    expected = Expected(objective_usd=1.0, gco2=1.0, energy_kwh=1.0, usd=1.0, finish_at=then.end_at, suspends=0, moves=0)
    plan = Plan(workload_id="w", created_at=T0, steps=(first, then), expected=expected, reason="", forecast_version=1)
    assert plan.now is first
