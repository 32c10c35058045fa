"""Conversions, and the prices that turn them into one number."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core import units
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.objective import PRESETS, Objective, objective_named


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (units.hours(timedelta(minutes=90)), 1.5),
        (units.hours(timedelta(days=2)), 48.0),
        (units.kwh(300.0, timedelta(hours=2)), 0.6),
        (units.kwh(1000.0, timedelta(seconds=36)), 0.01),
        (units.kwh_of_joules(3.6e6), 1.0),
        (units.kwh_of_joules(250.0 * 7200), 0.5),
        (units.kg(1500.0), 1.5),
    ],
)
def test_conversions(got: float, expected: float) -> None:
    assert got == pytest.approx(expected, rel=1e-12)


@given(st.floats(0, 1e5), st.integers(0, 10**7))
def test_watts_over_time_are_joules(power_w: float, span_s: int) -> None:
    assert units.kwh(power_w, timedelta(seconds=span_s)) == pytest.approx(units.kwh_of_joules(power_w * span_s), rel=1e-9)


def test_an_objective_adds_up_what_its_prices_say() -> None:
    objective = Objective(usd_per_kgco2=0.2, usd_per_h_delay=0.5, usd_weight=0.25)
    assert objective.cost_usd(gco2=4100.0, usd=2.0, delay_h=3.0) == pytest.approx(0.82 + 0.5 + 1.5)


@pytest.mark.parametrize("field", ["usd_per_kgco2", "usd_per_h_delay", "usd_weight"])
def test_no_price_is_negative(field: str) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Objective(**{field: -0.01})


@pytest.mark.parametrize(
    ("name", "carbon_usd", "money_usd", "delay_usd"),
    [("carbon", 1.0, 0.0, 0.001), ("balanced", 0.19, 1.0, 0.01), ("cost", 0.0, 1.0, 0.0), ("deadline", 0.19, 1.0, 100.0)],
)
def test_presets_price_a_kilogram_a_dollar_and_an_hour(name: str, carbon_usd: float, money_usd: float, delay_usd: float) -> None:
    objective = objective_named(name)
    assert objective.cost_usd(gco2=1000.0, usd=0.0) == pytest.approx(carbon_usd)
    assert objective.cost_usd(gco2=0.0, usd=1.0) == pytest.approx(money_usd)
    assert objective.cost_usd(gco2=0.0, usd=0.0, delay_h=1.0) == pytest.approx(delay_usd)


def test_every_preset_is_checked_here_and_unknown_ones_are_named() -> None:
    assert set(PRESETS) == {"carbon", "balanced", "cost", "deadline"}
    with pytest.raises(ConfigError, match="unknown objective 'green'; use one of carbon, balanced, cost, deadline"):
        objective_named("green")
