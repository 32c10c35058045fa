"""Ray Tune sweeps that spend their carbon where it counts: one scheduler around any other."""

from carbon_ray.tune.results import SweepSummary, TrialCost, summary
from carbon_ray.tune.scheduler import CarbonAwareTuneScheduler
from carbon_ray.tune.searching import CarbonSecond, optuna_with_carbon
from carbon_ray.tune.stoppers import ActiveTimeStopper, CarbonStopper

__all__ = [
    "ActiveTimeStopper",
    "CarbonAwareTuneScheduler",
    "CarbonSecond",
    "CarbonStopper",
    "SweepSummary",
    "TrialCost",
    "optuna_with_carbon",
    "summary",
]
