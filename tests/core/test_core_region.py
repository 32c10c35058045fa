"""Regions: power of a node, and how many nodes hold a workload's workers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.region import Market, NodeType, PowerModel, Region

POWER = PowerModel(tdp_w=1000.0, idle_fraction=0.3, source="test")


def node_type(name: str = "gpu", *, max_nodes: int = 4, usd_per_h: float = 2.0, **resources: float) -> NodeType:
    return NodeType(name=name, resources=resources or {"CPU": 8.0, "GPU": 4.0}, max_nodes=max_nodes, usd_per_h=usd_per_h, power=POWER)


@pytest.mark.parametrize(("utilisation", "power_w"), [(0.0, 300.0), (0.5, 650.0), (1.0, 1000.0)])
def test_power_is_linear_between_idle_and_full(utilisation: float, power_w: float) -> None:
    assert POWER.power_w(utilisation) == pytest.approx(power_w)


@pytest.mark.parametrize("utilisation", [-0.01, 1.01, math.nan])
def test_utilisation_is_a_share(utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation_fraction"):
        POWER.power_w(utilisation)


@pytest.mark.parametrize(("tdp_w", "idle_fraction"), [(0.0, 0.3), (-1.0, 0.3), (math.nan, 0.3), (100.0, -0.1), (100.0, 1.1)])
def test_a_power_model_is_physical(tdp_w: float, idle_fraction: float) -> None:
    with pytest.raises(ValueError, match="tdp_w must be above 0"):
        PowerModel(tdp_w=tdp_w, idle_fraction=idle_fraction, source="test")


@pytest.mark.parametrize(
    ("resources", "per_worker", "expected"),
    [
        ({"CPU": 8.0, "GPU": 4.0}, {"GPU": 1.0}, 4),
        ({"CPU": 8.0, "GPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}, 2),
        ({"CPU": 8.0}, {"GPU": 1.0}, 0),
        ({"CPU": 8.0}, {"CPU": 9.0}, 0),
        ({"CPU": 8.0}, {"CPU": 1.0, "GPU": 0.0}, 8),
        ({"GPU": 0.3}, {"GPU": 0.1}, 3),  # 0.3 / 0.1 is a little below 3 in binary
        ({"memory": 64e9}, {"memory": 16e9}, 4),
        ({"CPU": 8.0}, {}, 0),
    ],
)
def test_workers_per_node(resources: Mapping[str, float], per_worker: Mapping[str, float], expected: int) -> None:
    assert node_type(**resources).workers_per_node(per_worker) == expected


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (4, 1), (5, 2), (16, 4), (17, None)])
def test_nodes_for_rounds_up_and_stops_at_the_limit(workers: int, expected: int | None) -> None:
    assert node_type(max_nodes=4).nodes_for(workers, {"GPU": 1.0}) == expected


def test_workers_that_fit_nowhere_need_no_number_of_nodes() -> None:
    assert node_type().nodes_for(1, {"TPU": 1.0}) is None


@given(st.integers(1, 100), st.integers(1, 8), st.integers(1, 8))
def test_nodes_hold_the_workers_and_one_less_would_not(workers: int, gpus: int, gpus_per_worker: int) -> None:
    kind = node_type(max_nodes=1000, GPU=float(gpus))
    per_worker = {"GPU": float(gpus_per_worker)}
    nodes, per_node = kind.nodes_for(workers, per_worker), kind.workers_per_node(per_worker)
    if nodes is None:
        assert gpus < gpus_per_worker
    else:
        assert (nodes - 1) * per_node < workers <= nodes * per_node


def test_the_cheapest_type_that_fits_is_offered() -> None:
    small = node_type("small", usd_per_h=1.0, max_nodes=2, GPU=1.0)
    large = node_type("large", usd_per_h=3.0, max_nodes=4, GPU=4.0)
    region = Region(name="eu-de", zone="DE", pue=1.1, node_types=(large, small))
    assert region.node_type_for(2, {"GPU": 1.0}) == (small, 2)
    assert region.node_type_for(4, {"GPU": 1.0}) == (large, 1)
    assert region.node_type_for(17, {"GPU": 1.0}) is None


def offer(name: str, market: Market, usd_per_h: float) -> NodeType:
    return replace(node_type(name, usd_per_h=usd_per_h), market=market)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((offer("sure", Market.ON_DEMAND, 3.0), offer("spot", Market.SPOT, 1.0)), "sure"),
        ((offer("sure", Market.ON_DEMAND, 3.0), offer("ours", Market.RESERVED, 4.0)), "ours"),
        ((offer("spot", Market.SPOT, 1.0), offer("ours", Market.RESERVED, 4.0)), "ours"),
        ((offer("spot", Market.SPOT, 1.0), offer("dear", Market.SPOT, 2.0)), "spot"),
    ],
)
def test_plans_reckon_with_nodes_that_nobody_takes_back(types: tuple[NodeType, ...], expected: str) -> None:
    found = Region(name="eu-de", zone="DE", pue=1.0, node_types=types).node_type_for(1, {"GPU": 1.0})
    assert found is not None
    assert found[0].name == expected


@pytest.mark.parametrize(("market", "usd_per_h"), [(Market.RESERVED, 0.0), (Market.ON_DEMAND, 3.0), (Market.SPOT, 3.0)])
def test_what_is_reserved_is_free_at_the_margin(market: Market, usd_per_h: float) -> None:
    assert offer("gpu", market, 3.0).marginal_usd_per_h == usd_per_h


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"interruptions_per_h": 0.1}, "only spot nodes are taken back"),
        ({"interruptions_per_h": -0.1, "market": Market.SPOT}, "numbers of 0 or above"),
        ({"interruptions_per_h": math.inf, "market": Market.SPOT}, "numbers of 0 or above"),
        ({"startup_s": -1.0}, "numbers of 0 or above"),
        ({"startup_s": math.nan}, "numbers of 0 or above"),
    ],
)
def test_a_node_type_is_sensible(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        replace(node_type(), **changes)


def test_equal_prices_are_settled_by_name() -> None:
    region = Region(name="eu-de", zone="DE", pue=1.0, node_types=(node_type("b"), node_type("a")))
    offer = region.node_type_for(1, {"GPU": 1.0})
    assert offer is not None
    assert offer[0].name == "a"


@pytest.mark.parametrize("pue", [0.99, 0.0, math.nan])
def test_a_site_draws_at_least_what_its_nodes_do(pue: float) -> None:
    with pytest.raises(ValueError, match="region eu-de: pue must be at least 1"):
        Region(name="eu-de", zone="DE", pue=pue)
