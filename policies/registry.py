"""Policies by name: ours, and those that other packages add under the entry-point group `carbon_ray.policies`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from carbon_ray.core.errors import ConfigError
from carbon_ray.policies.base import PlacementPolicy

GROUP = "carbon_ray.policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPolicy:
    """What is known of an installed policy without asking it anything.

    Attributes:
        name: As configurations write it.
        summary: First line of its docstring; empty where there is none.
        package: Distribution that brings it, with its version.
        location: Module and class.
        parameters: Fields that are numbers or switches, and their defaults.
        is_fleet: It decides for all workloads together where it is asked to.
        error: Why it does not load; empty if it does.
    """

    name: str
    summary: str
    package: str
    location: str
    parameters: Mapping[str, float | bool] = field(default_factory=dict)
    is_fleet: bool = False
    error: str = ""


def policy_named(name: str, **parameters: float) -> PlacementPolicy:
    """The policy of that name; of `parameters` it is given those that it has a field for.

    Raises:
        ConfigError: There is no such policy, or it does not load, or is no dataclass with `decide`, or refuses a parameter.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise ConfigError(f"unknown policy {name!r}; installed: {', '.join(sorted(found)) or 'none'}")
    policy_class = _load(found[name])
    fields = {field.name for field in dataclasses.fields(policy_class)}
    try:
        policy: PlacementPolicy = policy_class(**{key: value for key, value in parameters.items() if key in fields})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"policy {name!r}: {error}") from error
    return policy


def installed_policies() -> tuple[InstalledPolicy, ...]:
    """Every installed policy, carbon_ray's own first, then by name; one that does not load is told with the reason."""
    told = [_described(point) for point in entry_points(group=GROUP)]
    return tuple(sorted(told, key=lambda one: (not one.name.startswith("carbon_ray"), one.name)))


def _load(point: EntryPoint) -> type[Any]:
    try:
        policy_class: type[Any] = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"policy {point.name!r} does not load: {error}") from error
    if not (isinstance(policy_class, type) and dataclasses.is_dataclass(policy_class) and hasattr(policy_class, "decide")):
        raise ConfigError(
            f"policy {point.name!r} ({point.value}) is no dataclass with a method `decide`; see docs/policies/writing_a_policy.md"
        )
    return policy_class


def _described(point: EntryPoint) -> InstalledPolicy:
    package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
    try:
        policy_class = _load(point)
    except ConfigError as error:
        return InstalledPolicy(name=point.name, summary="", package=package, location=point.value, error=str(error))
    return InstalledPolicy(
        name=point.name,
        summary=(inspect.getdoc(policy_class) or "").partition("\n")[0],
        package=package,
        location=point.value,
        parameters={one.name: one.default for one in dataclasses.fields(policy_class) if isinstance(one.default, (bool, int, float))},
        is_fleet=hasattr(policy_class, "decide_all"),
    )
