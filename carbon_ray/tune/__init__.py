"""Ray Tune sweeps that spend their carbon where it counts: one scheduler around any other."""

from carbon_ray.tune.scheduler import CarbonAwareTuneScheduler

__all__ = ["CarbonAwareTuneScheduler"]
