"""What a carbon-aware sweep refuses, each with one message that says what to do; and what it tells the user once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import ConcurrencyLimiter

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.objective import Objective, objective_named
from carbon_ray.tune.base_scheduler import is_population, kinds_of
from carbon_ray.tune.internals import dashboard_url

log = logging.getLogger(__name__)

POPULATION_KEEPS = 4
"""Checkpoints that a population-based scheduler has to find of a donor that was held meanwhile."""


def objective_of(objective: str | Objective) -> Objective:
    """The objective meant.

    Raises:
        ConfigError: There is none of that name, or it is something else.
    """
    if isinstance(objective, Objective):
        return objective
    if not isinstance(objective, str):
        raise ConfigError(f"objective must be a preset's name or an Objective(...), got {type(objective).__name__}")
    return objective_named(objective)


def require_deadline(deadline: object) -> datetime | timedelta | None:
    """The deadline, if it is one.

    Raises:
        ConfigError: It is neither an aware UTC instant nor a span.
    """
    if deadline is None or isinstance(deadline, timedelta):
        return deadline
    if not isinstance(deadline, datetime):
        raise ConfigError(f"deadline must be a datetime or a timedelta, got {type(deadline).__name__}")
    try:
        return require_utc(deadline, "deadline")
    except ValueError as error:
        raise ConfigError(f"{error}; write datetime(..., tzinfo=UTC), or a timedelta from the sweep's start") from None


def require_counts(min_concurrency: object, max_concurrency: object) -> None:
    """Check the limits of concurrency.

    Raises:
        ConfigError: They are no counts, or contradict each other.
    """
    for name, value, least in (("min_concurrency", min_concurrency, 0), ("max_concurrency", max_concurrency, 1)):
        if value is None and name == "max_concurrency":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if isinstance(min_concurrency, int) and isinstance(max_concurrency, int) and min_concurrency > max_concurrency:
        raise ConfigError(f"min_concurrency {min_concurrency} is above max_concurrency {max_concurrency}; lower the first")


def require_positive(name: str, value: object) -> float | None:
    """The number, where one is given.

    Raises:
        ConfigError: It is none above zero.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ConfigError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def require_base(base: TrialScheduler | None) -> None:
    """Check that the base scheduler is one.

    Raises:
        ConfigError: It is a name or something else, or carbon-aware itself.
    """
    if base is None:
        return
    if not isinstance(base, TrialScheduler):
        raise ConfigError(f"base must be a Ray Tune scheduler such as ASHAScheduler(...), got {type(base).__name__}")
    if "CarbonAwareTuneScheduler" in kinds_of(base):
        raise ConfigError("base is carbon-aware already; one CarbonAwareTuneScheduler is enough, outside all others")


def require_spec(spec: Mapping[str, Any]) -> None:
    """Check what the sweep was told besides.

    Raises:
        ConfigError: A time budget counts the hours in which everything is held.
    """
    if spec.get("time_budget_s") is not None:
        raise ConfigError(
            "time_budget_s counts the hours in which trials are held, and would end the sweep in the middle of them: leave it out, and "
            "give CarbonAwareTuneScheduler(deadline=...) for the end of the sweep, or "
            "RunConfig(stop=carbon_ray.tune.ActiveTimeStopper(...)) for the time that trials really run"
        )


def require_trial(trial: Trial, base: TrialScheduler, region_count: int) -> None:
    """Check a sweep's first trial.

    Raises:
        ConfigError: A setting does not go together with holding, or with moving.
    """
    kept = trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep
    if is_population(base) and kept is not None and kept < POPULATION_KEEPS:
        raise ConfigError(
            f"CheckpointConfig(num_to_keep={kept}) with {type(base).__name__}: while a trial is held, the checkpoint that another is to go "
            f"on from would be deleted, and that trial lost; keep at least {POPULATION_KEEPS}, or leave num_to_keep out"
        )
    if region_count > 1 and "ResourceChangingScheduler" in kinds_of(base):
        raise ConfigError(
            "ResourceChangingScheduler compares the placement of trials, which differs from region to region: give one region with it"
        )


def tell_limits(search_alg: Any) -> None:
    """Say what holding means for a searcher that limits the live trials."""
    searcher = search_alg
    while searcher is not None:
        if isinstance(searcher, ConcurrencyLimiter):
            log.info(
                "held trials count as live for ConcurrencyLimiter(max_concurrent=%s): while so many are held, no new ones are suggested, "
                "and the held ones go first",
                searcher.max_concurrent,
            )
            return
        searcher = getattr(searcher, "searcher", None)


def warn_without_dashboard() -> None:
    """Say that a Ray Train run inside a trial leaves its placement group behind where there is no dashboard.

    Ray Train 2.60 finds the groups of a killed run through the State API, which the dashboard serves, and only warns where that fails.
    """
    if ray.is_initialized() and not dashboard_url():
        log.warning(
            "this cluster has no dashboard: a Ray Train run inside a held trial would leave its placement group, and with it its GPUs, "
            "taken; start Ray with include_dashboard=True"
        )
