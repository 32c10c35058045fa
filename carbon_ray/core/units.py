"""The only conversions between units; no other 3.6e6, 3600 or 1000 of a unit stands in the tree."""

from __future__ import annotations

from datetime import timedelta

S_PER_H = 3600.0
J_PER_KWH = 3.6e6
W_PER_KW = 1000.0
G_PER_KG = 1000.0
G_PER_LB = 453.59237
KWH_PER_MWH = 1000.0


def hours(span: timedelta) -> float:
    """Length of a span in hours."""
    return span.total_seconds() / S_PER_H


def kwh(power_w: float, span: timedelta) -> float:
    """Energy in kWh of a constant power in W over a span."""
    return power_w / W_PER_KW * hours(span)


def kwh_of_joules(energy_j: float) -> float:
    """Energy in kWh of joules, as hardware counters give them."""
    return energy_j / J_PER_KWH


def kg(mass_g: float) -> float:
    """Mass in kg of grams."""
    return mass_g / G_PER_KG


def gco2_per_kwh_of_lb_per_mwh(intensity_lb_per_mwh: float) -> float:
    """Intensity in g per kWh of pounds per MWh, as American services give it.

    Source: the international pound, 0.45359237 kg exactly.
    """
    return intensity_lb_per_mwh * G_PER_LB / KWH_PER_MWH
