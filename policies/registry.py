"""Placement policies by name: ours, and those that other packages add under the entry-point group `carbon_ray.policies`."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points

from carbon_ray.core.errors import ConfigError
from carbon_ray.policies.base import PlacementPolicy

GROUP = "carbon_ray.policies"


def policy_named(name: str, **parameters: float) -> PlacementPolicy:
    """The policy of that name; of `parameters` it is given those that it has a field for.

    Raises:
        ConfigError: There is no such policy, or it does not load.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise ConfigError(f"unknown policy {name!r}; installed: {', '.join(sorted(found)) or 'none'}")
    try:
        policy_class = found[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"policy {name!r} does not load: {error}") from error
    fields = {field.name for field in dataclasses.fields(policy_class)}
    policy: PlacementPolicy = policy_class(**{key: value for key, value in parameters.items() if key in fields})
    return policy
