"""The many-zone model: nothing of the future enters, context helps, errors teach, new zones are served."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting import run_end
from carbon_ray.forecasting.base import QUANTILES, Forecaster
from carbon_ray.forecasting.blend import weights_of
from carbon_ray.forecasting.columns import COLUMNS, MIN_HOURS, YEARLY, Table
from carbon_ray.forecasting.generation import Curves
from carbon_ray.forecasting.many_zones import Context, LightGbm, stranger
from carbon_ray.forecasting.model import MEMBERS, ManyZoneModel, Recipe
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.track import Lesson, Track, blended
from carbon_ray.forecasting.training import train
from carbon_ray.forecasting.weather import SUN, WEATHER, WIND, WeatherRuns

T0 = datetime(2022, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = 200
SMALL = Recipe(leads=48, issue_hours=(0,), rows=9000, rounds=25, leaves=15, folds=2, calibration_issues=40, threads=1)
NOT_IN_THE_WORLD = {"coal", "nuclear", "hydro", "other", "dewpoint", "precipitation"}


class World:
    """A made grid: gas fills what wind and sun leave of the demand; the weather is forecast with a small error."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        hours = np.arange(DAYS * 24)
        wind = np.zeros(len(hours))
        for hour in range(1, len(hours)):
            wind[hour] = 0.97 * wind[hour - 1] + 0.25 * draw.standard_normal()
        self.wind = np.maximum(6 + 2.5 * wind, 0)
        self.sun = np.maximum(np.sin(2 * np.pi * (hours % 24 - 6) / 24), 0) * (600 + 50 * draw.standard_normal(len(hours)))
        self.demand = 60 + 8 * np.sin(2 * np.pi * (hours % 24 - 9) / 24) + 4 * ((hours // 24 + T0.weekday()) % 7 < 5)
        self.generation = {"wind": np.minimum(self.wind**2 / 3, 30.0), "solar": self.sun / 60}
        self.generation["gas"] = np.maximum(self.demand - self.generation["wind"] - self.generation["solar"], 1.0)
        total = np.sum(list(self.generation.values()), axis=0)
        self.values = (490 * self.generation["gas"] + 12 * self.generation["wind"] + 45 * self.generation["solar"]) / total
        runs = np.full((DAYS, 48, len(WEATHER)), np.nan)
        for run in range(DAYS):
            ahead = slice(run * 24, min(run * 24 + 48, len(hours)))
            count = ahead.stop - ahead.start
            runs[run, :count] = 280.0
            runs[run, :count, WIND] = self.wind[ahead] + 0.3 * draw.standard_normal(count)
            runs[run, :count, SUN] = self.sun[ahead]
        self.weather = WeatherRuns(first_run_at=T0, values=runs, delay_h=0)

    def past(self, zone: str, hours: int, *, is_told: bool = True) -> ZonePast:
        beside = {"generation": self.generation, "weather": self.weather} if is_told else {}
        return ZonePast(zone=zone, start_at=T0, values_gco2_per_kwh=self.values, **beside).until(hours)  # type: ignore[arg-type]

    def series(self, zone: str, hours: int) -> IntensitySeries:
        return series_of(zone, self.values[:hours])

    def context(self) -> Context:
        return Context(generation=self.generation, weather=self.weather)


def series_of(zone: str, values: FloatArray) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=values,
        provenance=Provenance(provider="made"),
    )


WORLDS = {"A": World(1), "B": World(2)}
TRAINED_HOURS = 150 * 24


@pytest.fixture(scope="module")
def informed() -> ManyZoneModel:
    return train({zone: world.past(zone, TRAINED_HOURS) for zone, world in WORLDS.items()}, SMALL)


@pytest.fixture(scope="module")
def history_only() -> ManyZoneModel:
    return train({zone: world.past(zone, TRAINED_HOURS, is_told=False) for zone, world in WORLDS.items()}, SMALL)


def mape(model: ManyZoneModel, world: World, zone: str, *, is_told: bool) -> FloatArray:
    """Of each member and of the blend, over the days after training."""
    past = world.past(zone, DAYS * 24, is_told=is_told)
    issue = np.arange(TRAINED_HOURS, DAYS * 24 - 48, 24)
    said = model.said(past, issue)
    lesson = Lesson.of(model.zones[zone], Track.empty(48), past.until(TRAINED_HOURS), T0 + TRAINED_HOURS * HOUR)
    mixed = blended(said, lesson)
    truth = world.values[issue[:, None] + np.arange(48)]
    logs = [*np.moveaxis(said.members, 2, 0), mixed]
    return np.array([np.mean(np.abs(said.usual_gco2_per_kwh * np.exp(one) / truth - 1)) for one in logs])


def test_the_blend_is_better_than_every_naive_forecast(history_only: ManyZoneModel) -> None:
    for zone, world in WORLDS.items():
        errors = mape(history_only, world, zone, is_told=False)
        assert errors[-1] < min(errors[2], errors[3])


def test_weather_and_generation_halve_the_error(informed: ManyZoneModel, history_only: ManyZoneModel) -> None:
    for zone, world in WORLDS.items():
        assert mape(informed, world, zone, is_told=True)[-1] < 0.5 * mape(history_only, world, zone, is_told=False)[-1]


def test_the_same_seed_gives_the_same_model(history_only: ManyZoneModel) -> None:
    again = train({zone: world.past(zone, TRAINED_HOURS, is_told=False) for zone, world in WORLDS.items()}, SMALL)
    assert again.trees.texts == history_only.trees.texts
    assert np.array_equal(again.zones["A"].scores, history_only.zones["A"].scores)
    other = train({zone: world.past(zone, TRAINED_HOURS, is_told=False) for zone, world in WORLDS.items()}, replace(SMALL, seed=1))
    assert other.trees.texts != history_only.trees.texts


@pytest.mark.parametrize("offset", [0, 5, 23])
def test_no_column_looks_past_the_issue(offset: int) -> None:
    """The future is shifted: intensity, generation, and every run that starts after the issue."""
    world, issue = WORLDS["A"], TRAINED_HOURS + offset
    past = world.past("A", DAYS * 24)
    curves = Curves.fit(world.past("A", TRAINED_HOURS), np.arange(MIN_HOURS, TRAINED_HOURS - 48, 24), 48)
    later = np.arange(DAYS * 24) >= issue
    runs = world.weather.values.copy()
    runs[issue // 24 + 1 :] += 50.0
    shifted = ZonePast(
        zone="A",
        start_at=T0,
        values_gco2_per_kwh=np.where(later, 5000.0, world.values),
        generation={fuel: np.where(later, power + 99.0, power) for fuel, power in world.generation.items()},
        weather=replace(world.weather, values=runs),
    )
    at = np.array([issue])
    told = Table.of(past, at, 48, curves)
    for other in (shifted, past.until(issue), replace(shifted.until(issue), weather=past.weather)):
        again = Table.of(other, at, 48, curves)
        assert np.allclose(told.values, again.values, rtol=1e-6, atol=1e-6, equal_nan=True)
        assert np.array_equal(told.usual_gco2_per_kwh, again.usual_gco2_per_kwh)
    assert len(set(COLUMNS)) == len(COLUMNS)
    known = np.isfinite(told.values[0, 0])
    assert {name for name, is_known in zip(COLUMNS, known, strict=True) if not is_known} <= {
        name for name in COLUMNS if name.split("_")[0] in NOT_IN_THE_WORLD or name in run_end.COLUMNS
    }
    newest = past.values_gco2_per_kwh.copy()
    newest[issue - 1] += 40.0  # the newest hour that did end is used
    assert not np.array_equal(told.values, Table.of(replace(past, values_gco2_per_kwh=newest), at, 48, curves).values, equal_nan=True)


def test_a_run_is_used_when_it_is_there_and_not_before() -> None:
    late = replace(WORLDS["A"].weather, delay_h=5)
    at_four, at_five = (late.ahead(np.array([240 + hour]), T0, 3)[0, :, WIND] for hour in (4, 5))
    assert at_four == pytest.approx(late.values[9, 28:31, WIND])
    assert at_five == pytest.approx(late.values[10, 5:8, WIND])
    assert np.isnan(late.ahead(np.array([3]), T0, 2)).all()
    assert np.isnan(late.ahead(np.array([240 + 5]), T0, 60)[0, 43:]).all()
    assert late.lately(T0, 300)[240 + 4, WIND] == late.values[9, 28, WIND]


def test_after_a_runs_end_its_last_day_is_told_and_within_the_run_nothing() -> None:
    world, at = WORLDS["A"], np.array([MIN_HOURS + 5])
    table = Table.of(world.past("A", DAYS * 24), at, 72, None)
    after = 48 - 5  # the newest run began five hours before the issue
    for name in run_end.COLUMNS:
        assert np.isnan(table.column(name)[0, :after]).all()
    wind = table.column("wind_speed_m_per_s_over_usual")[0]
    assert np.isnan(wind[after:]).all()
    assert table.column("hours_after_end")[0, after:] == pytest.approx(np.arange(72 - after))
    assert table.column("wind_at_end")[0, after:] == pytest.approx(wind[after - run_end.LAST_HOURS : after].mean(), abs=1e-4)
    assert table.column("wind_of_end_day")[0, after:] == pytest.approx(wind[after - 24 : after].mean(), abs=1e-4)
    assert table.column("wind_at_hour_of_end_day")[0, after : after + 24] == pytest.approx(wind[after - 24 : after], abs=1e-4)


def test_a_run_helps_on_the_day_after_its_end(history_only: ManyZoneModel) -> None:
    """Runs of a day: of the second day they say nothing, but wind lasts."""
    cut = {
        zone: replace(world.past(zone, DAYS * 24), weather=replace(world.weather, values=world.weather.values[:, :24]))
        for zone, world in WORLDS.items()
    }
    model = train({zone: past.until(TRAINED_HOURS) for zone, past in cut.items()}, SMALL)
    issue = np.arange(TRAINED_HOURS, DAYS * 24 - 48, 24)
    for zone, world in WORLDS.items():
        truth = np.log(world.values[issue[:, None] + np.arange(48)])
        alone = history_only.said(world.past(zone, DAYS * 24, is_told=False), issue)
        told = model.said(cut[zone], issue)
        of_second_day = [
            np.abs(truth - np.log(one.usual_gco2_per_kwh) - one.members[:, :, MEMBERS.index("ridge")])[:, 24:36].mean()
            for one in (told, alone)
        ]
        assert of_second_day[0] < 0.9 * of_second_day[1]


def test_half_a_year_teaches_nothing_of_the_year(history_only: ManyZoneModel) -> None:
    for zone in WORLDS:
        coefficients = history_only.zones[zone].coefficients[0]
        assert not coefficients[:, list(YEARLY)].any()
        assert coefficients.any(axis=1).all()


def test_the_future_is_not_looked_at_by_the_forecaster() -> None:
    now = T0 + 180 * 24 * HOUR + timedelta(minutes=20)
    ended = 180 * 24
    shifted = WORLDS["A"].values.copy()
    shifted[ended:] = 4000.0
    whole = {"A": WORLDS["A"].series("A", DAYS * 24), "B": WORLDS["B"].series("B", DAYS * 24)}
    changed = {**whole, "A": series_of("A", shifted)}
    cut = {"A": WORLDS["A"].series("A", ended), "B": WORLDS["B"].series("B", ended)}
    made = [LightGbm(recipe=SMALL).forecast(one, now=now, horizon_s=72 * 3600.0) for one in (whole, changed, cut)]
    for zone in whole:
        for level in QUANTILES:
            values = [one[zone].quantiles_gco2_per_kwh[level] for one in made]
            assert np.array_equal(values[0], values[1])
            assert np.array_equal(values[0], values[2])


def test_the_forecast_keeps_the_protocol(informed: ManyZoneModel) -> None:
    forecaster = LightGbm(model=informed, recipe=SMALL)
    assert isinstance(forecaster, Forecaster)
    hours = TRAINED_HOURS + 24 * 10
    now = T0 + hours * HOUR + timedelta(minutes=30)
    history = {zone: world.series(zone, hours) for zone, world in WORLDS.items()}
    context = {zone: world.context() for zone, world in WORLDS.items()}
    made = forecaster.forecast(history, now=now, horizon_s=100 * 3600.0, context=context)
    assert list(made) == ["A", "B"]
    for one in made.values():
        assert (one.start_at, one.forecaster, one.issued_at) == (T0 + hours * HOUR, "lightgbm", now)
        assert one.end_at >= now + timedelta(hours=100)
        low, middle, high = (one.quantiles_gco2_per_kwh[level] for level in QUANTILES)
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (low > 0).all()
        assert (high > low).any()
    # What is beyond the model's hours is its last day again.
    values = made["A"].quantiles_gco2_per_kwh[0.5]
    assert np.array_equal(values[48:72], values[24:48])
    again = forecaster.forecast(history, now=now, horizon_s=100 * 3600.0, context=context)
    assert np.array_equal(again["A"].quantiles_gco2_per_kwh[0.5], values)


def test_half_hours_and_short_histories_are_served(history_only: ManyZoneModel) -> None:
    forecaster = LightGbm(model=history_only, recipe=SMALL)
    now = T0 + TRAINED_HOURS * HOUR
    halves = replace(
        WORLDS["A"].series("A", TRAINED_HOURS), step_s=1800.0, values_gco2_per_kwh=np.repeat(WORLDS["A"].values[:TRAINED_HOURS], 2)
    )
    short = replace(WORLDS["B"].series("B", 24 * 5), zone="C", start_at=now - 5 * 24 * HOUR)
    made = forecaster.forecast({"A": halves, "C": short}, now=now, horizon_s=24 * 3600.0)
    assert (made["A"].step_s, len(made["A"].median)) == (1800.0, 48)
    assert made["A"].quantiles_gco2_per_kwh[0.5][0] == made["A"].quantiles_gco2_per_kwh[0.5][1]
    assert made["C"].forecaster == Ewma.name


def test_a_zone_that_was_not_learned_is_told_from_its_siblings(history_only: ManyZoneModel) -> None:
    """Two months of history, no model of its own: still better than the usual day, and with a spread that holds."""
    world = World(7)
    errors, inside = [], []
    for day in range(60, 150, 3):
        now = T0 + day * 24 * HOUR
        history = {"new": world.series("new", day * 24)}
        made = LightGbm(model=history_only, recipe=SMALL).forecast(history, now=now, horizon_s=48 * 3600.0)["new"]
        usual = Ewma().forecast(history, now=now, horizon_s=48 * 3600.0)["new"]
        truth = world.values[day * 24 : day * 24 + 48]
        assert made.forecaster == "lightgbm"
        errors.append([np.mean(np.abs(one.quantiles_gco2_per_kwh[0.5] / truth - 1)) for one in (made, usual)])
        inside.append((made.quantiles_gco2_per_kwh[0.1] <= truth) & (truth <= made.quantiles_gco2_per_kwh[0.9]))
    ours, naive = np.mean(errors, axis=0)
    assert ours < naive
    assert 0.65 < np.mean(inside) < 0.92
    assert len(stranger(history_only).coefficients) == 0


def test_recent_errors_move_weights_bias_and_width(history_only: ManyZoneModel) -> None:
    """A member that turns useless loses its weight; a lasting bias is taken out; wider errors widen the spread."""
    world, model = WORLDS["A"], history_only.zones["A"]
    past = world.past("A", DAYS * 24, is_told=False)
    before = Lesson.of(model, Track.empty(48), past, T0 + TRAINED_HOURS * HOUR)
    assert before.weights.sum(axis=1) == pytest.approx(1.0)
    assert before.bias == pytest.approx(0.0)
    assert before.width == pytest.approx(1.0)
    track = Track.empty(48)
    for issue in range(TRAINED_HOURS, TRAINED_HOURS + 30 * 24, 24):
        said = history_only.said(past.until(issue), np.array([issue]))
        members = said.members.copy()
        members[:, :, MEMBERS.index("ridge")] += (-1) ** (issue // 24)  # no better than a coin
        track = track.and_then(T0 + issue * HOUR, replace(said, members=members))
    after = Lesson.of(model, track, past, T0 + (TRAINED_HOURS + 30 * 24) * HOUR)
    assert (after.weights[:, 0] < 0.1).all()
    assert (before.weights[:, 0] > 0.2).all()
    shifted = Track(
        issue_at=track.issue_at,
        usual_gco2_per_kwh=track.usual_gco2_per_kwh,
        members=np.zeros(track.members.shape) + track.truth(past)[..., None] + 0.1,
        size=track.size,
        provider=track.provider,
    )
    # Only a tenth of it: on the periods that this was chosen on, most of a fortnight's mean error did not last.
    bias = Lesson.of(model, shifted, past, T0 + (TRAINED_HOURS + 30 * 24) * HOUR).bias
    assert ((bias < -0.005) & (bias > -0.1)).all()
    wide = replace(
        shifted, members=track.truth(past)[..., None] + 2.0 * np.sign(np.arange(30) % 2 - 0.5)[:, None, None] + np.zeros(len(MEMBERS))
    )
    assert (Lesson.of(model, wide, past, T0 + (TRAINED_HOURS + 30 * 24) * HOUR).width > 1.5).all()


def test_a_provider_that_is_right_is_followed_and_one_that_is_wrong_is_not(history_only: ManyZoneModel) -> None:
    world = WORLDS["B"]
    weights = {}
    for name, error in (("right", 1.0), ("wrong", 2.0)):
        forecaster = LightGbm(model=history_only, recipe=SMALL)
        for day in range(150, 175):
            now, first = T0 + day * 24 * HOUR, day * 24
            theirs = Forecast(
                zone="B",
                kind=IntensityKind.AVERAGE_LIFECYCLE,
                issued_at=now,
                start_at=now,
                step_s=3600.0,
                quantiles_gco2_per_kwh={0.5: world.values[first : first + 48] * error},
                forecaster="theirs",
                provenance=Provenance(provider="theirs"),
            )
            history = {"B": world.series("B", first)}
            made = forecaster.forecast(history, now=now, horizon_s=48 * 3600.0, context={"B": Context(provider=theirs)})["B"]
        alone = LightGbm(model=history_only, recipe=SMALL).forecast(history, now=now, horizon_s=48 * 3600.0)["B"]
        truth = world.values[first : first + 48]
        weights[name] = [np.mean(np.abs(one.quantiles_gco2_per_kwh[0.5] / truth - 1)) for one in (made, alone)]
    assert weights["right"][0] < 0.4 * weights["right"][1]
    assert weights["wrong"][0] < 1.5 * weights["wrong"][1] + 0.02


@pytest.mark.parametrize(
    ("errors", "weights"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
        ([[1.0, 0.0], [0.0, 9.0]], [0.9, 0.1]),
        ([[1.0, 1.0], [1.0, 4.0]], [1.0, 0.0]),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [0.5, 0.25, 0.25]),
    ],
)
def test_weights_are_those_of_the_least_squares(errors: list[list[float]], weights: list[float]) -> None:
    assert weights_of(np.array(errors)) == pytest.approx(weights, abs=0.05)
