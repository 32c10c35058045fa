"""Asking the hardware what it draws."""

from carbon_ray.energy.model import EnergySource, ModelEnergySource

__all__ = ["EnergySource", "ModelEnergySource"]
