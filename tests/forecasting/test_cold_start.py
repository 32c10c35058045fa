"""A zone without history follows its typical year and what its siblings agree on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.errors import ForecastError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.cold_start import cold_start
from carbon_ray.forecasting.many_zones import Context, LightGbm

T0 = datetime(2022, 3, 1, tzinfo=UTC)
DAY_SHAPE = 300 + 90 * np.sin(2 * np.pi * np.arange(48) / 24)


def typical(zone: str, values: FloatArray, start_at: datetime = T0) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=start_at,
        step_s=3600.0,
        values_gco2_per_kwh=values,
        provenance=Provenance(provider="embedded", is_embedded=True),
    )


def sibling(zone: str, factor: float, hours: int = 48) -> Forecast:
    return replace(Forecast.certain(typical(zone, DAY_SHAPE[:hours] * factor), T0), forecaster="theirs")


def test_without_siblings_the_typical_year_is_said() -> None:
    made = cold_start(typical("NEW", DAY_SHAPE), {}, {}, now=T0)
    assert made.median.values_gco2_per_kwh == pytest.approx(DAY_SHAPE)
    assert made.provenance.is_embedded
    low, high = (made.quantile(level).values_gco2_per_kwh for level in (0.1, 0.9))
    assert (low < DAY_SHAPE).all()
    assert (high > DAY_SHAPE).all()


@pytest.mark.parametrize(("factors", "least", "most"), [((0.7, 0.7, 0.7), 0.695, 0.705), ((0.4, 1.2), 0.70, 0.99)])
def test_siblings_that_agree_are_followed_and_others_less(factors: tuple[float, ...], least: float, most: float) -> None:
    siblings = {f"S{number}": sibling(f"S{number}", factor) for number, factor in enumerate(factors)}
    usual = {zone: typical(zone, DAY_SHAPE) for zone in siblings}
    made = cold_start(typical("NEW", DAY_SHAPE), siblings, usual, now=T0)
    ratio = made.median.values_gco2_per_kwh / DAY_SHAPE
    assert ratio.min() >= least
    assert ratio.max() <= most


def test_beyond_a_siblings_forecast_the_typical_year_stays() -> None:
    made = cold_start(typical("NEW", DAY_SHAPE), {"S": sibling("S", 0.5, 24)}, {"S": typical("S", DAY_SHAPE)}, now=T0)
    ratio = made.median.values_gco2_per_kwh / DAY_SHAPE
    assert (ratio[:24] < 0.95).all()
    assert ratio[24:] == pytest.approx(1.0)


def test_another_kind_says_nothing() -> None:
    direct = replace(sibling("S", 0.5), kind=IntensityKind.AVERAGE_DIRECT)
    with pytest.raises(ForecastError, match="counts average_direct"):
        cold_start(typical("NEW", DAY_SHAPE), {"S": direct}, {"S": typical("S", DAY_SHAPE)}, now=T0)
    with pytest.raises(ForecastError, match="typical year of zone S"):
        cold_start(typical("NEW", DAY_SHAPE), {"S": sibling("S", 0.5)}, {}, now=T0)


def test_the_forecaster_serves_zones_that_have_a_typical_year_alone() -> None:
    year = typical("NEW", np.tile(DAY_SHAPE, 4))
    old = typical("OLD", np.tile(DAY_SHAPE, 8), T0 - timedelta(days=15))
    young = typical("YOUNG", np.tile(DAY_SHAPE[:24], 3) * 0.5, T0 - timedelta(days=2))
    made = LightGbm().forecast(
        {"OLD": old, "YOUNG": young},
        now=T0 + timedelta(minutes=5),
        horizon_s=30 * 3600.0,
        context={"NEW": Context(typical=year), "YOUNG": Context(typical=replace(year, zone="YOUNG"))},
    )
    assert {zone: one.forecaster for zone, one in made.items()} == {"OLD": "ewma", "YOUNG": "cold_start", "NEW": "cold_start"}
    assert made["NEW"].start_at == T0
    assert made["NEW"].end_at >= T0 + timedelta(hours=30)
