"""Ray Train workloads in segments: suspend, move and go on without losing a step."""

from carbon_ray.train.report import report
from carbon_ray.train.trainer import CarbonAwareTrainer

__all__ = ["CarbonAwareTrainer", "report"]
