"""What node types may do: limits, warm-up, what is kept, what goes, budgets, and how it holds out over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.region import Market, NodeType, PowerModel, Region
from carbon_ray.policies.capacity import CapacityPolicy, Claim, DisruptionBudget, ObservedNode, PendingRequest, QuietHours
from carbon_ray.policies.capacity.budget import Quiet

T0 = datetime(2022, 1, 3, tzinfo=UTC)  # a Monday
WALL = datetime(2026, 1, 1, tzinfo=UTC)
POWER = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test")


def at(minute: float) -> datetime:
    return T0 + timedelta(minutes=minute)


def node_type(
    name: str, max_nodes: int = 2, *, usd_per_h: float = 1.0, market: Market = Market.ON_DEMAND, startup_s: float = 0.0
) -> NodeType:
    return NodeType(
        name=name, resources={"GPU": 1.0}, max_nodes=max_nodes, usd_per_h=usd_per_h, power=POWER, market=market, startup_s=startup_s
    )


def region(name: str, *types: NodeType) -> Region:
    return Region(name=name, zone=name, pue=1.0, node_types=types or (node_type(f"gpu-{name}"),))


REGIONS = {name: region(name) for name in ("east", "west")}


def node(
    number: int, name: str = "east", *, is_idle: bool = True, is_draining: bool = False, since_at: datetime | None = None
) -> ObservedNode:
    return ObservedNode(node_id=f"{name}-{number}", node_type=f"gpu-{name}", is_idle=is_idle, is_draining=is_draining, since_at=since_at)


def claim(node_type: str, nodes: int, start: float = 0.0, end: float = 60.0, *, is_told: bool = True, who: str = "w") -> Claim:
    return Claim(
        workload_id=who, node_type=node_type, nodes=nodes, start_at=at(start), end_at=at(end), is_told=is_told, reason=f"{who}: why"
    )


def limits(plan: CapacityPlan) -> dict[str, tuple[int, int]]:
    return {name: (one.min_nodes, one.max_nodes) for name, one in plan.types.items()}


def drains(plan: CapacityPlan) -> list[str]:
    return [node_id for one in plan.types.values() for node_id in one.drain]


def decide(
    policy: CapacityPolicy,
    claims: Sequence[Claim] = (),
    nodes: Sequence[ObservedNode] = (),
    *,
    regions: dict[str, Region] = REGIONS,
    intensity: dict[str, float] | None = None,
    idle_s: dict[str, float] | float = 3600.0,
    blocked: dict[str, str] | None = None,
    now: datetime = T0,
    out_of_stock: dict[str, str] | None = None,
    pending: Sequence[PendingRequest] = (),
) -> CapacityPlan:
    spans = idle_s if isinstance(idle_s, dict) else {one.node_id: idle_s for one in nodes if one.is_idle}
    return policy.decide(
        regions,
        claims,
        {"east": 100.0, "west": 300.0} if intensity is None else intensity,
        nodes,
        {node_id: WALL - timedelta(seconds=span_s) for node_id, span_s in spans.items()},
        blocked or {},
        version=4,
        now=now,
        wall_at=WALL,
        out_of_stock=out_of_stock,
        pending=pending,
    )


# Limits and what goes, at one instant


@pytest.mark.parametrize(
    ("told", "nodes", "blocked", "expected", "drained"),
    [
        ({}, [], {}, {"east": (0, 2), "west": (0, 2)}, None),
        ({"east": 2}, [], {}, {"east": (2, 2), "west": (0, 2)}, None),
        ({"east": 5}, [], {}, {"east": (2, 2), "west": (0, 2)}, None),
        ({}, [node(0, is_idle=False)], {}, {"east": (0, 2), "west": (0, 2)}, None),
        ({}, [node(0)], {}, {"east": (0, 2), "west": (0, 2)}, "east-0"),
        ({"east": 1}, [node(0)], {}, {"east": (1, 2), "west": (0, 2)}, None),
        ({"east": 1}, [node(0), node(1, is_idle=False)], {}, {"east": (1, 2), "west": (0, 2)}, "east-0"),
        ({}, [node(0), node(1), node(0, "west")], {}, {"east": (0, 2), "west": (0, 2)}, "west-0"),  # the dirtiest first
        ({}, [node(0), node(0, "west", is_draining=True)], {}, {"east": (0, 2), "west": (0, 2)}, None),
        ({}, [node(9)], {}, {"east": (0, 2), "west": (0, 2)}, None),  # idle for 0.9 s only
        ({}, [node(7)], {}, {"east": (0, 2), "west": (0, 2)}, None),  # never seen idle
        ({}, [], {"east": "full"}, {"east": (0, 0), "west": (0, 2)}, None),
        ({}, [node(0, is_idle=False)], {"east": "full"}, {"east": (0, 1), "west": (0, 2)}, None),
        ({"east": 1}, [], {"east": "full"}, {"east": (1, 1), "west": (0, 2)}, None),
        ({"east": 5}, [], {"east": "full"}, {"east": (2, 2), "west": (0, 2)}, None),
        ({}, [node(number, is_idle=False) for number in range(3)], {}, {"east": (0, 3), "west": (0, 2)}, None),
        ({}, [ObservedNode(node_id="other-0", node_type="other", is_idle=True), node(0)], {}, {"east": (0, 2), "west": (0, 2)}, "east-0"),
    ],
)
def test_limits(
    told: dict[str, int],
    nodes: list[ObservedNode],
    blocked: dict[str, str],
    expected: dict[str, tuple[int, int]],
    drained: str | None,
) -> None:
    idle_s = {one.node_id: 0.9 if one.node_id.endswith("9") else 3600.0 for one in nodes if not one.node_id.endswith("7")}
    claims = [claim(f"gpu-{name}", count) for name, count in told.items()]
    plan = decide(CapacityPolicy(valid_s=30.0, idle_grace_s=1.0), claims, nodes, idle_s=idle_s, blocked=blocked)
    assert limits(plan) == {f"gpu-{name}": two for name, two in expected.items()}
    assert drains(plan) == ([drained] if drained else [])
    assert (plan.version, plan.issued_at, plan.valid_until) == (4, WALL, WALL + timedelta(seconds=30))
    assert all(one.reason for one in plan.types.values())


@pytest.mark.parametrize(
    ("nodes", "order"),
    [
        ([node(0), node(1), node(0, "west")], ["west-0", "east-0", "east-1"]),
        ([node(1), node(0)], ["east-0", "east-1"]),
        ([ObservedNode(node_id="n", node_type="dear", is_idle=True), node(0), node(0, "west")], ["west-0", "n", "east-0"]),
    ],
)
def test_the_dirtiest_goes_first_and_then_the_dearest(nodes: list[ObservedNode], order: list[str]) -> None:
    regions = {"east": region("east", node_type("gpu-east"), node_type("dear", usd_per_h=5.0)), "west": REGIONS["west"]}
    gone, left = list[str](), list(nodes)
    while left:
        (node_id,) = drains(decide(CapacityPolicy(), (), left, regions=regions))
        gone.append(node_id)
        left = [one for one in left if one.node_id != node_id]
    assert gone == order


def test_of_two_alike_the_longest_idle_goes_first() -> None:
    assert drains(decide(CapacityPolicy(), (), [node(0), node(1)], idle_s={"east-0": 60.0, "east-1": 90.0})) == ["east-1"]


def test_types_that_are_out_of_stock_do_not_grow_and_others_of_their_region_do() -> None:
    regions = {"east": region("east", node_type("spot", market=Market.SPOT), node_type("sure"))}
    plan = decide(CapacityPolicy(), [claim("sure", 1)], regions=regions, out_of_stock={"spot": "spot gave no node"})
    assert limits(plan) == {"spot": (0, 0), "sure": (1, 2)}
    assert plan.types["spot"].reason == "spot gave no node"


@pytest.mark.parametrize(
    ("intensity", "first"),
    [
        ({"east": 100.0, "west": 300.0}, "east"),
        ({"east": 300.0, "west": 100.0}, "west"),
        ({"west": 900.0}, "west"),
        ({"east": 900.0}, "east"),
    ],
)
def test_the_cleaner_region_has_the_higher_priority(intensity: dict[str, float], first: str) -> None:
    plan = decide(CapacityPolicy(), intensity=intensity)
    assert max(plan.types, key=lambda name: plan.types[name].priority) == f"gpu-{first}"
    assert len({one.priority for one in plan.types.values()}) == 2


def test_in_a_region_ray_gets_reserved_nodes_first_and_spot_last() -> None:
    types = [node_type("spot", usd_per_h=0.1, market=Market.SPOT), node_type("sure"), node_type("ours", market=Market.RESERVED)]
    plan = decide(CapacityPolicy(), regions={"east": region("east", *types), "west": REGIONS["west"]})
    assert sorted(plan.types, key=lambda name: -plan.types[name].priority) == ["ours", "sure", "spot", "gpu-west"]


# Start-up, and what is kept for later

SLOW = {"east": region("east", node_type("gpu-east", startup_s=300.0)), "west": REGIONS["west"]}


@pytest.mark.parametrize(("minute", "least"), [(4.99, 0), (5.0, 1), (9.0, 1), (10.0, 1), (70.0, 0)])
def test_nodes_are_asked_for_as_long_before_they_are_needed_as_they_take(minute: float, least: int) -> None:
    planned = claim("gpu-east", 1, 10, 70, is_told=False)
    plan = decide(CapacityPolicy(), [planned], regions=SLOW, now=at(minute))
    assert plan.types["gpu-east"].min_nodes == least
    assert ("w: why; a node takes 300 s to start" in plan.types["gpu-east"].reason) == (5 <= minute < 10)


@pytest.mark.parametrize(
    ("again_min", "is_kept"),
    [(6.0, True), (7.0, True), (7.1, False), (60.0, False)],  # 5 min to start and 2 to drain
)
def test_a_node_is_kept_where_a_plan_needs_it_before_it_could_go_and_come_back(again_min: float, is_kept: bool) -> None:
    planned = claim("gpu-east", 1, again_min, 90, is_told=False)
    plan = decide(CapacityPolicy(drain_s=120.0), [planned], [node(0)], regions=SLOW)
    assert (plan.types["gpu-east"].min_nodes, drains(plan)) == ((1, []) if is_kept else (0, ["east-0"]))
    if is_kept:
        assert plan.types["gpu-east"].reason == "planned again sooner than a node could go and come back"


def test_nodes_that_are_not_there_are_not_asked_for_only_because_they_would_be_kept() -> None:
    plan = decide(CapacityPolicy(drain_s=120.0), [claim("gpu-east", 2, 6.5, 90, is_told=False)], [node(0)], regions=SLOW)
    assert plan.types["gpu-east"].min_nodes == 1


@pytest.mark.parametrize(("minute", "is_kept"), [(0.0, True), (4.99, True), (5.0, False)])
def test_after_a_node_has_come_none_of_its_type_goes_for_a_while(minute: float, is_kept: bool) -> None:
    nodes = [node(0, since_at=at(-600)), node(1, since_at=T0), node(0, "west", since_at=at(-600))]
    plan = decide(CapacityPolicy(cooldown_s=300.0), (), nodes, now=at(minute), intensity={"east": 900.0, "west": 1.0})
    assert drains(plan) == (["west-0"] if is_kept else ["east-0"])
    assert plan.types["gpu-east"].min_nodes == (2 if is_kept else 0)
    assert ("a node has just come: none goes before 01-03 00:05Z" in plan.types["gpu-east"].reason) == is_kept


@pytest.mark.parametrize(
    ("pending", "idle_s", "drained"),
    [
        ([PendingRequest(resources={"GPU": 1.0}, count=2)], 60.0, None),
        ([PendingRequest(resources={"GPU": 1.0})], 60.0, "west-0"),  # Ray prefers the cleaner east
        ([PendingRequest(resources={"GPU": 1.0}, region="west")], 60.0, "east-0"),
        ([PendingRequest(resources={"GPU": 8.0}, count=2)], 60.0, "west-0"),  # fits nowhere
        ([PendingRequest(resources={"GPU": 1.0}, count=2)], 901.0, "west-0"),  # they must go elsewhere
        ([], 60.0, "west-0"),
    ],
)
def test_idle_nodes_are_kept_for_what_ray_waits_to_place(pending: list[PendingRequest], idle_s: float, drained: str | None) -> None:
    nodes = [node(0), node(0, "west")]
    plan = decide(CapacityPolicy(patience_s=900.0), (), nodes, idle_s=idle_s, pending=pending)
    assert drains(plan) == ([drained] if drained else [])
    for one in nodes:
        assert plan.types[one.node_type].min_nodes == (1 if pending and one.node_id != drained and idle_s < 900 and _fits(pending) else 0)


def _fits(pending: Sequence[PendingRequest]) -> bool:
    return all(one.resources["GPU"] <= 1 for one in pending)


# Budgets

MANY = {name: region(name, node_type(f"gpu-{name}", 20)) for name in ("east", "west")}


@pytest.mark.parametrize(
    ("budget", "idle", "draining", "expected"),
    [
        (DisruptionBudget(), 6, 0, 1),
        (DisruptionBudget(), 6, 1, 0),
        (DisruptionBudget(nodes=4), 6, 0, 4),
        (DisruptionBudget(nodes=4), 6, 3, 1),
        (DisruptionBudget(nodes=4), 2, 0, 2),
        (DisruptionBudget(nodes=9, region_fraction=0.5), 6, 0, 3),
        (DisruptionBudget(nodes=9, region_fraction=0.5), 4, 2, 1),
        (DisruptionBudget(nodes=9, region_fraction=0.01), 6, 0, 1),  # one always may
        (DisruptionBudget(nodes=0), 6, 0, 0),
    ],
)
def test_at_most_the_budget_drains_at_a_time(budget: DisruptionBudget, idle: int, draining: int, expected: int) -> None:
    nodes = [node(number, is_draining=number < draining) for number in range(idle + draining)]
    assert len(drains(decide(CapacityPolicy(budget=budget), (), nodes, regions=MANY))) == expected


@pytest.mark.parametrize(
    ("quiet", "now", "is_quiet"),
    [
        (QuietHours(start_h=8, end_h=18), at(8 * 60), True),
        (QuietHours(start_h=8, end_h=18), at(18 * 60), False),
        (QuietHours(start_h=22, end_h=6), at(23 * 60), True),
        (QuietHours(start_h=22, end_h=6), at(5 * 60), True),
        (QuietHours(start_h=22, end_h=6), at(6 * 60), False),
        (QuietHours(start_h=22, end_h=6, days=(0,)), at(5 * 60), False),  # Monday's begin on Monday night
        (QuietHours(start_h=22, end_h=6, days=(0,)), at(29 * 60), True),
        (QuietHours(start_h=22, end_h=6, days=(6,)), at(5 * 60), True),
        (QuietHours(start_h=0, end_h=24, days=(1,)), at(5 * 60), False),
        (QuietHours(start_h=0, end_h=24, days=(1,)), at(30 * 60), True),
    ],
)
def test_quiet_hours(quiet: QuietHours, now: datetime, is_quiet: bool) -> None:
    busy, both = DisruptionBudget(quiet=(quiet,)), DisruptionBudget(quiet=(QuietHours(
        start_h=quiet.start_h, end_h=quiet.end_h, days=quiet.days, protects=Quiet.ALL
    ),))  # fmt: skip
    assert quiet.holds(now) == is_quiet
    assert busy.may_disturb_workloads(now) == both.may_disturb_workloads(now) == (not is_quiet)
    assert drains(decide(CapacityPolicy(budget=busy), (), [node(0)], now=now)) == ["east-0"]
    assert drains(decide(CapacityPolicy(budget=both), (), [node(0)], now=now)) == ([] if is_quiet else ["east-0"])


@pytest.mark.parametrize(("start_h", "end_h", "days"), [(8, 8, ()), (-1, 3, ()), (3, 25, ()), (1, 2, (7,))])
def test_malformed_quiet_hours_are_refused(start_h: float, end_h: float, days: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"quiet hours need|days of the week"):
        QuietHours(start_h=start_h, end_h=end_h, days=days)


@pytest.mark.parametrize(("nodes", "fraction"), [(-1, 1.0), (1, 0.0), (1, 1.1), (1, math.nan)])
def test_a_malformed_budget_is_refused(nodes: int, fraction: float) -> None:
    with pytest.raises(ValueError, match="region_fraction"):
        DisruptionBudget(nodes=nodes, region_fraction=fraction)


# The second look


@pytest.mark.parametrize(
    ("fresh", "left"),
    [
        ([node(0), node(1)], ["east-0", "east-1"]),
        ([node(0, is_idle=False), node(1)], ["east-1"]),
        ([node(1)], ["east-1"]),
        ([node(0, is_draining=True), node(1), node(2), node(3)], ["east-1"]),
        ([node(0), node(1), node(0, "west", is_draining=True)], ["east-0"]),
        ([], []),
    ],
)
def test_a_drain_is_looked_at_again(fresh: list[ObservedNode], left: list[str]) -> None:
    policy = CapacityPolicy(budget=DisruptionBudget(nodes=2))
    plan = decide(policy, (), [node(0), node(1)], regions=MANY)
    assert drains(plan) == ["east-0", "east-1"]
    again = policy.still_holds(plan, fresh, MANY, now=T0)
    assert drains(again) == left
    assert limits(again) == limits(plan)


# Whatever comes

claims_of_any = st.lists(
    st.builds(
        claim,
        st.sampled_from(["gpu-east", "gpu-west", "gpu-gone"]),
        st.integers(1, 4),
        st.floats(0, 60),
        st.floats(60.1, 120),
        is_told=st.booleans(),
        who=st.sampled_from(["a", "b"]),
    ),
    max_size=6,
)
nodes_of_any = st.lists(st.tuples(st.sampled_from(["east", "west"]), st.booleans(), st.booleans(), st.booleans()), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    claims_of_any,
    nodes_of_any,
    st.dictionaries(st.sampled_from(["east", "west"]), st.just("full")),
    st.dictionaries(st.sampled_from(["east", "west"]), st.floats(0, 900)),
    st.integers(0, 4),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.integers(0, 3),
)
def test_what_holds_of_every_plan(
    claims: list[Claim],
    observed: list[tuple[str, bool, bool, bool]],
    blocked: dict[str, str],
    intensity: dict[str, float],
    most: int,
    fraction: float,
    waiting: int,
) -> None:
    nodes = [
        node(number, name, is_idle=is_idle, is_draining=draining, since_at=T0 if is_new else at(-600))
        for number, (name, is_idle, draining, is_new) in enumerate(observed)
    ]
    policy = CapacityPolicy(budget=DisruptionBudget(nodes=most, region_fraction=fraction), cooldown_s=300.0, drain_s=60.0)
    pending = [PendingRequest(resources={"GPU": 1.0}, count=waiting)] if waiting else []
    regions = {"east": SLOW["east"], "west": REGIONS["west"]}
    plan = decide(policy, claims, nodes, regions=regions, blocked=blocked, intensity=intensity, pending=pending)
    count = Counter(one.node_type for one in nodes)
    for name, one in plan.types.items():
        assert count[name] <= one.max_nodes <= max(2, count[name]), "no node is ended undrained, none beyond the limit is asked for"
        assert one.min_nodes <= 2
        told_now = sum(each.nodes for each in claims if each.node_type == name and each.start_at <= T0)
        assert one.min_nodes >= min(told_now, 2), "what is needed now is asked for, full or not"
        assert one.reason
    gone = drains(plan)
    leaving = sum(one.is_draining for one in nodes)
    assert leaving + len(gone) <= max(most, leaving)
    assert all(one.is_idle and not one.is_draining and one.since_at != T0 for one in nodes if one.node_id in gone)
    for name in regions:
        mine = [one for one in nodes if one.node_type == f"gpu-{name}"]
        going = sum(one.node_id in gone for one in mine)
        before = sum(one.is_draining for one in mine)
        assert before + going <= max(before, math.ceil(fraction * len(mine)))
        if going:
            staying = len(mine) - before - going
            assert staying >= plan.types[f"gpu-{name}"].min_nodes
    turned = dict(reversed(regions.items()))
    again = decide(policy, claims[::-1], nodes[::-1], regions=turned, blocked=blocked, intensity=intensity, pending=pending)
    assert limits(again) == limits(plan)
    assert sorted(drains(again)) == sorted(gone)
    assert {name: one.priority for name, one in again.types.items()} == {name: one.priority for name, one in plan.types.items()}


# Over time: the policy and an autoscaler that does what it says


class Pool:
    """One type's nodes: launches up to the minimum take `startup_s`, drained nodes leave at once; claimed nodes are busy."""

    def __init__(self, policy: CapacityPolicy, *, max_nodes: int, startup_s: float) -> None:
        self.policy, self.startup_s = policy, startup_s
        self.regions = {"east": region("east", node_type("gpu-east", max_nodes, startup_s=startup_s))}
        self.ready_at: dict[str, datetime] = {}
        self.idle_since_at: dict[str, datetime] = {}
        self.ups = self.downs = 0

    def ready(self, now: datetime) -> list[str]:
        return sorted(node_id for node_id, ready_at in self.ready_at.items() if ready_at <= now)

    def round(self, claims: Sequence[Claim], busy: int, now: datetime) -> int:
        """Nodes that are ready for what is to run now."""
        ready = self.ready(now)
        idle = ready[busy:]
        self.idle_since_at = {node_id: self.idle_since_at.get(node_id, now) for node_id in idle}
        nodes = [ObservedNode(node_id=one, node_type="gpu-east", is_idle=one in idle, since_at=self.ready_at[one]) for one in ready]
        plan = self.policy.decide(self.regions, claims, {}, nodes, self.idle_since_at, {}, version=1, now=now, wall_at=now)
        for node_id in drains(plan):
            del self.ready_at[node_id]
            self.downs += 1
        for _ in range(plan.types["gpu-east"].min_nodes - len(self.ready_at)):
            self.ready_at[f"n{self.ups:04d}"] = now + timedelta(seconds=self.startup_s)
            self.ups += 1
        return len(self.ready(now))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 90), st.integers(1, 3)), min_size=1, max_size=6),
    st.sampled_from([0.0, 60.0, 300.0, 600.0]),
    st.sampled_from([0.0, 300.0]),
)
def test_what_is_planned_is_there_once_a_start_has_passed(planned: list[tuple[int, int, int]], startup_s: float, drain_s: float) -> None:
    """Plans known from minute 0 on find their nodes, unless they begin before a node can have started."""
    pool = Pool(CapacityPolicy(budget=DisruptionBudget(nodes=3), drain_s=drain_s, idle_grace_s=0.0), max_nodes=20, startup_s=startup_s)
    for minute in range(-1, 300):
        now = at(minute)
        claims = [
            claim("gpu-east", nodes, start, start + length, is_told=start <= minute, who=f"w{number}")
            for number, (start, length, nodes) in enumerate(planned)
            if start + length > minute
        ]
        wanted = sum(one.nodes for one in claims if one.is_told)
        ready = pool.round(claims, min(wanted, len(pool.ready(now))), now)
        if minute * 60 >= startup_s:
            assert ready >= wanted
    held = pool.ready(at(299))
    assert len(held) <= 3, "what nobody plans goes"


def flaps(cooldown_s: float) -> int:
    """Downs of a pool under a demand of 0 to 3 nodes that is drawn anew every minute of a day."""
    random = np.random.default_rng(7)
    pool = Pool(CapacityPolicy(cooldown_s=cooldown_s, idle_grace_s=0.0, budget=DisruptionBudget(nodes=3)), max_nodes=3, startup_s=0.0)
    for minute, wanted in enumerate(random.integers(0, 4, 24 * 60).tolist()):
        claims = [claim("gpu-east", wanted, minute, minute + 1)] if wanted else []
        assert pool.round(claims, min(wanted, len(pool.ready(at(minute)))), at(minute)) >= wanted
    assert pool.ups - pool.downs == len(pool.ready_at)
    return pool.downs


@pytest.mark.parametrize("cooldown_min", [5, 30, 120])
def test_noisy_demand_does_not_make_nodes_flap(cooldown_min: int) -> None:
    """Between two bursts of coming at least a cool-down passes, and a burst brings no more nodes than there may be."""
    bound = 3 * math.ceil(24 * 60 / cooldown_min)
    assert flaps(cooldown_min * 60.0) <= bound
    assert flaps(0.0) > 2 * 3 * (24 * 60 / 30)
