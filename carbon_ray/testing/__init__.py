"""Fakes for tests, shipped so that plug-in authors can use them too."""

from carbon_ray.core.clock import ManualClock
from carbon_ray.testing.providers import FakeProvider, PerfectForecaster

__all__ = ["FakeProvider", "ManualClock", "PerfectForecaster"]
