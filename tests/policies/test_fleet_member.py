"""Offers, shares and members: what they hold and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError, OutsideDataError
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Member
from carbon_ray.policies.fleet.member import FairShares, Offer, pools_of

T0 = datetime(2022, 3, 1, tzinfo=UTC)
POOLS = {"a": 9.0, "b": 4.0}


def offer(*values: float, step_s: float = 3600.0) -> Offer:
    return Offer(start_at=T0, step_s=step_s, nodes={"a": np.array(values)})


@pytest.mark.parametrize(
    ("start_s", "slot_s", "slots", "expected"),
    [
        (0, 3600, 3, [5, 2, 7]),
        (0, 7200, 1, [2]),  # what is there all through the slot
        (1800, 3600, 2, [2, 2]),
        (3600, 1800, 4, [2, 2, 7, 7]),
        (5400, 1800, 3, [2, 7, 7]),
    ],
)
def test_room_is_what_is_there_all_through_a_slot(start_s: float, slot_s: float, slots: int, expected: list[float]) -> None:
    room = offer(5, 2, 7).room(POOLS, T0 + timedelta(seconds=start_s), slot_s, slots)
    assert room[:, 0].tolist() == expected
    assert room[:, 1].tolist() == [4.0] * slots  # not named: all there is


@pytest.mark.parametrize(("start_h", "slots"), [(-1, 2), (0, 4), (2, 2)])
def test_an_offer_is_not_extended(start_h: float, slots: int) -> None:
    with pytest.raises(OutsideDataError, match="extend it to the last deadline"):
        offer(5, 2, 7).room(POOLS, T0 + timedelta(hours=start_h), 3600.0, slots)


def test_an_offer_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="the offer names a, which no region has"):
        offer(1).room({"b": 4.0}, T0, 3600.0, 1)


def region(name: str, types: int) -> Region:
    power = PowerModel(tdp_w=100.0, idle_fraction=0.5, source="test")
    node_types = tuple(
        NodeType(name=f"{name}-{index}", resources={"GPU": 1.0}, max_nodes=3, usd_per_h=0.0, power=power) for index in range(types)
    )
    return Region(name=name, zone=name, pue=1.0, node_types=node_types)


def test_an_offer_by_region_is_one_of_its_only_node_type() -> None:
    regions = {"r": region("r", 1), "s": region("s", 2)}
    found = Offer.by_region(regions, {"r": np.array([1.0, 2.0])}, start_at=T0, step_s=60.0)
    assert list(found.nodes) == ["r-0"]
    for name in ("s", "unknown"):
        with pytest.raises(ConfigError, match="by node type"):
            Offer.by_region(regions, {name: np.array([1.0])}, start_at=T0, step_s=60.0)


def test_a_type_name_that_several_regions_use_stands_for_several_pools() -> None:
    first, second = region("r", 2), region("s", 1)
    twice = Region(name="s", zone="s", pue=1.0, node_types=(first.node_types[0],))
    assert pools_of({"r": first, "s": second}) == {("r", "r-0"): "r-0", ("r", "r-1"): "r-1", ("s", "s-0"): "s-0"}
    assert pools_of({"r": first, "s": twice}) == {("r", "r-0"): "r/r-0", ("r", "r-1"): "r-1", ("s", "r-0"): "s/r-0"}
    found = Offer.by_region({"r": first, "s": twice}, {"s": np.array([1.0])}, start_at=T0, step_s=60.0)
    assert list(found.nodes) == ["s/r-0"]


@pytest.mark.parametrize(
    ("nodes", "step_s", "words"),
    [
        ({"a": np.array([-1.0])}, 60.0, "negative or NaN"),
        ({"a": np.array([np.nan])}, 60.0, "negative or NaN"),
        ({"a": np.array([1.0]), "b": np.array([1.0, 2.0])}, 60.0, "same count"),
        ({"a": np.array([1.0])}, 0.0, "step_s"),
    ],
)
def test_an_odd_offer_is_refused(nodes: dict[str, np.ndarray], step_s: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Offer(start_at=T0, step_s=step_s, nodes=nodes)


def member(priority: float = 1.0, team: str = "") -> Member:
    workload = Workload(
        workload_id="w",
        work_h=1.0,
        workers=1,
        resources_per_worker={"GPU": 1.0},
        home_region="r",
        regions=("r",),
        submitted_at=T0,
        deadline_at=T0 + timedelta(hours=5),
    )
    return Member(workload=workload, progress=Progress(remaining_h=1.0, region="r"), priority=priority, team=team)


@pytest.mark.parametrize(
    ("shares", "one", "expected"),
    [
        (FairShares(), member(3.0, "x"), 3.0),
        (FairShares(weights={"x": 2.0}), member(3.0, "x"), 6.0),
        (FairShares(weights={"x": 2.0}, default=0.5), member(1.0, "y"), 0.5),
    ],
)
def test_a_dollar_counts_by_priority_and_share(shares: FairShares, one: Member, expected: float) -> None:
    assert shares.weight_of(one) == expected


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_are_above_zero_and_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        member(bad)
    with pytest.raises(ValueError, match="above 0"):
        FairShares(weights={"x": bad})
