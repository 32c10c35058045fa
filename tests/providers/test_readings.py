"""Readings, mixes and capabilities: the values that every provider speaks in."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import ProviderNoDataError
from carbon_ray.core.intensity import IntensityKind, Provenance
from carbon_ray.providers.base import Capabilities, DescribedProvider, Quota, capabilities_of
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.readings import Readings
from carbon_ray.testing import FakeProvider

T0 = datetime(2026, 2, 3, 14, tzinfo=UTC)
H = timedelta(hours=1)
NAN = math.nan


def readings(values: list[float], is_estimated: list[bool] | None = None) -> Readings:
    return Readings(
        zone="DE",
        kind=IntensityKind.MARGINAL,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=np.array(values),
        is_estimated=None if is_estimated is None else np.array(is_estimated),
        provenance=Provenance(provider="test", fetched_at=T0),
    )


def test_every_reading_says_where_it_came_from() -> None:
    some = readings([1.0, NAN, 3.0], [True, False, False])
    one, gap, last = some
    assert (one.value_gco2_per_kwh, gap.value_gco2_per_kwh, last.value_gco2_per_kwh) == (1.0, None, 3.0)
    assert (one.is_estimated, gap.is_estimated, one.is_forecast) == (True, False, False)
    assert (one.zone, one.kind, one.provider, one.fetched_at) == ("DE", IntensityKind.MARGINAL, "test", T0)
    assert (last.start_at, last.end_at) == (T0 + 2 * H, T0 + 3 * H) == (T0 + 2 * H, some.end_at)
    assert some.provenance.estimated_fraction == 0.5
    assert readings([1.0]).provenance.estimated_fraction is None


@given(st.lists(st.sampled_from([5.0, NAN]), min_size=1, max_size=40))
def test_a_gap_is_told_and_never_filled(values: list[float]) -> None:
    some = readings(values)
    missing = {some.start_at + index * H for index, value in enumerate(values) if math.isnan(value)}
    told = {left + index * H for left, right in some.gaps() for index in range((right - left) // H)}
    assert told == missing
    assert some.count == len(values) - len(missing)
    if missing:
        with pytest.raises(ProviderNoDataError, match=f"{min(missing):%Y-%m-%dT%H:%MZ}"):
            some.series()
    else:
        assert list(some.series().values_gco2_per_kwh) == values


def test_short_gaps_can_be_bridged_and_are_marked() -> None:
    some = readings([NAN, 10.0, NAN, NAN, 40.0, NAN, NAN, NAN, 8.0, NAN])
    bridged = some.bridged(7200.0)
    assert list(bridged.values_gco2_per_kwh[1:5]) == pytest.approx([10.0, 20.0, 30.0, 40.0])
    assert bridged.gaps() == ((T0, T0 + H), (T0 + 5 * H, T0 + 8 * H), (T0 + 9 * H, T0 + 10 * H)), "longer ones and the ends stay"
    assert bridged.is_estimated is not None
    assert list(np.flatnonzero(bridged.is_estimated)) == [2, 3]
    assert bridged.provenance.estimated_fraction == pytest.approx(2 / 5)
    assert bridged.provenance.detail == "2 of 10 intervals bridged"
    assert some.bridged(3600.0) is some
    assert some.gaps()[1] == (T0 + 2 * H, T0 + 4 * H), "the original is left alone"


@given(st.lists(st.sampled_from([5.0, NAN]), min_size=1, max_size=30))
def test_the_last_run_has_no_gap_and_ends_with_the_last_value(values: list[float]) -> None:
    some = readings(values)
    if some.count == 0:
        with pytest.raises(ProviderNoDataError):
            some.last_run()
        return
    text = "".join("-" if math.isnan(value) else "x" for value in values).rstrip("-")
    run = some.last_run()
    assert len(run) == len(text) - len(text.rstrip("x"))
    assert run.end_at == T0 + len(text) * H


@given(st.integers(1, 20), st.integers(-30, 30), st.integers(-30, 30))
def test_a_window_holds_what_intersects_it(count: int, first: int, last: int) -> None:
    some = readings([float(index) for index in range(count)])
    left, right = T0 + first * H / 2, T0 + last * H / 2
    inside = [reading for reading in some if reading.start_at < right and reading.end_at > left] if left < right else []
    window = some.window(left, right)
    assert (list(window) if window else []) == inside


@pytest.mark.parametrize("values", [[], [-1.0], [math.inf]])
def test_readings_refuse_what_is_no_intensity(values: list[float]) -> None:
    with pytest.raises(ValueError, match="zone DE"):
        readings(values)


def test_a_mix_has_fuels_of_one_length() -> None:
    def mix(power: dict[Fuel, list[float]]) -> GenerationMix:
        return GenerationMix(
            zone="DE",
            start_at=T0,
            step_s=900.0,
            power_mw={fuel: np.array(values) for fuel, values in power.items()},
            provenance=Provenance(provider="test"),
        )

    one = mix({Fuel.GAS: [1.0, NAN], Fuel.WIND: [2.0, NAN]})
    assert (len(one), one.count, one.total_mw[0], one.end_at) == (2, 1, 3.0, T0 + timedelta(minutes=30))
    for wrong in ({}, {Fuel.GAS: [1.0], Fuel.WIND: [1.0, 2.0]}, {Fuel.GAS: [-1.0]}, {Fuel.GAS: []}):
        with pytest.raises(ValueError, match="zone DE"):
            mix(wrong)


def test_capabilities_are_stated_or_guessed_with_caution() -> None:
    embedded = EmbeddedProvider()
    assert isinstance(embedded, DescribedProvider)
    stated = capabilities_of(embedded)
    assert stated.zones == embedded.zones()
    assert (stated.history, stated.forecast, stated.resolution_s, stated.needs_key) == (True, False, 3600.0, False)
    guessed = capabilities_of(FakeProvider({"DE": readings([1.0]).series()}))
    assert (guessed.history, guessed.forecast, guessed.mix, guessed.marginal) == (True, False, False, True)
    with pytest.raises(ValueError, match="horizon_s"):
        Capabilities(history=True, forecast=True, mix=False, marginal=False, zones=(), resolution_s=300.0)
    with pytest.raises(ValueError, match="at least 1 request"):
        Quota(requests=0, per_s=60.0)
