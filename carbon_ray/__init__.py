"""carbon_ray: Ray clusters that go where, and run when, the grid is clean.

The values and policies below import at once; what needs Ray is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.clock import Clock, ManualClock, ReplayClock, SystemClock
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Workload

if TYPE_CHECKING:
    from carbon_ray.train.trainer import CarbonAwareTrainer

__version__ = version("carbon-ray")

__all__ = [
    "CapacityPlan",
    "CarbonAwareTrainer",
    "CarbonRayError",
    "Clock",
    "Decision",
    "Directive",
    "Forecast",
    "ForecastSnapshot",
    "IntensityKind",
    "IntensitySeries",
    "ManualClock",
    "NodeType",
    "Objective",
    "Overheads",
    "Placement",
    "Plan",
    "PowerModel",
    "Region",
    "ReplayClock",
    "SystemClock",
    "TypePlan",
    "Workload",
]

_NEEDS_RAY = {"CarbonAwareTrainer": "carbon_ray.train.trainer"}


def __getattr__(name: str) -> Any:
    if name in _NEEDS_RAY:
        return getattr(import_module(_NEEDS_RAY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
