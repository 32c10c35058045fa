"""Fakes for tests, shipped so that plug-in authors can use them too. What needs Ray or httpx is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.forecasts import FakeForecasts
from carbon_ray.testing.providers import FakeProvider, PerfectForecaster
from carbon_ray.testing.tasks import FakeTasks

if TYPE_CHECKING:
    from carbon_ray.testing.cluster import FakeCluster
    from carbon_ray.testing.services import Asked, FakeService, FakeWorld, Reply

__all__ = [
    "Asked",
    "FakeCluster",
    "FakeForecasts",
    "FakeProvider",
    "FakeService",
    "FakeTasks",
    "FakeWorld",
    "ManualClock",
    "PerfectForecaster",
    "Reply",
]

_HOMES = {"FakeCluster": "cluster", "Asked": "services", "FakeService": "services", "FakeWorld": "services", "Reply": "services"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"carbon_ray.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
