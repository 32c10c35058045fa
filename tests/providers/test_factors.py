"""Emission factors: sets that never mix, and what a generation mix comes to by one of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError, ProviderResponseError
from carbon_ray.core.intensity import IntensityKind, Provenance
from carbon_ray.providers.factors import DEFAULT_SET, factor_sets, factor_table
from carbon_ray.providers.mix import STORAGE, Fuel, GenerationMix
from carbon_ray.providers.services.mixing import FuelRow, mix_of

LIFECYCLE, DIRECT = IntensityKind.AVERAGE_LIFECYCLE, IntensityKind.AVERAGE_DIRECT
T0 = datetime(2026, 2, 3, tzinfo=UTC)
H = timedelta(hours=1)
WHENCE = Provenance(provider="test", detail="invented", fetched_at=T0)


def mix(power: dict[Fuel, list[float]]) -> GenerationMix:
    return GenerationMix(
        zone="X", start_at=T0, step_s=3600.0, power_mw={fuel: np.array(values) for fuel, values in power.items()}, provenance=WHENCE
    )


@pytest.mark.parametrize(
    ("name", "kind", "power", "expected"),
    [
        ("carboncast", LIFECYCLE, {Fuel.COAL: 1.0}, 820.0),
        ("carboncast", DIRECT, {Fuel.COAL: 1.0, Fuel.WIND: 3.0}, 190.0),
        ("carboncast", LIFECYCLE, {Fuel.GAS: 1.0, Fuel.NUCLEAR: 1.0}, 251.0),
        ("carboncast", LIFECYCLE, {Fuel.LIGNITE: 1.0, Fuel.HYDRO_RUN_OF_RIVER: 1.0}, 422.0),
        ("carboncast", LIFECYCLE, {Fuel.WASTE: 1.0}, 700.0),
        ("entsoe_open_set", DIRECT, {Fuel.LIGNITE: 1.0}, 1140.0),
        ("entsoe_open_set", LIFECYCLE, {Fuel.HYDRO: 1.0, Fuel.WIND: 1.0}, 17.5),
        ("codecarbon", LIFECYCLE, {Fuel.SOLAR: 1.0, Fuel.GAS: 1.0}, 395.5),
        ("neso_gb", DIRECT, {Fuel.GAS: 1.0, Fuel.BIOMASS: 1.0}, 257.0),
        ("carboncast", LIFECYCLE, {Fuel.GAS: 1.0, Fuel.HYDRO_PUMPED: 99.0, Fuel.BATTERY: 99.0}, 490.0),
    ],
)
def test_the_intensity_is_the_mean_factor_by_power(name: str, kind: IntensityKind, power: dict[Fuel, float], expected: float) -> None:
    readings = factor_table(name, kind).intensity_of(mix({fuel: [value] for fuel, value in power.items()}))
    assert readings is not None
    assert (readings.kind, readings.count) == (kind, 1)
    assert readings.values_gco2_per_kwh[0] == pytest.approx(expected)
    assert f"factors {name} ({kind})" in readings.provenance.detail
    assert "production-based" in readings.provenance.detail
    assert readings.provenance.fetched_at == T0


def test_what_is_not_named_is_told() -> None:
    readings = factor_table(DEFAULT_SET, LIFECYCLE).intensity_of(mix({Fuel.GAS: [3.0], Fuel.OTHER: [0.5], Fuel.UNKNOWN: [0.5]}))
    assert readings is not None
    assert "25.0% of fuels that are not named" in readings.provenance.detail


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("carbon_cast", LIFECYCLE, "use one of carboncast, codecarbon, entsoe_open_set, neso_gb"),
        ("neso_gb", LIFECYCLE, "no factors for average_lifecycle"),
        ("codecarbon", DIRECT, "no factors for average_direct"),
        ("carboncast", IntensityKind.MARGINAL, "no factors for marginal"),
    ],
)
def test_a_set_that_cannot_be_had(name: str, kind: IntensityKind, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        factor_table(name, kind)


def test_a_fuel_without_a_factor_is_refused_only_where_it_generates() -> None:
    table = factor_table("codecarbon", LIFECYCLE)
    assert table.intensity_of(mix({Fuel.GAS: [1.0], Fuel.BIOMASS: [0.0]})) is not None
    with pytest.raises(ConfigError, match="no average_lifecycle factor for biomass; choose another"):
        table.intensity_of(mix({Fuel.GAS: [1.0], Fuel.BIOMASS: [1.0]}))


@pytest.mark.parametrize("name", ["carboncast", "entsoe_open_set"])
@pytest.mark.parametrize("kind", [LIFECYCLE, DIRECT])
def test_the_sets_for_mixes_cover_every_fuel(name: str, kind: IntensityKind) -> None:
    table = factor_table(name, kind)
    for fuel in set(Fuel) - STORAGE:
        assert table.factor_gco2_per_kwh(fuel) >= 0
    assert table.source


def test_every_set_is_listed() -> None:
    assert factor_sets() == ("carboncast", "codecarbon", "entsoe_open_set", "neso_gb")


@given(st.lists(st.tuples(*[st.one_of(st.floats(0, 1e5), st.just(math.nan))] * 3), min_size=1, max_size=12))
def test_an_intensity_lies_between_the_factors(rows: list[tuple[float, float, float]]) -> None:
    fuels = (Fuel.COAL, Fuel.WIND, Fuel.GAS)
    whole = [row if not any(math.isnan(one) for one in row) else (math.nan,) * 3 for row in rows]
    readings = factor_table(DEFAULT_SET, LIFECYCLE).intensity_of(mix({fuel: [row[at] for row in whole] for at, fuel in enumerate(fuels)}))
    generating = [row for row in whole if sum(row) > 0]
    if readings is None:
        assert generating == []
        return
    there = readings.values_gco2_per_kwh[~np.isnan(readings.values_gco2_per_kwh)]
    assert len(there) == len(generating)
    assert (there >= 11.0 - 1e-6).all()
    assert (there <= 820.0 + 1e-6).all()


# From rows to a mix


def row(code: str, fuel: Fuel, hour: float, power_mw: float | None, hours: float = 1.0) -> FuelRow:
    return FuelRow(code, fuel, T0 + hour * H, T0 + (hour + hours) * H, power_mw)


def mixed(*rows: FuelRow, hours: float = 3.0) -> GenerationMix | None:
    return mix_of(rows, zone="X", start_at=T0, end_at=T0 + hours * H, provenance=WHENCE)


def test_a_missing_fuel_makes_a_gap_and_not_a_cleaner_grid() -> None:
    found = mixed(
        row("c", Fuel.COAL, 0, 5),
        row("w", Fuel.WIND, 0, 5),
        row("w", Fuel.WIND, 1, 5),
        row("c", Fuel.COAL, 2, 5),
        row("w", Fuel.WIND, 2, 6),
    )
    assert found is not None
    assert (len(found), found.count) == (3, 2)
    assert math.isnan(found.power_mw[Fuel.WIND][1])
    tail = mixed(row("c", Fuel.COAL, 0, 5), row("w", Fuel.WIND, 0, 5), row("w", Fuel.WIND, 1, 5))
    assert tail is not None
    assert tail.end_at == T0 + H, "a tail that is not whole is left out"


def test_storage_and_the_rest_may_be_absent_but_not_null() -> None:
    found = mixed(row("g", Fuel.GAS, 0, 5), row("g", Fuel.GAS, 1, 5), row("b", Fuel.BATTERY, 1, 2), row("o", Fuel.OTHER, 1, 1))
    assert found is not None
    assert (list(found.power_mw[Fuel.BATTERY]), list(found.power_mw[Fuel.OTHER])) == ([0, 2], [0, 1])
    with_null = mixed(row("g", Fuel.GAS, 0, 5), row("g", Fuel.GAS, 1, 5), row("o", Fuel.OTHER, 0, 1), row("o", Fuel.OTHER, 1, None))
    assert with_null is not None
    assert len(with_null) == 1


def test_negative_power_is_own_use_and_codes_of_one_fuel_add() -> None:
    found = mixed(row("SUN", Fuel.SOLAR, 0, -3), row("a", Fuel.UNKNOWN, 0, 2), row("b", Fuel.UNKNOWN, 0, 3), row("b", Fuel.UNKNOWN, 0, 4))
    assert found is not None
    assert (found.power_mw[Fuel.SOLAR][0], found.power_mw[Fuel.UNKNOWN][0]) == (0.0, 6.0)


def test_steps_of_several_lengths_meet_on_the_finest() -> None:
    found = mixed(row("g", Fuel.GAS, 0, 4, hours=1), row("w", Fuel.WIND, 0, 1, hours=0.5), row("w", Fuel.WIND, 0.5, 2, hours=0.5))
    assert found is not None
    assert (found.step_s, list(found.power_mw[Fuel.GAS]), list(found.power_mw[Fuel.WIND])) == (1800.0, [4, 4], [1, 2])


def test_power_in_another_unit_is_noticed() -> None:
    with pytest.raises(ProviderResponseError, match="which cannot be"):
        mixed(row("g", Fuel.GAS, 0, 5e9))


def test_nothing_makes_no_mix() -> None:
    assert mixed() is None
    assert mixed(row("g", Fuel.GAS, 5, 1)) is None
    assert mixed(row("g", Fuel.GAS, 0, None)) is None
    assert factor_table(DEFAULT_SET, LIFECYCLE).intensity_of(mix({Fuel.BATTERY: [5.0]})) is None
    assert factor_table(DEFAULT_SET, LIFECYCLE).intensity_of(mix({Fuel.GAS: [0.0]})) is None
