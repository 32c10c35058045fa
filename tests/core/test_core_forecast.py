"""Forecasts of one zone and the snapshot of many."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.errors import ForecastHorizonError, OutsideDataError, StaleForecastError, UnitMismatchError, UnknownZoneError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance

START_AT = datetime(2022, 5, 2, tzinfo=UTC)
NAIVE = START_AT.replace(tzinfo=None)


def forecast_of(**changes: Any) -> Forecast:
    fields: dict[str, Any] = {
        "zone": "DE",
        "kind": IntensityKind.AVERAGE_LIFECYCLE,
        "issued_at": START_AT + timedelta(minutes=20),
        "start_at": START_AT,
        "step_s": 3600.0,
        "quantiles_gco2_per_kwh": {0.9: np.array([3.0, 4.0, 5.0]), 0.5: np.array([2.0, 3.0, 4.0]), 0.1: np.array([1.0, 2.0, 3.0])},
        "forecaster": "test",
        "provenance": Provenance(provider="test"),
    }
    return Forecast(**{**fields, **changes})


def test_quantiles_are_sorted_series_of_the_zone() -> None:
    forecast = forecast_of()
    assert list(forecast.quantiles_gco2_per_kwh) == [0.1, 0.5, 0.9]
    assert forecast.end_at == START_AT + timedelta(hours=3)
    assert list(forecast.median.values_gco2_per_kwh) == [2, 3, 4]
    upper = forecast.quantile(0.9)
    assert (upper.zone, upper.kind, upper.start_at, upper.at(START_AT)) == ("DE", forecast.kind, START_AT, 3.0)
    with pytest.raises(KeyError):
        forecast.quantile(0.25)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"quantiles_gco2_per_kwh": {0.1: [1.0], 0.9: [2.0]}}, r"needs the 0\.5 quantile"),
        ({"quantiles_gco2_per_kwh": {0.5: [1.0], 1.0: [2.0]}}, "strictly between"),
        ({"quantiles_gco2_per_kwh": {0.5: [1.0], 0.0: [2.0]}}, "strictly between"),
        ({"quantiles_gco2_per_kwh": {0.5: [1.0], 0.9: [2.0, 3.0]}}, "same length"),
        ({"quantiles_gco2_per_kwh": {0.5: []}}, "not empty"),
        ({"quantiles_gco2_per_kwh": {0.5: [1.0], 0.9: [math.nan]}}, "NaN"),
        ({"quantiles_gco2_per_kwh": {0.5: [1.0], 0.1: [-1.0]}}, "negative"),
        ({"issued_at": NAIVE}, "issued_at"),
        ({"start_at": NAIVE}, "start_at"),
        ({"step_s": 0.0}, "step_s"),
    ],
)
def test_a_malformed_forecast_is_refused_when_it_is_made(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        forecast_of(**changes)


def test_resample_takes_the_level_asked_for() -> None:
    forecast = forecast_of()
    assert forecast.resample(START_AT + timedelta(minutes=30), 3600.0, 2) == pytest.approx([2.5, 3.5])
    assert forecast.resample(START_AT, 10800.0, 1, level=0.9) == pytest.approx([4.0])


@pytest.mark.parametrize(("offset_h", "count"), [(-0.25, 1), (2.5, 1), (0, 4), (3, 1)])
def test_nothing_is_forecast_outside(offset_h: float, count: int) -> None:
    with pytest.raises(ForecastHorizonError, match="zone DE: the forecast issued at 2022-05-02T00:20Z covers") as caught:
        forecast_of().resample(START_AT + timedelta(hours=offset_h), 3600.0, count)
    assert isinstance(caught.value, OutsideDataError)


def test_a_certain_forecast_is_its_series() -> None:
    series = IntensitySeries(
        zone="ES",
        kind=IntensityKind.MARGINAL,
        start_at=START_AT,
        step_s=900.0,
        values_gco2_per_kwh=np.array([5.0, 6.0]),
        provenance=Provenance(provider="test"),
    )
    assert Forecast.certain(series, START_AT).median == series


def test_a_snapshot_finds_zones_and_names_them_in_its_error() -> None:
    snapshot = ForecastSnapshot(version=3, issued_at=START_AT, forecasts={"DE": (forecast := forecast_of())})
    assert snapshot["DE"] is forecast
    with pytest.raises(UnknownZoneError, match="did you mean DE") as caught:
        snapshot["DEE"]
    assert caught.value.known == ("DE",)


def test_a_snapshot_is_of_one_kind() -> None:
    forecasts = {"DE": forecast_of(), "ES": forecast_of(zone="ES", kind=IntensityKind.MARGINAL)}
    with pytest.raises(UnitMismatchError):
        ForecastSnapshot(version=1, issued_at=START_AT, forecasts=forecasts)
    assert not ForecastSnapshot(version=0, issued_at=START_AT, forecasts={}).forecasts


def test_freshness_is_judged_by_age_alone() -> None:
    snapshot = ForecastSnapshot(version=1, issued_at=START_AT, forecasts={"DE": forecast_of()})
    assert snapshot.require_fresh(START_AT + timedelta(seconds=900), 900.0) is snapshot
    with pytest.raises(StaleForecastError) as caught:
        snapshot.require_fresh(START_AT + timedelta(seconds=901), 900.0)
    assert (caught.value.issued_at, caught.value.max_age_s) == (START_AT, 900.0)


def test_a_snapshot_survives_pickling() -> None:
    snapshot = ForecastSnapshot(version=1, issued_at=START_AT, forecasts={"DE": forecast_of()})
    again = pickle.loads(pickle.dumps(snapshot))
    assert again["DE"].median == snapshot["DE"].median
    assert (again.version, again.issued_at) == (1, START_AT)
