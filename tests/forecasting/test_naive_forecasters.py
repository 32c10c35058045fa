"""The naive forecasters: right by hand, blind to the future, honest about little history."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError, ForecastError, UnknownZoneError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.base import QUANTILES, Forecaster, Window
from carbon_ray.forecasting.naive import Ewma, Persistence
from carbon_ray.forecasting.registry import FORECASTERS, forecaster_named
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.testing import PerfectForecaster

T0 = datetime(2022, 5, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = [Persistence(), Ewma()]
STEPS_S = [300.0, 420.0, 900.0, 1800.0, 2700.0, 3600.0]  # 420 s does not divide a day


def series_of(values: FloatArray | list[float], step_s: float = 3600.0, zone: str = "DE", **changes: Any) -> IntensitySeries:
    fields: dict[str, Any] = {"kind": IntensityKind.MARGINAL, "start_at": T0, "provenance": Provenance(provider="test", is_embedded=True)}
    return IntensitySeries(zone=zone, step_s=step_s, values_gco2_per_kwh=np.asarray(values, dtype=float), **{**fields, **changes})


def noise(count: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).uniform(50, 500, count)


def one(forecaster: Forecaster, series: IntensitySeries, now: datetime, horizon_s: float) -> Forecast:
    return forecaster.forecast({series.zone: series}, now=now, horizon_s=horizon_s)[series.zone]


def same(left: Forecast, right: Forecast) -> bool:
    return all(left.quantile(level) == right.quantile(level) for level in QUANTILES) and left.issued_at == right.issued_at


def test_persistence_repeats_the_last_day() -> None:
    values = noise(24 * 5)
    forecast = one(Persistence(), series_of(values), T0 + 5 * 24 * HOUR, 48 * 3600.0)
    assert list(forecast.median.values_gco2_per_kwh) == [*values[-24:], *values[-24:]]


def test_persistence_in_the_middle_of_a_day_and_an_hour() -> None:
    values = noise(24 * 5)
    forecast = one(Persistence(), series_of(values), T0 + 100 * HOUR + timedelta(minutes=40), 30 * 3600.0)
    assert (forecast.start_at, forecast.issued_at) == (T0 + 100 * HOUR, T0 + 100 * HOUR + timedelta(minutes=40))
    # the interval of hour 100 is not over, so hours 76 to 99 are the last day
    assert list(forecast.median.values_gco2_per_kwh) == [*values[76:100], *values[76:83]]


@pytest.mark.parametrize("horizon_h", [24, 72])
def test_ewma_weighs_days_by_hand(horizon_h: int) -> None:
    values = noise(24 * 20)
    forecast = one(Ewma(decay=0.7, days=14), series_of(values), T0 + 20 * 24 * HOUR, horizon_h * 3600.0)
    weights = [0.7**age for age in range(14)]
    by_day = values.reshape(20, 24)[::-1]
    expected = [sum(weights[age] * by_day[age, hour] for age in range(14)) / sum(weights) for hour in range(24)]
    assert forecast.median.values_gco2_per_kwh == pytest.approx(expected * (horizon_h // 24))


def test_ewma_of_one_day_is_persistence() -> None:
    series = series_of(noise(24 * 40))
    now = T0 + 40 * 24 * HOUR
    assert same(one(Ewma(days=1), series, now, 1e5), one(Persistence(), series, now, 1e5))


def test_days_that_are_not_there_are_left_out_of_the_weights() -> None:
    values = noise(24 * 3)
    forecast = one(Ewma(decay=0.5, days=14), series_of(values), T0 + 3 * 24 * HOUR, 3600.0)
    assert forecast.median.values_gco2_per_kwh[0] == pytest.approx((values[48] + 0.5 * values[24] + 0.25 * values[0]) / 1.75)


@pytest.mark.parametrize("forecaster", BOTH)
@pytest.mark.parametrize("step_s", STEPS_S)
def test_the_window_holds_now_and_reaches_the_horizon(forecaster: Forecaster, step_s: float) -> None:
    series = series_of(noise(int(40 * 86400 / step_s)), step_s)
    for offset_s in (0, 1, step_s - 1):
        start_at = T0 + timedelta(seconds=step_s * int(20 * 86400 / step_s))
        now = start_at + timedelta(seconds=offset_s)
        for horizon_s in (1.0, step_s, step_s + 1, 86400.0):
            forecast = one(forecaster, series, now, horizon_s)
            assert forecast.start_at == start_at
            assert forecast.end_at - timedelta(seconds=step_s) < now + timedelta(seconds=horizon_s) <= forecast.end_at
            assert (forecast.step_s, forecast.issued_at) == (step_s, now)


@pytest.mark.parametrize("forecaster", BOTH)
@pytest.mark.parametrize("step_s", STEPS_S)
def test_the_future_is_not_looked_at(forecaster: Forecaster, step_s: float) -> None:
    values = noise(int(60 * 86400 / step_s))
    now = T0 + timedelta(days=45, seconds=step_s * 0.99)
    ended = (now - T0) // timedelta(seconds=step_s)
    shifted, cut = values.copy(), values[:ended]
    shifted[ended:] = 5000.0
    truth = one(forecaster, series_of(values, step_s), now, 168 * 3600.0)
    assert same(truth, one(forecaster, series_of(shifted, step_s), now, 168 * 3600.0))
    assert same(truth, one(forecaster, series_of(cut, step_s), now, 168 * 3600.0))
    changed = values.copy()
    changed[ended - 1] += 100.0  # the newest interval that did end is used
    assert not same(truth, one(forecaster, series_of(changed, step_s), now, 168 * 3600.0))


@pytest.mark.parametrize("forecaster", BOTH)
@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_grid_that_repeats_daily_is_forecast_without_error(forecaster: Forecaster, step_s: float) -> None:
    count = int(60 * 86400 / step_s)
    hour = np.floor(((np.arange(count) + 0.5) * step_s % 86400) / 21600)  # constant in each quarter of the day
    series = series_of(100 + 50 * hour, step_s)
    now = T0 + timedelta(days=50)
    forecast = one(forecaster, series, now, 72 * 3600.0)
    truth = series.values_gco2_per_kwh[(forecast.start_at - T0) // timedelta(seconds=step_s) :][: len(forecast.median)]
    is_exact = np.isclose(forecast.median.values_gco2_per_kwh, truth)
    assert is_exact.all() if 86400 % step_s == 0 else is_exact.mean() > 0.93  # else the edges of the quarters move by a step
    for level in QUANTILES:
        assert np.isclose(forecast.quantile(level).values_gco2_per_kwh, truth)[is_exact].mean() > 0.85


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=1, max_size=24 * 12),
    st.integers(0, 24 * 20),
    st.integers(1, 200),
    st.sampled_from(BOTH),
    st.sampled_from(STEPS_S),
)
def test_quantiles_are_ordered_and_stay_an_intensity(
    values: list[float], age: int, horizon_h: int, forecaster: Forecaster, step_s: float
) -> None:
    series = series_of(values, step_s)
    forecast = one(forecaster, series, series.end_at + age * HOUR, horizon_h * 3600.0)
    low, median, high = (forecast.quantile(level).values_gco2_per_kwh for level in QUANTILES)
    assert (low >= 0).all()
    assert (low <= median).all()
    assert (median <= high).all()
    assert median.min() >= min(values) - 1e-9
    assert median.max() <= max(values) + 1e-9


@pytest.mark.parametrize("forecaster", BOTH)
@pytest.mark.parametrize("count", [1, 5, 23, 24, 30, 24 * 5, 24 * 60])
def test_a_constant_history_gives_that_constant(forecaster: Forecaster, count: int) -> None:
    forecast = one(forecaster, series_of([250.0] * count), T0 + count * HOUR, 168 * 3600.0)
    for level in QUANTILES:
        assert forecast.quantile(level).values_gco2_per_kwh == pytest.approx([250.0] * 168)


@pytest.mark.parametrize("forecaster", BOTH)
def test_less_than_a_day_of_history_gives_its_mean(forecaster: Forecaster) -> None:
    values = noise(23)
    forecast = one(forecaster, series_of(values), T0 + 23 * HOUR, 48 * 3600.0)
    assert forecast.median.values_gco2_per_kwh == pytest.approx([values.mean()] * 48)
    assert forecast.quantile(0.1).values_gco2_per_kwh == pytest.approx([np.quantile(values, 0.1)] * 48)
    assert forecast.quantile(0.9).values_gco2_per_kwh == pytest.approx([np.quantile(values, 0.9)] * 48)


@pytest.mark.parametrize("forecaster", BOTH)
def test_a_single_day_is_repeated_with_a_spread(forecaster: Forecaster) -> None:
    values = noise(24)
    forecast = one(forecaster, series_of(values), T0 + 24 * HOUR, 24 * 3600.0)
    assert list(forecast.median.values_gco2_per_kwh) == pytest.approx(list(values))
    assert (forecast.quantile(0.9).values_gco2_per_kwh > forecast.median.values_gco2_per_kwh).all()


@pytest.mark.parametrize("forecaster", BOTH)
@pytest.mark.parametrize("now", [T0 - 5 * HOUR, T0, T0 + timedelta(minutes=59)])
def test_no_interval_that_ended_is_an_error(forecaster: Forecaster, now: datetime) -> None:
    with pytest.raises(ForecastError, match="zone DE: no interval ended by"):
        one(forecaster, series_of(noise(48)), now, 3600.0)


def test_stale_history_goes_on_from_its_last_day() -> None:
    values = noise(24 * 5)
    now = T0 + (24 * 7 + 3) * HOUR  # two days and three hours after the history ended
    forecast = one(Persistence(), series_of(values), now, 24 * 3600.0)
    assert forecast.start_at == now
    last = values[-24:]
    assert list(forecast.median.values_gco2_per_kwh) == [*last[3:], *last[:3]]


@pytest.mark.parametrize("forecaster", BOTH)
def test_zones_do_not_touch_each_other_and_keep_their_own(forecaster: Forecaster) -> None:
    history = {
        "DE": series_of(noise(24 * 40, 1)),
        "ES": series_of(noise(48 * 40, 2), 1800.0, zone="ES", kind=IntensityKind.AVERAGE_DIRECT),
    }
    now = T0 + 39 * 24 * HOUR
    together = forecaster.forecast(history, now=now, horizon_s=86400.0)
    assert list(together) == ["DE", "ES"]
    for zone, forecast in together.items():
        assert same(forecast, one(forecaster, history[zone], now, 86400.0))
        assert (forecast.zone, forecast.kind, forecast.step_s) == (zone, history[zone].kind, history[zone].step_s)
        assert forecast.provenance == history[zone].provenance
        assert forecast.forecaster == forecaster.name
    assert forecaster.forecast({}, now=now, horizon_s=86400.0) == {}


@pytest.mark.parametrize("forecaster", BOTH)
def test_the_quantiles_hold_what_they_promise(forecaster: Forecaster) -> None:
    """Eight of ten hours lie between the outer quantiles, here on weather of known make."""
    provider = EmbeddedProvider(seed=5)
    inside = []
    for zone in ("DE", "ES", "US-CAL-CISO", "US-TEX-ERCO"):
        for day in range(0, 300, 10):
            now = T0 + timedelta(days=day)
            forecast = one(forecaster, provider.history(zone, now - timedelta(days=60), now), now, 24 * 3600.0)
            truth = provider.history(zone, now, now + timedelta(days=1)).values_gco2_per_kwh
            low, high = (forecast.quantile(level).values_gco2_per_kwh for level in (0.1, 0.9))
            inside.append((low <= truth) & (truth <= high))
    assert 0.74 < np.mean(inside) < 0.86


def test_a_wider_horizon_is_less_certain() -> None:
    series = EmbeddedProvider().history("DE", T0 - timedelta(days=60), T0)
    forecast = one(Persistence(), series, T0, 168 * 3600.0)
    width = forecast.quantile(0.9).values_gco2_per_kwh - forecast.quantile(0.1).values_gco2_per_kwh
    assert width[-24:].mean() > width[:24].mean()


@pytest.mark.parametrize(
    ("now", "horizon_s"), [(T0.replace(tzinfo=None), 3600.0), (T0, 0.0), (T0, -1.0), (T0, float("nan")), (T0, float("inf"))]
)
def test_a_window_needs_utc_and_a_horizon(now: datetime, horizon_s: float) -> None:
    with pytest.raises(ValueError, match=r"aware UTC|horizon_s must be above 0"):
        Window.of(series_of(noise(48)), now=now, horizon_s=horizon_s)


@pytest.mark.parametrize("parameters", [{"decay": 0.0}, {"decay": 1.1}, {"decay": float("nan")}, {"days": 0}])
def test_ewma_refuses_parameters_that_mean_nothing(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="ewma needs decay within"):
        Ewma(**parameters)


@pytest.mark.parametrize(("name", "make"), FORECASTERS.items())
def test_built_in_forecasters_are_found_by_name(name: str, make: Callable[[], Forecaster]) -> None:
    forecaster = forecaster_named(name)
    assert isinstance(forecaster, Forecaster)
    assert forecaster.name == name
    assert forecaster == make() == pickle.loads(pickle.dumps(forecaster))


def test_unknown_forecasters_come_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown forecaster 'prophet'; use one of ewma, lightgbm, linear, persistence"):
        forecaster_named("prophet")


def test_the_perfect_forecaster_says_what_comes_true() -> None:
    values = noise(72)
    perfect = PerfectForecaster({"DE": series_of(values)})
    assert isinstance(perfect, Forecaster)
    now = T0 + 24 * HOUR + timedelta(minutes=10)
    forecast = one(perfect, series_of([1.0]), now, 10 * 3600.0)
    assert (forecast.start_at, forecast.issued_at, forecast.forecaster) == (T0 + 24 * HOUR, now, "perfect")
    for level in QUANTILES:
        assert list(forecast.quantile(level).values_gco2_per_kwh) == list(values[24:35])
    with pytest.raises(UnknownZoneError):
        one(perfect, series_of([1.0], zone="ES"), now, 3600.0)
    for outside in (T0 - HOUR, T0 + 72 * HOUR):
        with pytest.raises(ForecastError, match="the truth covers"):
            one(perfect, series_of([1.0]), outside, 3600.0)
