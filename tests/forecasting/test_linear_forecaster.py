"""The linear forecaster: blind to the future, better than the naive ones where the past says more, and never without an answer."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError, ForecastError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.base import QUANTILES, Forecaster
from carbon_ray.forecasting.linear import LEADS, MIN_TRAIN_HOURS, Linear, LinearModel
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.forecasting.signals import DAY, MIN_HOURS, Signals

T0 = datetime(2021, 1, 1, tzinfo=UTC)
DAYS = 100
NOW = T0 + timedelta(days=DAYS)


def windy(days: int, seed: int = 3) -> FloatArray:
    """A daily pattern, and weather that lasts for about two days."""
    random = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    weather = np.zeros(len(hours))
    for hour in range(1, len(hours)):
        weather[hour] = 0.98 * weather[hour - 1] + random.normal(0, 12)
    return np.maximum(300 + 80 * np.cos(2 * np.pi * hours / 24) + weather, 1.0)


def series_of(values: FloatArray, step_s: float = 3600.0, start_at: datetime = T0) -> IntensitySeries:
    return IntensitySeries(
        zone="DE",
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=start_at,
        step_s=step_s,
        values_gco2_per_kwh=values,
        provenance=Provenance(provider="test"),
    )


def one(forecaster: Forecaster, series: IntensitySeries, now: datetime = NOW, hours: float = 200) -> Forecast:
    return forecaster.forecast({"DE": series}, now=now, horizon_s=hours * 3600.0)["DE"]


def same(left: Forecast, right: Forecast) -> bool:
    return all(left.quantile(level) == right.quantile(level) for level in QUANTILES)


@pytest.mark.parametrize("step_s", [900.0, 3600.0])
def test_the_future_is_not_looked_at(step_s: float) -> None:
    values = np.repeat(windy(DAYS + 10), int(3600 / step_s))
    ended = int(DAYS * 86400 / step_s)
    changed = values.copy()
    changed[ended:] = 5000.0
    forecast = one(Linear(), series_of(values, step_s))
    assert forecast.forecaster == "linear"
    assert same(forecast, one(Linear(), series_of(changed, step_s)))
    assert same(forecast, one(Linear(), series_of(values[:ended], step_s)))
    newest = values.copy()
    newest[ended - 1] += 100.0
    assert not same(forecast, one(Linear(), series_of(newest, step_s)))


def test_nothing_after_the_training_limit_is_learned_from() -> None:
    values = windy(DAYS + 10)
    until_at = T0 + timedelta(days=80)
    other = values.copy()
    other[80 * 24 : 80 * 24 + 5 * 24] = 900.0  # long enough ago for the signals of an issue at day 114 to forget it
    now = T0 + timedelta(days=80)
    limited = Linear(train_until_at=until_at)
    assert same(one(limited, series_of(values), now), one(Linear(train_until_at=until_at), series_of(other), now))
    long = np.concatenate([values, windy(50, seed=4)])
    later, far = long.copy(), T0 + timedelta(days=150)  # the errors of four weeks are looked at, and a month before each
    later[81 * 24 : 90 * 24] = 900.0
    assert same(one(limited, series_of(long), far), one(Linear(train_until_at=until_at), series_of(later), far))
    assert not same(one(Linear(), series_of(long), far), one(Linear(), series_of(later), far))


def test_it_is_better_than_the_usual_day_while_the_weather_lasts_and_no_worse_after() -> None:
    values = windy(400)
    errors: dict[str, list[FloatArray]] = {"linear": [], "ewma": []}
    linear = Linear(train_until_at=T0 + timedelta(days=365))
    for day in range(366, 390):
        now = T0 + timedelta(days=day, hours=day % 24)
        first = day * 24 + day % 24
        for name, forecaster in (("linear", linear), ("ewma", Ewma())):
            made = one(forecaster, series_of(values[:first]), now, 168).median.values_gco2_per_kwh
            errors[name].append(np.abs(made - values[first : first + 168]))
    linear_mae, ewma_mae = np.mean(errors["linear"], axis=0), np.mean(errors["ewma"], axis=0)
    assert linear_mae[:12].mean() < 0.6 * ewma_mae[:12].mean()
    assert linear_mae.mean() < 0.9 * ewma_mae.mean()


def test_the_quantiles_hold_what_they_promise() -> None:
    values = windy(500, seed=11)
    linear = Linear(train_until_at=T0 + timedelta(days=365))
    inside = []
    for day in range(366, 490, 3):
        first = day * 24 + 7 * day % 24
        forecast = one(linear, series_of(values[:first]), T0 + timedelta(hours=first), 96)
        low, high = (forecast.quantile(level).values_gco2_per_kwh for level in (0.1, 0.9))
        truth = values[first : first + 96]
        inside.append((low <= truth) & (truth <= high))
    assert 0.7 < np.mean(inside) < 0.9


def test_a_grid_that_repeats_weekly_is_learned() -> None:
    hours = np.arange(150 * 24)
    weekend = (hours // 24 + T0.weekday()) % 7 >= 5
    values = 300 + 80 * np.cos(2 * np.pi * hours / 24) - 60 * weekend
    first = 140 * 24
    made = one(Linear(penalty=0.01), series_of(values[:first]), T0 + timedelta(hours=first), 168).median.values_gco2_per_kwh
    usual = one(Ewma(), series_of(values[:first]), T0 + timedelta(hours=first), 168).median.values_gco2_per_kwh
    truth = values[first : first + 168]
    assert np.abs(made - truth).mean() < 0.3 * np.abs(usual - truth).mean()


@pytest.mark.parametrize(
    ("days", "step_s"),
    [(3, 3600.0), ((MIN_HOURS + MIN_TRAIN_HOURS) // 24 - 8, 3600.0), (DAYS, 5400.0), (DAYS, 7200.0)],
    ids=["days", "not yet two months", "steps of 90 minutes", "steps of two hours"],
)
def test_where_it_cannot_learn_the_usual_day_serves(days: int, step_s: float) -> None:
    series = series_of(np.random.default_rng(0).uniform(50, 500, int(days * 86400 / step_s)), step_s)
    made = one(Linear(), series, series.end_at)
    assert made.forecaster == "ewma"
    assert same(made, one(Ewma(), series, series.end_at))


def test_no_history_is_an_error_that_says_so() -> None:
    with pytest.raises(ForecastError, match="no interval ended"):
        one(Linear(), series_of(windy(3)), T0)


def test_quantiles_are_ordered_and_stay_an_intensity() -> None:
    low = np.maximum(windy(DAYS) - 330, 0.0)
    forecast = one(Linear(), series_of(low), hours=LEADS + 60)
    rows = np.stack([forecast.quantile(level).values_gco2_per_kwh for level in QUANTILES])
    assert (np.diff(rows, axis=0) >= 0).all()
    assert (rows >= 0).all()
    assert rows.shape[1] == LEADS + 60


def test_a_constant_history_gives_that_constant() -> None:
    forecast = one(Linear(), series_of(np.full(DAYS * 24, 123.0)))
    for level in QUANTILES:
        assert forecast.quantile(level).values_gco2_per_kwh == pytest.approx(np.full(200, 123.0), abs=1e-3)


def test_stale_history_counts_the_hours_since_its_end() -> None:
    values = windy(DAYS)
    fresh = one(Linear(), series_of(values), NOW, 48)
    stale = one(Linear(), series_of(values), NOW + timedelta(hours=5), 43)
    assert stale.start_at == NOW + timedelta(hours=5)
    assert list(stale.median.values_gco2_per_kwh) == list(fresh.median.values_gco2_per_kwh[5:])


def test_the_model_is_made_once_a_week_and_does_not_depend_on_what_was_asked_before() -> None:
    values, linear = windy(DAYS), Linear()
    first = one(linear, series_of(values[: 95 * 24]), T0 + timedelta(days=95))
    one(linear, series_of(values), NOW)
    assert len(linear._models) == 1
    assert same(first, one(Linear(), series_of(values[: 95 * 24]), T0 + timedelta(days=95)))
    assert pickle.loads(pickle.dumps(linear)) == linear


def test_in_bulk_and_one_by_one_are_the_same() -> None:
    values = windy(DAYS)
    signals = Signals.of(values, T0)
    until = Linear().trained_hours(T0, len(values), NOW)
    model = LinearModel.fit(signals, until, Linear().penalty)
    bulk = model.predict(signals, np.arange(len(values) - 30, len(values) + 1), 48)
    for back in (0, 13, 30):
        now = NOW - timedelta(hours=back)
        made = one(Linear(train_until_at=T0 + timedelta(hours=until)), series_of(values[: len(values) - back]), now, 48)
        assert made.median.values_gco2_per_kwh == pytest.approx(bulk[30 - back], rel=1e-12)


def test_errors_larger_than_those_of_the_training_widen_the_spread_and_only_later_ones() -> None:
    calm = windy(200)
    wild = calm.copy()
    wild[150 * 24 :] = np.maximum(wild[150 * 24 :] + 60.0 * np.random.default_rng(1).standard_normal(50 * 24), 0.0)
    model = LinearModel.fit(Signals.of(calm, T0), 120 * 24, Linear().penalty)
    issues = np.arange(140 * 24, 200 * 24 + 1)
    usual, surprised = (model.surprise(Signals.of(values, T0), issues) for values in (calm, wild))
    assert usual.min() > 0.7
    assert usual.max() < 1.6
    assert np.array_equal(usual[: 10 * 24 + 1], surprised[: 10 * 24 + 1])  # until the first wild hour has passed
    assert surprised[-1] > 1.5 * usual[-1]
    one_by_one = [model.surprise(Signals.of(wild[:issue], T0), np.array([issue]))[0] for issue in issues[::97]]
    assert one_by_one == pytest.approx(surprised[::97], rel=1e-12)
    outer = [
        one(Linear(train_until_at=T0 + timedelta(days=120)), series_of(values), T0 + timedelta(days=200), 24).quantiles_gco2_per_kwh[0.9]
        for values in (calm, wild)
    ]
    assert (outer[1] - outer[0]).mean() > 0


@pytest.mark.parametrize("parameters", [{"penalty": -1.0}, {"penalty": float("nan")}, {"refit_days": 0}])
def test_parameters_that_mean_nothing_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="linear needs"):
        Linear(**parameters)


def test_signals_begin_after_a_month() -> None:
    signals = Signals.of(windy(40), T0)
    assert np.isfinite(signals.ahead(signals.known_at(np.array([MIN_HOURS])), 0)).all()
    assert not np.isfinite(signals.ahead(signals.known_at(np.array([MIN_HOURS - DAY - 1])), 0)).all()
