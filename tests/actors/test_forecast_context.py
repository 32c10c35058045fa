"""What reaches the forecaster beside the intensity: generation on the history's hours, and nothing that was issued later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from carbon_ray.actors.forecast_context import GROUPS, GridContext, generation_of
from carbon_ray.actors.forecast_weather import DELAY_H, KeptRuns, WeatherKeeper, from_bytes, to_bytes
from carbon_ray.core.errors import ProviderUnavailable
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind, Provenance
from carbon_ray.forecasting.base import Window
from carbon_ray.forecasting.many_zones import LightGbm, past_of
from carbon_ray.forecasting.past import FUELS
from carbon_ray.forecasting.told import lacks
from carbon_ray.forecasting.training import train
from carbon_ray.forecasting.weather import WEATHER
from carbon_ray.providers.mix import STORAGE, Fuel, GenerationMix
from carbon_ray.providers.weather import WeatherForecast
from tests.actors.beside import DAY, FIRST_AT, HOUR, SMALL, T0, Bench, truth

GRID = Provenance(provider="grid")


def mix_of(gas: FloatArray, start_at: datetime = T0, step_s: float = 3600.0, **others: FloatArray) -> GenerationMix:
    power = {Fuel.GAS: gas, **{Fuel(name): values for name, values in others.items()}}
    return GenerationMix(zone="A", start_at=start_at, step_s=step_s, power_mw=power, provenance=GRID)


def test_every_fuel_has_its_group_or_is_other() -> None:
    assert set(GROUPS.values()) | {"other"} == set(FUELS)
    assert not set(GROUPS) & STORAGE


def test_generation_lies_on_the_hours_of_the_history() -> None:
    power = np.arange(96.0)
    found = generation_of(
        mix_of(power, T0 - DAY, wind_onshore=power, wind_offshore=power, hydro_pumped=power, waste=power), T0, T0 + 2 * DAY
    )
    assert set(found) == {"gas", "wind", "other"}
    np.testing.assert_array_equal(found["gas"], power[24:72])
    np.testing.assert_array_equal(found["wind"], 2 * power[24:72])
    quarters = generation_of(mix_of(np.repeat(power, 4), T0, 900.0), T0, T0 + 4 * DAY)
    np.testing.assert_array_equal(quarters["gas"], power)


def test_a_missing_hour_is_like_that_of_the_day_before_and_too_many_are_too_many() -> None:
    power = np.arange(240.0)
    gaps = power.copy()
    gaps[[50, 51, 74]] = np.nan
    found = generation_of(mix_of(gaps), T0, T0 + 10 * DAY)
    assert [found["gas"][hour] for hour in (50, 51, 74)] == [26.0, 27.0, 26.0]
    late = generation_of(mix_of(power[:230]), T0, T0 + 10 * DAY)
    assert list(late["gas"][-10:]) == list(power[206:216]), "the newest hours may be late"
    early = generation_of(mix_of(power[5:], T0 + 5 * HOUR), T0, T0 + 10 * DAY)
    assert list(early["gas"][:6]) == [24.0, 25.0, 26.0, 27.0, 28.0, 5.0]
    assert generation_of(mix_of(power[:200]), T0, T0 + 10 * DAY) == {}
    assert generation_of(mix_of(power), T0 + 20 * DAY, T0 + 30 * DAY) == {}
    assert generation_of(mix_of(power), T0, T0) == {}


class Grid:
    """Tells generation and forecasts of itself, or fails."""

    def __init__(self) -> None:
        self.fails = False
        self.issued_at: datetime | None = None
        self.kind = IntensityKind.AVERAGE_LIFECYCLE
        self.level = 333.0
        self.has_mix = True
        self.now: Callable[[], datetime] = lambda: T0

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        if self.fails:
            raise ProviderUnavailable("grid", zone, "away")
        if not self.has_mix:
            return None
        hours = (end_at - start_at) // HOUR
        turn = np.arange(hours)
        return mix_of(500 + 300 * np.sin(turn / 24 * 2 * np.pi), start_at, wind=np.full(hours, 200.0) + turn % 7)

    def forecast(self, zone: str, horizon_s: float) -> Forecast | None:
        if self.fails:
            raise ProviderUnavailable("grid", zone, "away")
        now = self.now()
        return Forecast(
            zone=zone,
            kind=self.kind,
            issued_at=self.issued_at or now,
            start_at=now,
            step_s=3600.0,
            quantiles_gco2_per_kwh={0.5: np.full(48, self.level)},
            forecaster="grid",
            provenance=GRID,
        )


HISTORY = {"A": truth("A", days=140)}


def test_what_the_source_says_itself_is_a_candidate_but_never_learned_from() -> None:
    grid = Grid()
    context = GridContext(grid)
    now = context.of(HISTORY, T0, is_training=False)["A"]
    assert now.provider is not None
    assert {len(one) for one in now.generation.values()} == {140 * 24}
    assert context.of(HISTORY, T0, is_training=True)["A"].provider is None
    grid.issued_at = T0 + HOUR
    assert context.of(HISTORY, T0, is_training=False)["A"].provider is None, "of a time that has not come"
    grid.issued_at, grid.kind = T0, IntensityKind.MARGINAL
    assert context.of(HISTORY, T0, is_training=False)["A"].provider is None, "of another kind"
    switched_off = GridContext(grid, has_mix=False, has_forecast=False).of(HISTORY, T0, is_training=False)["A"]
    assert (switched_off.generation, switched_off.weather, switched_off.provider) == ({}, None, None)


def test_a_source_that_is_away_costs_its_part_alone() -> None:
    grid = Grid()
    grid.fails = True
    found = GridContext(grid).of(HISTORY, T0, is_training=False)["A"]
    assert (found.generation, found.provider) == ({}, None)
    embedded = {"A": truth("A", days=140, is_embedded=True)}
    grid.fails = False
    assert GridContext(grid).of(embedded, T0, is_training=False)["A"].generation == {}, "another zone's mix beside a typical day"


def test_a_better_forecast_of_the_source_takes_over_and_is_remembered(tmp_path: Path) -> None:
    """The source is right about what nobody else can know, and after some issues the blend goes with it; also after a restart."""
    grid = Grid()
    bench = Bench(tmp_path, zones=("A",), context=GridContext(grid))
    grid.now = bench.clock.now
    jump = truth("A", days=240)
    values = np.array(jump.values_gco2_per_kwh)
    draw = np.random.default_rng(3)
    for day in range(140, 240):  # from now on every day has a level of its own
        values[day * 24 : day * 24 + 24] = draw.uniform(100, 600)
    bench.provider._series["A"] = replace(jump, values_gco2_per_kwh=values)
    bench.training.turn()
    far = []
    for day in range(141, 152):
        bench.pass_time(DAY)
        grid.level = values[day * 24]
        bench.service.step()
        said = bench.service.snapshot()["A"].median.values_gco2_per_kwh[:12].mean()
        far.append(abs(np.log(said / grid.level)))
        if day == 148:
            bench.restart()
    assert np.mean(far[-4:]) < 0.5 * np.mean(far[:2])
    assert all(np.isfinite(track.provider[:, :48]).any() for track in bench.tracks.tracks().values())


# Weather


def run(day_at: datetime, known_at: datetime, wind: float = 7.0) -> WeatherForecast:
    values = {name: np.full(216, 280.0 if name.endswith("_k") else 1.0) for name in WEATHER} | {"wind_speed_m_per_s": np.full(216, wind)}
    return WeatherForecast(zone="A", start_at=day_at, issued_at=known_at, values=values, provenance=GRID)


def keep(*runs: WeatherForecast) -> KeptRuns:
    kept = KeptRuns(first_at=T0, values=np.empty((0, 216, 5), dtype=np.float32), known_at_s=np.empty(0))
    for one in runs:
        kept = kept.with_run(one)
    return kept


def wind(kept: KeptRuns, now: datetime, position: int, *, is_training: bool = False) -> float:
    """Of the first hour ahead of an issue at a position, counted in hours from T0."""
    found = kept.runs(now, is_training=is_training)
    return float("nan") if found is None else float(found.ahead(np.array([position]), T0, 1)[0, 0, 0])


def test_a_run_is_looked_at_from_the_instant_on_at_which_it_was_known() -> None:
    kept = keep(run(T0, T0 + 5 * HOUR, 1.0), run(T0 + DAY, T0 + DAY + 5 * HOUR, 2.0))
    later = T0 + 2 * DAY
    assert np.isnan(wind(kept, later, DELAY_H - 1))
    assert [wind(kept, later, hour) for hour in (DELAY_H, 24 + DELAY_H - 1, 24 + DELAY_H, 47)] == [1.0, 1.0, 2.0, 2.0]
    assert wind(kept, T0 + DAY + 5 * HOUR - HOUR, 24 + DELAY_H) == 1.0, "the second one is not there yet"


def test_what_comes_later_changes_nothing_before() -> None:
    early = [run(T0 + day * DAY, T0 + day * DAY + 5 * HOUR, 1.0 + day) for day in range(4)]
    now = T0 + 3 * DAY + 8 * HOUR
    before = keep(*early).runs(now, is_training=False)
    shifted = [run(T0 + day * DAY, T0 + day * DAY + 5 * HOUR, 99.0) for day in range(4, 8)]
    for further in (shifted, shifted[:1]):
        after = keep(*early, *further).runs(now, is_training=False)
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(before.values, after.values)
    replaced = keep(*early[:3], run(T0 + 3 * DAY, now + HOUR, 99.0)).runs(now, is_training=False)
    assert replaced is not None
    assert not (replaced.values == 99.0).any(), "a run of today that is fetched later is not there yet"


def test_a_late_run_serves_its_own_day_and_teaches_nothing() -> None:
    kept = keep(run(T0, T0 + 5 * HOUR, 1.0), run(T0 + DAY, T0 + DAY + 15 * HOUR, 2.0))
    today, tomorrow = T0 + DAY + 16 * HOUR, T0 + 2 * DAY + HOUR
    assert wind(kept, today, 40) == 2.0
    assert wind(kept, today, 40, is_training=True) == 1.0, "goes on with the run of the day before"
    assert wind(kept, tomorrow, 40) == 1.0


def test_a_day_without_a_run_goes_on_with_the_one_before() -> None:
    kept = keep(run(T0, T0, 1.0), run(T0 + 3 * DAY, T0 + 3 * DAY, 2.0))
    found = kept.runs(T0 + 3 * DAY + HOUR, is_training=True)
    assert found is not None
    assert np.isfinite(found.values[:, :, 0]).sum(axis=1).tolist() == [216, 192, 168, 216]
    assert kept.runs(T0 - DAY, is_training=True) is None


class Sky:
    """Tells the weather of now, and of past days; or fails."""

    name = "sky"

    def __init__(self) -> None:
        self.now = T0 + 5 * HOUR
        self.asked: list[str] = []
        self.fails = False

    def zones(self) -> tuple[str, ...]:
        return ("A",)

    def weather(self, zone: str) -> WeatherForecast:
        self.asked.append("today")
        if self.fails:
            raise ProviderUnavailable("sky", zone, "away")
        return run(self.now.replace(hour=0, minute=0), self.now)

    def past_weather(self, zone: str, first_at: datetime, last_at: datetime) -> list[WeatherForecast]:
        self.asked.append(f"{first_at:%m-%d} {last_at:%m-%d}")
        return [run(first_at + day * DAY, first_at + day * DAY, 3.0) for day in range((last_at - first_at) // DAY)]


def test_runs_are_fetched_when_due_and_kept(tmp_path: Path) -> None:
    sky = Sky()
    keeper = WeatherKeeper(sky, sky, tmp_path)

    def look(hours: float, *, is_training: bool = False) -> None:
        sky.now = T0 + timedelta(hours=hours)
        keeper.runs("A", T0 - 90 * DAY, sky.now, is_training=is_training)

    for hours in (3, 3.5, 4.1, 5.5, 7, 12, 23):
        look(hours)
    assert sky.asked == ["today"] * 3, "as late as may be, then no more"
    keeper = WeatherKeeper(sky, sky, tmp_path)
    look(23.5)
    assert len(sky.asked) == 3, "from disk"
    look(23.6, is_training=True)
    assert sky.asked[3:] == ["03-03 06-01"], "the days before the first run"
    look(23.7, is_training=True)
    assert len(sky.asked) == 4
    sky.fails = True
    look(30)
    look(30.001)
    assert len(sky.asked) == 5, "a service that is away is not asked again and again"
    found = keeper.runs("A", T0, sky.now, is_training=False)
    assert found is not None
    assert found.ahead(np.array([30]), T0, 1)[0, 0, 0] == 7.0


@pytest.mark.parametrize("how", ["cut", "other zone", "text"])
def test_damaged_weather_is_begun_anew(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    data = to_bytes("A", keep(run(T0, T0)))
    path = tmp_path / "A.weather"
    path.write_bytes({"cut": data[:-4], "other zone": to_bytes("B", keep(run(T0, T0))), "text": b"weather"}[how])
    sky = Sky()
    assert WeatherKeeper(sky, None, tmp_path).runs("A", T0, sky.now, is_training=False) is not None
    assert sky.asked == ["today"]
    assert "is not usable" in caplog.text
    assert from_bytes("A", path.read_bytes()).known_at(T0) == sky.now


def test_a_model_that_was_told_more_is_not_used_without_it() -> None:
    """A regression would read a gap as a zero."""
    grid, sky = Grid(), keep(*(run(FIRST_AT + day * DAY, FIRST_AT + day * DAY, 5 + day % 9) for day in range(141)))
    told = GridContext(grid).of(HISTORY, T0, is_training=True)["A"]
    weather = sky.runs(T0, is_training=True)
    window = Window.of(HISTORY["A"], now=T0, horizon_s=3600.0)
    past = past_of(HISTORY["A"], window, replace(told, weather=weather))
    assert past is not None
    model = train({"A": past}, SMALL)
    assert not lacks(model, past)
    assert lacks(model, replace(past, generation={}))
    assert lacks(model, replace(past, weather=None))
    old = keep(*(run(FIRST_AT + day * DAY, FIRST_AT + day * DAY) for day in range(120))).runs(FIRST_AT + 119 * DAY, is_training=True)
    assert lacks(model, replace(past, weather=old))
    history_only = train({"A": replace(past, generation={}, weather=None)}, SMALL)
    assert not lacks(history_only, replace(past, generation={}, weather=None))
    forecaster = LightGbm(model=model)
    full = replace(told, weather=weather)
    said = {
        name: forecaster.forecast(HISTORY, now=T0, horizon_s=48 * 3600.0, context={"A": context})["A"].forecaster
        for name, context in (("full", full), ("no mix", replace(full, generation={})), ("no weather", replace(full, weather=None)))
    }
    assert said == {"full": "lightgbm", "no mix": "ewma", "no weather": "ewma"}
