"""Fakes for tests, shipped so that plug-in authors can use them too. What needs Ray to be imported is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.forecasts import FakeForecasts
from carbon_ray.testing.providers import FakeProvider, PerfectForecaster

if TYPE_CHECKING:
    from carbon_ray.testing.cluster import FakeCluster

__all__ = ["FakeCluster", "FakeForecasts", "FakeProvider", "ManualClock", "PerfectForecaster"]


def __getattr__(name: str) -> Any:
    if name == "FakeCluster":
        return import_module("carbon_ray.testing.cluster").FakeCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
