"""Who may decide in a simulation: a policy for each workload by itself, or one for all of them together."""

from __future__ import annotations

from carbon_ray.policies.base import PlacementPolicy
from carbon_ray.policies.fleet.policy import FleetPolicy

AnyPolicy = PlacementPolicy | FleetPolicy
"""What `simulate` takes. One that decides for all together is asked for all whenever it is asked for any."""
