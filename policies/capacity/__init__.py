"""Nodes for the work: how many of which type when, on what terms, and which idle ones go.

`demand` turns plans into needs, `offers` prices the terms on which a need can be met, `mix` chooses among them, `horizon` counts
nodes over time, `budget` and `consolidation` say what may go, and `policy` puts it together into the plan that Ray is steered by.
"""

from __future__ import annotations

from carbon_ray.policies.capacity.budget import DisruptionBudget, QuietHours
from carbon_ray.policies.capacity.demand import Need, PendingRequest, anticipated, needs_of
from carbon_ray.policies.capacity.horizon import Claim, Horizon
from carbon_ray.policies.capacity.mix import assign, with_room
from carbon_ray.policies.capacity.offers import Offer, SpotRule, offers_for
from carbon_ray.policies.capacity.policy import CapacityPolicy, ObservedNode

__all__ = [
    "CapacityPolicy",
    "Claim",
    "DisruptionBudget",
    "Horizon",
    "Need",
    "ObservedNode",
    "Offer",
    "PendingRequest",
    "QuietHours",
    "SpotRule",
    "anticipated",
    "assign",
    "needs_of",
    "offers_for",
    "with_room",
]
