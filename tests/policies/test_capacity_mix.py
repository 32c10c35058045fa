"""Needs, offers and who gets what: from plans to claims, the price of an interruption, when spot is safe, and the least-cost mix."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Placement
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Expected, Plan, PlanStep
from carbon_ray.core.region import Market, NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.capacity import Claim, Horizon, Need, SpotRule, anticipated, assign, needs_of, offers_for, with_room
from carbon_ray.policies.capacity.offers import expected_usd_per_h, poisson_at_most

T0 = datetime(2022, 1, 3, tzinfo=UTC)
POWER = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test")


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def node_type(name: str, market: Market, usd_per_h: float, *, max_nodes: int = 10, interruptions_per_h: float = 0.0) -> NodeType:
    return NodeType(
        name=name,
        resources={"GPU": 1.0},
        max_nodes=max_nodes,
        usd_per_h=usd_per_h,
        power=POWER,
        market=market,
        interruptions_per_h=interruptions_per_h,
    )


SURE = node_type("sure", Market.ON_DEMAND, 3.0)
OURS = node_type("ours", Market.RESERVED, 2.0, max_nodes=2)
SPOT = node_type("spot", Market.SPOT, 1.0, interruptions_per_h=0.1)


def region(*types: NodeType) -> Region:
    return Region(name="east", zone="DE", pue=1.0, node_types=types)


def workload(workload_id: str = "w", *, slack_h: float = 20.0, work_h: float = 4.0, workers: int = 1, **changes: Any) -> Workload:
    overheads = Overheads(checkpoint_every_s=1800.0, startup_s=900.0)
    given: dict[str, Any] = {
        "workload_id": workload_id,
        "work_h": work_h,
        "workers": workers,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": "east",
        "regions": ("east", "west"),
        "submitted_at": T0,
        "deadline_at": at(work_h + 0.25 + slack_h),
        "objective": Objective(usd_per_kgco2=0.0, usd_weight=0.0),
        "overheads": overheads,
        "utilisation_fraction": 1.0,
    }
    return Workload(**{**given, **changes})


def need(one: Workload | None = None, *, start: float = 0.0, end: float = 4.0, **changes: Any) -> Need:
    one = one or workload()
    given: dict[str, Any] = {"region": "east", "workers": one.workers, "remaining_h": one.work_h, "reason": "why"}
    return Need(workload=one, start_at=at(start), end_at=at(end), **{**given, **changes})


# Needs


def plan_of(*steps: tuple[float, float, str | None, int]) -> Plan:
    expected = Expected(objective_usd=0.0, gco2=0.0, energy_kwh=0.0, usd=0.0, finish_at=at(steps[-1][1]), suspends=0, moves=0)
    made = tuple(PlanStep(start_at=at(start), end_at=at(end), region=where, workers=workers) for start, end, where, workers in steps)
    return Plan(workload_id="w", created_at=T0, steps=made, expected=expected, reason="plan", forecast_version=1)


EAST, WEST = Placement(region="east", workers=1), Placement(region="west", workers=1)


@pytest.mark.parametrize(
    ("target", "steps", "expected"),
    [
        (None, None, []),
        (EAST, None, [("east", 0.0, 4.25, True, 4.0)]),  # without a plan, as long as the work and its start take
        (EAST, [(0, 4.25, "east", 1)], [("east", 0.0, 4.25, True, 4.0)]),
        (EAST, [(0, 1, "east", 1), (1, 4.25, "east", 1)], [("east", 0.0, 4.25, True, 4.0)]),
        (
            EAST,
            [(0, 2, "east", 1), (2, 6, None, 0), (6, 8.25, "west", 1)],
            [("east", 0.0, 2.0, True, 4.0), ("west", 6.0, 8.25, False, 2.0)],
        ),
        (None, [(0, 6, None, 0), (6, 10.25, "west", 1)], [("west", 6.0, 10.25, False, 4.0)]),
        (None, [(0, 4.25, "east", 1)], []),  # a guard refused the start
        (EAST, [(0, 2, "west", 1), (2, 4.5, "east", 2)], [("east", 0.0, 2.0, True, 4.0), ("east", 2.0, 4.5, False, 4.0)]),
        (EAST, [(-3, -1, "west", 1), (-1, 3, "east", 1)], [("east", 0.0, 3.0, True, 4.0)]),  # made three hours ago
        (None, [(3, 7.25, "east", 1)], [("east", 3.0, 7.25, False, 4.0)]),
    ],
)
def test_needs(
    target: Placement | None,
    steps: list[tuple[float, float, str | None, int]] | None,
    expected: list[tuple[str, float, float, bool, float]],
) -> None:
    progress = Progress(remaining_h=4.0, region="east", is_running=target is not None, is_started=True)
    found = needs_of(workload(), progress, target, plan_of(*steps) if steps else None, now=T0, reason="told", held="sure")
    assert [(one.region, one.start_at, one.end_at, one.is_told) for one in found] == [
        (where, at(start), at(end), is_told) for where, start, end, is_told, _ in expected
    ]
    assert [one.remaining_h for one in found] == pytest.approx([left_h for *_, left_h in expected])
    assert [(one.held, one.reason == "told") for one in found] == [("sure", True) if one.is_told else (None, False) for one in found]


def test_slack_is_what_is_left_after_the_work_and_its_start() -> None:
    one = workload(slack_h=20.0)
    assert need(one).slack_h == pytest.approx(20.0)
    assert need(one, start=5.0).slack_h == pytest.approx(15.0)
    assert need(one, remaining_h=1.0).slack_h == pytest.approx(23.0)
    assert need(replace(one, safety_margin_s=3600.0)).slack_h == pytest.approx(19.0)


@pytest.mark.parametrize("begins_h", [1.0, 1.1, 2.5])
def test_the_start_of_a_drifting_step_is_known_a_slot_ahead(begins_h: float) -> None:
    """A planner that starts at `begins_h`, on slots of a quarter of an hour from its own now."""
    seen: dict[str, Need] = {}
    told = []
    begins_s = round(begins_h * 3600)
    for second in range(0, begins_s, 60):
        slots = math.ceil((begins_s - second) / 900)
        drifting = need(start=second / 3600 + slots / 4, end=99.0, is_told=False)
        (found,) = anticipated([drifting], seen, slot_s=900.0, now=at(second / 3600))
        seen = {"w": found}
        told.append((begins_s - second, (found.start_at - at(begins_h)).total_seconds()))
    assert all(abs(error_s) < 60 for ahead_s, error_s in told if ahead_s <= 840)
    assert all(0 <= error_s < 900 for _, error_s in told)


@pytest.mark.parametrize(
    ("before", "planned", "expected"),
    [
        (None, 1.1, 1.1),
        (1.0, 1.1, 1.0),
        (1.0, 0.9, 0.9),
        (1.0, 1.26, 1.26),  # more than a slot later: the plan has changed
        (0.4, 0.6, 0.6),  # it was to begin and did not
    ],
)
def test_what_was_announced_counts_while_the_plan_is_the_same(before: float | None, planned: float, expected: float) -> None:
    seen = {} if before is None else {"w": need(start=before, is_told=False, reason="before")}
    one, other = need(start=planned, is_told=False), need(start=9.0, end=10.0, is_told=False)
    found = anticipated([need(), one, other], seen, slot_s=900.0, now=at(0.5))
    assert [each.start_at for each in found] == [at(0.0), at(expected), at(9.0)]
    moved = anticipated([replace(one, region="west")], seen, slot_s=900.0, now=at(0.5))
    assert moved[0].start_at == at(planned)


# Counting


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.integers(0, 20), st.integers(1, 9)), max_size=8),
    st.integers(-2, 30),
    st.integers(0, 12),
)
def test_the_horizon_counts_as_one_would_by_hand(made: list[tuple[str, int, int, int]], start: int, length: int) -> None:
    claims = [
        Claim(workload_id="w", node_type=name, nodes=nodes, start_at=at(begin), end_at=at(begin + span))
        for name, nodes, begin, span in made
    ]
    horizon = Horizon(claims)
    for name in "abc":
        by_hour = [
            sum(nodes for kind, nodes, begin, span in made if kind == name and begin <= hour < begin + span) for hour in range(-2, 45)
        ]
        assert horizon.at(name, at(start)) == by_hour[start + 2]
        assert horizon.most(name, at(start), at(start + length)) == max(by_hour[start + 2 : max(start + length, start + 1) + 2])
        told = horizon.intervals(name)
        assert all(one != two for one, two in itertools.pairwise(told.values()))
        for hour in range(-2, 44):
            assert next((count for instant, count in reversed(told.items()) if instant <= at(hour)), 0) == by_hour[hour + 2]


# The price of an interruption


def test_expected_cost_by_hand() -> None:
    """4 nodes taken back at 0.02 an hour each lose 0.25 + 0.25 h 0.08 times an hour: 4 % of the time is done again."""
    spot = replace(SPOT, interruptions_per_h=0.02)
    one = workload(workers=4, objective=Objective(usd_per_kgco2=0.5, usd_per_h_delay=2.0))
    hour_usd = 4 * 1.0 + 0.5 * 4 * 300 / 1000 + 2.0
    assert expected_usd_per_h(need(one), region(spot), spot, 4, 300.0) == pytest.approx(hour_usd / (1 - 0.08 * 0.5))
    assert expected_usd_per_h(need(one), region(SURE), SURE, 4, 300.0) == pytest.approx(4 * 3.0 + 0.6 + 2.0)
    assert expected_usd_per_h(need(one), region(OURS), OURS, 4, 300.0) == pytest.approx(0.6 + 2.0), "what is paid already is free"
    assert expected_usd_per_h(need(one), region(spot), replace(spot, interruptions_per_h=0.5), 4, 0.0) == math.inf
    unknown = replace(one, overheads=replace(one.overheads, checkpoint_every_s=None))
    assert expected_usd_per_h(need(unknown), region(spot), spot, 4, 300.0) == pytest.approx(hour_usd / (1 - 0.08 * 2.25))


def lived_h(random: np.random.Generator, *, work_h: float, checkpoint_h: float, restart_h: float, rate_per_h: float) -> float:
    """Hours that a segment's nodes are held until the work is done, restarts included, by drawing the losses."""
    held_h, left_h = restart_h, work_h
    to_go_h = random.exponential(1 / rate_per_h)
    while True:
        if to_go_h >= left_h:
            return held_h + left_h
        saved_h = math.floor(to_go_h / checkpoint_h) * checkpoint_h
        held_h, left_h = held_h + to_go_h + restart_h, left_h - saved_h
        to_go_h = random.exponential(1 / rate_per_h)


@pytest.mark.parametrize("rate_per_h", [0.05, 0.2])
def test_the_expected_cost_is_what_drawing_the_losses_gives(rate_per_h: float) -> None:
    random = np.random.default_rng(3)
    spot = replace(SPOT, interruptions_per_h=rate_per_h)
    drawn = [lived_h(random, work_h=40.0, checkpoint_h=0.5, restart_h=0.25, rate_per_h=rate_per_h) for _ in range(4000)]
    expected_h = 40.0 * expected_usd_per_h(need(workload(work_h=40.0)), region(spot), spot, 1, 0.0)
    assert np.mean(drawn) - 0.25 == pytest.approx(expected_h, rel=0.02)


# When spot is safe


@pytest.mark.parametrize(
    ("slack_h", "rate_per_h", "nodes", "is_safe"),
    [
        (20.0, 0.1, 1, True),
        (0.74, 0.001, 1, False),  # one interruption at its worst costs 0.5 h and a start of 0.25 h
        (0.75, 0.001, 1, True),
        (0.75, 0.1, 1, False),  # two come too often
        (1.5, 0.1, 1, True),
        (1.5, 0.1, 4, False),
        (20.0, 0.1, 4, True),
        (20.0, 0.1, 40, False),
        (-1.0, 0.001, 1, False),
        (-1.0, 0.0, 1, True),
    ],
)
def test_spot_is_safe_where_the_slack_absorbs_what_comes(slack_h: float, rate_per_h: float, nodes: int, is_safe: bool) -> None:
    spot = replace(SPOT, interruptions_per_h=rate_per_h, max_nodes=100)
    one = need(workload(slack_h=slack_h, workers=nodes))
    assert SpotRule().allows(one, spot, nodes) is is_safe
    assert offers_for(one, region(spot))[0].is_safe is is_safe


def test_without_checkpoints_all_that_was_done_counts_as_lost() -> None:
    rare = replace(SPOT, interruptions_per_h=0.001)
    for slack_h, is_safe in ((4.2, False), (4.3, True)):
        one = workload(slack_h=slack_h, overheads=Overheads(startup_s=900.0))
        assert SpotRule().allows(need(one), rare, 1) is is_safe


UNSAFE = {(3.0, 0.2, 0.99), (6.0, 0.4, 0.99), (12.0, 0.7, 0.95), (12.0, 0.7, 0.99)}


@pytest.mark.parametrize("confidence_fraction", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("slack_h", "rate_per_h"), [(1.5, 0.05), (3.0, 0.2), (6.0, 0.4), (12.0, 0.7)])
def test_what_is_called_safe_misses_its_deadline_no_more_often_than_said(
    slack_h: float, rate_per_h: float, confidence_fraction: float
) -> None:
    """Even if it stays on spot to the end, whatever is lost."""
    one = need(workload(slack_h=slack_h))
    spot = replace(SPOT, interruptions_per_h=rate_per_h)
    random = np.random.default_rng(11)
    drawn = [lived_h(random, work_h=4.0, checkpoint_h=0.5, restart_h=0.25, rate_per_h=rate_per_h) for _ in range(4000)]
    missed = np.mean([held_h > 4.25 + slack_h for held_h in drawn])
    is_safe = SpotRule(confidence_fraction=confidence_fraction).allows(one, spot, 1)
    assert is_safe == ((slack_h, rate_per_h, confidence_fraction) not in UNSAFE)
    assert not is_safe or missed <= 1 - confidence_fraction


def test_one_loss_never_costs_the_deadline_where_sure_nodes_follow() -> None:
    """Whoever is allowed on spot and turns to sure nodes when it is no longer, is done in time, however bad the luck."""
    tried = 0
    for slack_h, when in itertools.product((0.75, 1.0, 2.2), (0.01, 0.49, 0.51, 3.99)):
        one = workload(slack_h=slack_h)
        spot = replace(SPOT, interruptions_per_h=0.01)
        now_h, left_h = 0.0, 4.0
        while SpotRule().allows(need(one, start=now_h, remaining_h=left_h), spot, 1):
            ran_h = min(when, left_h - 1e-6)
            now_h, left_h = now_h + 0.25 + ran_h, left_h - math.floor(ran_h / 0.5) * 0.5
            tried += 1
            if tried > 10_000:
                pytest.fail("it went on for ever")
        assert at(now_h + 0.25 + left_h) <= one.latest_finish_at + timedelta(milliseconds=1)
    assert tried > 12


@pytest.mark.parametrize(("count", "mean"), [(0, 0.0), (0, 0.5), (3, 2.0), (40, 30.0), (1000, 900.0), (5, 1e6)])
def test_poisson(count: int, mean: float) -> None:
    from scipy.stats import poisson

    assert poisson_at_most(count, mean) == pytest.approx(float(poisson.cdf(count, mean)), abs=1e-9)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, math.nan])
def test_a_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence_fraction must be between"):
        SpotRule(confidence_fraction=confidence)


# Offers


@pytest.mark.parametrize(
    ("types", "slack_h", "out", "order"),
    [
        ((SURE, OURS, SPOT), 20.0, (), ["ours", "spot", "sure"]),
        ((SURE, OURS, SPOT), 0.5, (), ["ours", "sure", "spot"]),
        ((SURE, SPOT), 20.0, ("spot",), ["sure"]),
        ((SURE, replace(SPOT, interruptions_per_h=1.8)), 500.0, (), ["sure", "spot"]),  # 90 % of the time would be done again
        ((SURE, replace(SPOT, usd_per_h=2.99)), 20.0, (), ["sure", "spot"]),  # one cent does not pay for what is lost
        ((SURE, replace(SPOT, usd_per_h=2.80)), 20.0, (), ["spot", "sure"]),
        ((SPOT,), 0.5, (), ["spot"]),
        ((SURE, replace(SURE, name="also")), 20.0, (), ["also", "sure"]),
        ((SURE, OURS, replace(SPOT, usd_per_h=0.0)), 20.0, (), ["ours", "spot", "sure"]),
        ((replace(SURE, resources={"CPU": 8.0}), SPOT), 20.0, (), ["spot"]),
    ],
)
def test_offers_in_order(types: tuple[NodeType, ...], slack_h: float, out: tuple[str, ...], order: list[str]) -> None:
    offers = offers_for(need(workload(slack_h=slack_h)), region(*types), out_of_stock=out)
    assert [offer.node_type.name for offer in offers] == order


# Who gets what


def told(claims: Sequence[Claim]) -> dict[str, str]:
    return {one.workload_id: one.node_type for one in claims}


def test_reserved_nodes_go_first_and_where_they_save_most() -> None:
    """Two reserved nodes: `tight` and `none` would have to pay on demand, the others could have spot."""
    needs = [
        need(workload("loose")),
        need(workload("tight", slack_h=0.2)),
        need(workload("easy")),
        need(workload("none", overheads=Overheads())),
    ]
    claims = assign(needs, {"east": region(SURE, OURS, SPOT)})
    assert told(claims) == {"loose": "spot", "tight": "ours", "easy": "spot", "none": "ours"}
    assert [one.workload_id for one in claims] == ["loose", "tight", "easy", "none"]
    assert claims[0].reason == "loose: why (spot 1.00 USD/h; next reserved 0.00 USD/h)"
    tight = assign([need(workload("tight", slack_h=0.2))], {"east": region(SURE, SPOT)})
    assert tight[0].reason == "tight: why (on demand 3.00 USD/h; next spot 1.00 USD/h, too risky for its slack)"


def test_what_is_held_is_kept() -> None:
    regions = {"east": region(SURE, replace(OURS, max_nodes=1), SPOT)}
    needs = [need(workload("old"), held="ours"), need(workload("tight", slack_h=0.2)), need(workload("other"), held="sure")]
    assert told(assign(needs, regions)) == {"old": "ours", "tight": "sure", "other": "sure"}


@pytest.mark.parametrize(
    ("out", "held", "expected"),
    [((), None, "spot"), (("spot",), None, "sure"), (("spot",), "spot", "spot"), (("spot", "sure"), None, "spot")],
)
def test_on_demand_stands_in_where_spot_is_out_of_stock(out: tuple[str, ...], held: str | None, expected: str) -> None:
    claims = assign([need(held=held)], {"east": region(SURE, SPOT)}, out_of_stock=out)
    assert told(claims) == {"w": expected}


def test_who_must_have_sure_nodes_gets_them_first_and_a_full_type_is_passed_over() -> None:
    regions = {"east": region(replace(SURE, max_nodes=1), replace(SPOT, max_nodes=2))}
    needs = [need(workload(name, slack_h=slack_h)) for name, slack_h in (("a", 20.0), ("b", 20.0), ("c", 20.0), ("d", 0.2), ("e", 0.2))]
    # The last sure node goes to one that must have it; then spot is all there is, and where that is full it is waited for.
    assert told(assign(needs, regions)) == {"a": "spot", "b": "spot", "c": "spot", "d": "sure", "e": "spot"}
    roomy = {"east": region(SURE, replace(SPOT, max_nodes=2))}
    assert told(assign(needs, roomy)) == {"a": "spot", "b": "spot", "c": "sure", "d": "sure", "e": "sure"}


def test_nodes_may_follow_one_another() -> None:
    regions = {"east": region(SURE, replace(OURS, max_nodes=1))}
    needs = [need(workload("first"), end=4.0), need(workload("then"), start=4.0, end=8.0), need(workload("also"), start=3.9, end=8.0)]
    assert told(assign(needs, regions)) == {"first": "ours", "then": "ours", "also": "sure"}


def test_what_no_region_can_hold_is_left_out() -> None:
    needs = [need(region="gone"), need(workload("wide", workers=11), workers=11), need(workload("fits"))]
    assert told(assign(needs, {"east": region(SURE)})) == {"fits": "sure"}


@pytest.mark.parametrize(
    ("taken", "workers", "left"),
    [
        ({}, 1, ["sure", "ours", "spot"]),
        ({"ours": 1}, 1, ["sure", "ours", "spot"]),
        ({"ours": 2}, 1, ["sure", "spot"]),
        ({"ours": 2, "sure": 10}, 1, ["spot"]),
        ({"ours": 2, "sure": 10, "spot": 10}, 1, ["sure", "ours", "spot"]),  # that it is full is told in another way
        ({"sure": 10, "spot": 10}, 3, ["sure", "ours", "spot"]),  # what is left never holds three
    ],
)
def test_plans_do_not_reckon_with_nodes_that_are_gone(taken: dict[str, int], workers: int, left: list[str]) -> None:
    regions = {"east": region(SURE, OURS, SPOT), "west": region(SURE)}
    seen = with_room(regions, taken, workers, {"GPU": 1.0})
    assert [one.name for one in seen["east"].node_types] == left
    assert seen["west"] is regions["west"]
    assert (seen is regions) == (len(left) == 3)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.2, 30.0), st.floats(0.0, 3.0)), min_size=1, max_size=5),
    st.integers(1, 5),
)
def test_the_mix_is_the_cheapest_where_one_type_is_scarce(wishes: list[tuple[float, float]], reserved: int) -> None:
    """Against every way of handing out the reserved nodes; spot and on demand are plenty."""
    regions = {"east": region(SURE, replace(OURS, max_nodes=reserved), SPOT)}
    needs = [
        need(workload(f"w{number}", slack_h=slack_h, objective=Objective(usd_per_kgco2=0.0, usd_per_h_delay=delay)))
        for number, (slack_h, delay) in enumerate(wishes)
    ]
    costs = [{o.node_type.name: o.expected_usd_per_h for o in offers_for(one, regions["east"]) if o.is_safe} for one in needs]
    ways = [
        way
        for way in itertools.product(*(sorted(one) for one in costs))
        if way.count("ours") <= reserved
    ]  # fmt: skip
    best = min(sum(one[name] for one, name in zip(costs, way, strict=True)) for way in ways)
    claims = assign(needs, regions)
    assert sum(one[claim.node_type] for one, claim in zip(costs, claims, strict=True)) == pytest.approx(best)
    assert sum(claim.node_type == "ours" for claim in claims) == min(reserved, len(needs)), "reserved nodes are never left idle"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["east", "west"]), st.integers(1, 3), st.floats(0.1, 30.0), st.integers(0, 6), st.booleans()),
        max_size=7,
    ),
    st.randoms(use_true_random=False),
)
def test_claims_fit_while_anything_has_room_and_the_order_of_regions_is_nothing(
    made: list[tuple[str, int, float, int, bool]], random: Any
) -> None:
    types = [replace(SURE, max_nodes=30), replace(OURS, max_nodes=2), replace(SPOT, max_nodes=3)]
    regions = {
        name: Region(name=name, zone=name, pue=1.0, node_types=tuple(replace(one, name=f"{one.name}-{name}") for one in types))
        for name in ("east", "west")
    }
    needs = [
        need(workload(f"w{number}", workers=workers, slack_h=slack_h + start), region=where, start=start, end=start + 4, is_told=is_told)
        for number, (where, workers, slack_h, start, is_told) in enumerate(made)
    ]
    claims = assign(needs, regions)
    horizon = Horizon(claims)
    for one in regions.values():
        for kind in one.node_types:
            assert horizon.most(kind.name, at(-1), at(99)) <= kind.max_nodes
    safe = {
        (one.workload.workload_id, offer.node_type.name): offer.is_safe for one in needs for offer in offers_for(one, regions[one.region])
    }
    assert all(safe[one.workload_id, one.node_type] for one in claims), "sure nodes are plenty, so nobody takes a risk"
    turned = {name: replace(one, node_types=one.node_types[::-1]) for name, one in reversed(regions.items())}
    shuffled = list(needs)
    random.shuffle(shuffled)
    assert told(assign(shuffled, turned)) == told(claims)
