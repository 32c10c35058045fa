"""Who gets nodes of which type: each need its cheapest offer that has room, and the scarce ones to whom they save most.

A need is met by nodes of one type: that is how the books price a segment, and a gang is as safe as its least safe node.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from carbon_ray.core.region import Market, Region
from carbon_ray.policies.capacity.demand import Need
from carbon_ray.policies.capacity.horizon import Claim, Horizon
from carbon_ray.policies.capacity.offers import Offer, SpotRule, offers_for


def with_room(
    regions: Mapping[str, Region], taken: Mapping[str, int], workers: int, resources_per_worker: Mapping[str, float]
) -> Mapping[str, Region]:
    """The regions as a plan for these workers should see them: without the node types that others have taken to the last node.

    So that a plan does not reckon with reserved nodes that are gone. A region that could not hold the workers any more stays whole:
    that it is full is told in another way.

    Args:
        regions: By name.
        taken: Nodes of each type that others have.
        workers: How many workers.
        resources_per_worker: Of what size.

    Returns:
        `regions` itself where nothing is to be left out.
    """
    changed = {}
    for name, region in regions.items():
        left = tuple(one for one in region.node_types if taken.get(one.name, 0) < one.max_nodes)
        if len(left) < len(region.node_types):
            reduced = replace(region, node_types=left)
            if reduced.node_type_for(workers, resources_per_worker) is not None:
                changed[name] = reduced
    return {**regions, **changed} if changed else regions


@dataclass(frozen=True, slots=True)
class _Ranked:
    position: int
    need: Need
    offers: tuple[Offer, ...]

    @property
    def regret_usd_per_h(self) -> float:
        """What a node-hour of the second best offer costs more than one of the best; infinite where no second one is safe."""
        if len(self.offers) < 2 or not self.offers[1].is_safe:
            return math.inf
        best, second = self.offers[:2]
        return (second.expected_usd_per_h - best.expected_usd_per_h) / best.nodes


def assign(
    needs: Sequence[Need],
    regions: Mapping[str, Region],
    *,
    intensity_gco2_per_kwh: Mapping[str, float] | None = None,
    out_of_stock: Collection[str] = (),
    rule: SpotRule | None = None,
) -> tuple[Claim, ...]:
    """A claim for each need that any node type can meet, in the order of the needs.

    What a workload holds it keeps. Then come those that were told to run, then what is planned; among them first who would pay
    most for a node-hour of the second best offer. Where no offer has room, the best is claimed all the same: the plan asks for
    it up to the type's limit. Spot nodes that its slack does not allow are had only where nothing else has room.

    Args:
        needs: What is asked for.
        regions: By name; a need in a region that is not there is left out.
        intensity_gco2_per_kwh: Present intensity by region; 0 where it is not known, which then weighs all types alike.
        out_of_stock: Node types that are not to be had now; where nothing else is left they are claimed all the same.
        rule: When spot nodes may be had.
    """
    ranked = []
    for position, need in enumerate(needs):
        region = regions.get(need.region)
        if region is None:
            continue
        intensity = (intensity_gco2_per_kwh or {}).get(need.region, 0.0)
        offers = offers_for(need, region, intensity_gco2_per_kwh=intensity, out_of_stock=out_of_stock, rule=rule)
        offers = offers or offers_for(need, region, intensity_gco2_per_kwh=intensity, rule=rule)
        if offers:
            ranked.append(_Ranked(position, need, offers))
    horizon, claims = Horizon(), dict[int, Claim]()
    for one in sorted(ranked, key=_turn):
        claim = _claim(one, horizon)
        horizon.add(claim)
        claims[one.position] = claim
    return tuple(claims[position] for position in sorted(claims))


def _turn(one: _Ranked) -> tuple[bool, bool, float, object, str]:
    need = one.need
    holds = any(offer.node_type.name == need.held for offer in one.offers)
    return (not holds, not need.is_told, -one.regret_usd_per_h, need.start_at, need.workload.workload_id)


def _claim(one: _Ranked, horizon: Horizon) -> Claim:
    need = one.need
    chosen = next((offer for offer in one.offers if offer.node_type.name == need.held), None)
    if chosen is None:
        free = [
            offer
            for offer in one.offers
            if horizon.most(offer.node_type.name, need.start_at, need.end_at) + offer.nodes <= offer.node_type.max_nodes
        ]
        chosen = free[0] if free else one.offers[0]
    return Claim(
        workload_id=need.workload.workload_id,
        node_type=chosen.node_type.name,
        nodes=chosen.nodes,
        start_at=need.start_at,
        end_at=need.end_at,
        is_told=need.is_told,
        reason=f"{need.workload.workload_id}: {need.reason}{_terms(one.offers, chosen)}",
    )


def _terms(offers: Sequence[Offer], chosen: Offer) -> str:
    """Why these nodes and no others, where there was a choice."""
    others = [offer for offer in offers if offer is not chosen]
    if not others:
        return ""
    # The money alone: what the offers are compared by moves with the intensity, and a reason that moves makes a new plan each time.
    refused = "" if others[0].is_safe else ", too risky for its slack"
    return f" ({_price(chosen)}; next {_price(others[0])}{refused})"


def _price(offer: Offer) -> str:
    return f"{_WORDS[offer.node_type.market]} {offer.nodes * offer.node_type.marginal_usd_per_h:.2f} USD/h"


_WORDS = {Market.RESERVED: "reserved", Market.ON_DEMAND: "on demand", Market.SPOT: "spot"}
