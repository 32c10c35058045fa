"""What a sweep was asked to do, and how Tune describes its search: values that pickle, made before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module

from carbon_ray.core.clock import Clock
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.state import SweepPolicy
from carbon_ray.tune.grid import Forecasts


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """The arguments of `CarbonAwareTuneScheduler`, checked."""

    budget_gco2: float | None
    deadline: datetime | timedelta | None
    objective: Objective
    min_concurrency: int
    max_concurrency: int | None
    policy: SweepPolicy
    regions: Sequence[Region | str] | None
    forecasts: Forecasts | None
    power_w: float | None
    allow_restart_from_zero: bool
    clock: Clock | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProperties:
    """What Tune tells a scheduler of the search.

    Attributes:
        metric: Name of the score.
        mode: "max" or "min".
        stop: What `RunConfig(stop=...)` says.
    """

    metric: str | None = None
    mode: str = "max"
    stop: object = None


def default_policy() -> SweepPolicy:
    """carbon_ray's own policy of a sweep.

    Raises:
        ConfigError: This build has none.
    """
    try:
        policy: SweepPolicy = import_module("carbon_ray.policies.sweeps.policy").ReplannedSweep()
    except ImportError as error:
        raise ConfigError(f"carbon_ray's own policy of a sweep is not there ({error}); give policy=...") from error
    return policy
