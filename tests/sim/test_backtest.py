"""Scores on forecasts of known quality, and a backtest that shows no future to anyone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.naive import Ewma, Persistence
from carbon_ray.sim.backtest import backtest
from carbon_ray.sim.forecast_skill import decision_value, mape, pinball, rank_correlation
from carbon_ray.testing import PerfectForecaster

T0 = datetime(2022, 1, 1, tzinfo=UTC)
TRUTH = np.random.default_rng(3).uniform(100, 500, (40, 24))


def series_of(values: FloatArray, zone: str = "DE", step_s: float = 3600.0) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=step_s,
        values_gco2_per_kwh=values,
        provenance=Provenance(provider="made"),
    )


def test_the_truth_scores_full_marks() -> None:
    assert mape(TRUTH, TRUTH) == 0
    assert pinball(TRUTH, TRUTH, 0.1) == 0
    assert rank_correlation(TRUTH, TRUTH) == pytest.approx(1)
    assert decision_value(TRUTH, TRUTH) == pytest.approx(1)


def test_the_order_alone_decides() -> None:
    assert decision_value(TRUTH, 7 + 3 * TRUTH**2) == pytest.approx(1)
    assert rank_correlation(TRUTH, np.exp(TRUTH / 100)) == pytest.approx(1)
    assert rank_correlation(TRUTH, -TRUTH) == pytest.approx(-1)
    assert decision_value(TRUTH, -TRUTH) < 0
    guesses = [decision_value(TRUTH, np.random.default_rng(seed).uniform(size=TRUTH.shape)) for seed in range(200)]
    assert np.mean(guesses) == pytest.approx(0, abs=0.03)


def test_scores_of_known_errors() -> None:
    assert mape(TRUTH, 1.1 * TRUTH) == pytest.approx(0.1)
    assert mape(np.array([[0.0, 100.0]]), np.array([[5.0, 150.0]])) == pytest.approx(0.5)
    assert np.isnan(mape(np.zeros((1, 2)), np.ones((1, 2))))
    assert pinball(TRUTH, TRUTH - 10, 0.9) == pytest.approx(9)
    assert pinball(TRUTH, TRUTH + 10, 0.9) == pytest.approx(1)
    assert np.isnan(decision_value(np.full((2, 24), 5.0), TRUTH[:2]))
    assert np.isnan(rank_correlation(np.full((2, 24), 5.0), TRUTH[:2]))


def test_ties_share_their_rank() -> None:
    truth, said = np.array([[1.0, 2.0, 2.0, 3.0]]), np.array([[1.0, 2.0, 3.0, 4.0]])
    assert rank_correlation(truth, said) == pytest.approx(np.corrcoef([0, 1.5, 1.5, 3], [0, 1, 2, 3])[0, 1])


class Spy:
    """Persistence that checks what it is shown."""

    name = "spy"

    def __init__(self) -> None:
        self.seen: list[tuple[datetime, datetime]] = []

    def forecast(self, history: Mapping[str, IntensitySeries], *, now: datetime, horizon_s: float) -> dict[str, Forecast]:
        self.seen += [(now, one.end_at) for one in history.values()]
        return Persistence().forecast(history, now=now, horizon_s=horizon_s)


@pytest.mark.parametrize("step_s", [900.0, 3600.0, 5400.0])
def test_no_forecaster_is_shown_the_future(step_s: float) -> None:
    series = series_of(np.random.default_rng(0).uniform(50, 400, int(60 * 86400 / step_s)), step_s=step_s)
    spy = Spy()
    backtest(
        {"DE": series}, {"spy": spy}, first_at=T0 + timedelta(days=31), last_at=T0 + timedelta(days=90), step=timedelta(hours=7), days=2
    )
    assert len(spy.seen) > 80
    assert all(end_at <= now < end_at + timedelta(seconds=step_s) for now, end_at in spy.seen)


def test_scores_by_forecaster_zone_and_day() -> None:
    day = 300 + 100 * np.sin(2 * np.pi * np.arange(24) / 24)
    draw = np.random.default_rng(1)
    history = {zone: series_of(np.tile(day, 60) + 30 * draw.standard_normal(60 * 24), zone) for zone in ("DE", "ES")}
    forecasters = {"ewma": Ewma(), "persistence": Persistence(), "perfect": PerfectForecaster(history)}
    scores = backtest(
        history, forecasters, first_at=T0 + timedelta(days=30), last_at=T0 + timedelta(days=60), step=timedelta(days=1), days=3
    )
    assert len(scores) == 3 * 2 * 3
    assert {one.issues for one in scores} == {28}
    by = {(one.forecaster, one.zone, one.day): one for one in scores}
    for zone in history:
        for number in (1, 2, 3):
            ewma, persistence, perfect = (by[name, zone, number] for name in ("ewma", "persistence", "perfect"))
            assert perfect.mape_fraction == pytest.approx(0, abs=1e-9)
            assert perfect.decision_value_fraction == pytest.approx(1)
            assert ewma.mape_fraction < persistence.mape_fraction
            assert ewma.pinball_gco2_per_kwh < persistence.pinball_gco2_per_kwh
            assert ewma.rank_correlation > persistence.rank_correlation
            assert ewma.decision_value_fraction > persistence.decision_value_fraction
            assert 0.6 < ewma.coverage80_fraction < 0.95


@pytest.mark.parametrize("first_at", [T0, T0 + timedelta(days=59)])
def test_a_history_without_room_is_refused(first_at: datetime) -> None:
    history = {"DE": series_of(np.full(60 * 24, 100.0))}
    with pytest.raises(ConfigError, match="the history has no issue"):
        backtest(history, {"ewma": Ewma()}, first_at=first_at, last_at=first_at, step=timedelta(days=1), days=2)
