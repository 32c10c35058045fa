"""The built-in forecasters by name."""

from __future__ import annotations

from collections.abc import Callable

from carbon_ray.core.errors import ConfigError
from carbon_ray.forecasting.base import Forecaster
from carbon_ray.forecasting.linear import Linear
from carbon_ray.forecasting.many_zones import LightGbm
from carbon_ray.forecasting.naive import Ewma, Persistence

FORECASTERS: dict[str, Callable[[], Forecaster]] = {"ewma": Ewma, "lightgbm": LightGbm, "linear": Linear, "persistence": Persistence}
"""What makes each built-in forecaster with its default parameters."""


def forecaster_named(name: str) -> Forecaster:
    """Make the built-in forecaster of that name.

    Raises:
        ConfigError: There is no such forecaster.
    """
    try:
        return FORECASTERS[name]()
    except KeyError:
        raise ConfigError(f"unknown forecaster {name!r}; use one of {', '.join(sorted(FORECASTERS))}") from None
