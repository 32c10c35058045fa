"""Training and forecasting beside the actor: without a model simply, with one in tasks, and no lost task costs a forecast."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from carbon_ray.actors.forecast_models import ModelFolder
from carbon_ray.core.errors import ForecastModelError
from carbon_ray.testing import FakeProvider
from tests.actors.beside import DAY, FIRST_AT, HOUR, T0, Bench, truth


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda **further: Bench(tmp_path / "state", **further)


def made_by(bench: Bench) -> set[str]:
    return {one.forecaster for one in bench.service.snapshot().forecasts.values()}


def test_without_a_model_forecasts_are_there_at_once_and_say_what_they_are(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert bench.service.step()
    assert made_by(bench) == {"ewma"}
    assert bench.tasks.ran == [], "that needs no task"


def test_a_model_is_trained_once_and_used_from_then_on(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    assert bench.training.health().trained_at is None
    for _ in range(3):
        bench.training.turn()
    assert (bench.tasks.ran, bench.trained) == (["train_model"], 1)
    health = bench.training.health()
    assert (health.trained_at, health.age_s, health.zones, health.problem) == (T0, 0.0, ("A", "B"), "")
    assert bench.service.refresh()
    assert made_by(bench) == {"lightgbm"}
    bench.pass_time(HOUR)
    assert bench.service.step()
    assert bench.tasks.ran == ["train_model", "make_forecasts", "make_forecasts"]


def test_a_restarted_actor_takes_up_its_model_and_its_recent_errors(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.training.turn()
    for _ in range(4):
        bench.pass_time(DAY)
        assert bench.service.step()
    before = bench.tracks.tracks()
    assert {len(track.issue_at) for track in before.values()} == {4}
    bench.restart()
    again = bench.tracks.tracks()
    assert set(again) == set(before)
    for name, track in again.items():
        assert track.issue_at == before[name].issue_at
        np.testing.assert_allclose(track.members, before[name].members, rtol=1e-6)
        np.testing.assert_allclose(track.size, before[name].size, rtol=1e-6)
    bench.training.turn()
    assert bench.tasks.ran.count("train_model") == 1
    bench.pass_time(DAY)
    assert bench.service.step()
    assert made_by(bench) == {"lightgbm"}
    assert {len(track.issue_at) for track in bench.tracks.tracks().values()} == {5}


def test_a_lost_forecast_leaves_the_last_ones_and_waits_longer_each_time(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.training.turn()
    bench.service.step()
    before = bench.service.snapshot()
    bench.tasks.lose = {"make_forecasts"}
    bench.pass_time(HOUR)
    began, tried = bench.wall.now(), []
    while bench.wall.now() < began + timedelta(minutes=10):
        count = len(bench.tasks.ran)
        assert not bench.service.step()
        assert bench.service.snapshot() is before
        if len(bench.tasks.ran) > count:
            tried.append((bench.wall.now() - began).total_seconds())
        bench.wall.advance(timedelta(seconds=5))
    assert tried == [0, 10, 30, 70, 150, 310]
    assert "lost" in bench.service.problem
    assert "the next one goes at" in bench.service.problem
    bench.tasks.lose = set()
    bench.wall.advance(timedelta(minutes=10))
    assert bench.service.step()
    assert bench.service.snapshot().version == before.version + 1
    assert bench.service.problem == ""


def test_a_lost_training_leaves_what_there_is_and_is_tried_again(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.service.step()
    bench.tasks.lose = {"train_model"}
    for _ in range(10):
        bench.training.turn()
    assert bench.tasks.ran == ["train_model"], "not again and again"
    assert "lost" in bench.training.health().problem
    assert made_by(bench) == {"ewma"}
    bench.tasks.lose = set()
    bench.pass_time(timedelta(seconds=10))
    bench.training.turn()
    assert (bench.trained, bench.training.health().problem) == (1, "")


def test_an_old_model_is_replaced_and_the_one_before_is_kept(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.training.turn()
    bench.pass_time(27 * DAY)
    bench.training.turn()
    assert bench.trained == 1
    for count in (2, 3):
        bench.pass_time(28 * DAY)
        bench.training.turn()
        assert bench.trained == count
    assert len(list((bench.folder / "models").iterdir())) == 2
    assert bench.training.health().trained_at == T0 + 83 * DAY


@pytest.mark.parametrize("how", ["flipped", "empty", "other columns"])
def test_a_damaged_model_is_never_used(make_bench: Callable[..., Bench], how: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_bench()
    bench.training.turn()
    (path,) = (bench.folder / "models").iterdir()
    data = path.read_bytes()
    broken = {"flipped": data[:-50] + bytes([data[-50] ^ 1]) + data[-49:], "empty": b""}.get(how)
    head, _, payload = data.partition(b"\n")
    path.write_bytes(head.replace(b'"schema": "', b'"schema": "0') + b"\n" + payload if broken is None else broken)
    bench.service.step()  # in the process that had looked at it: the task finds out
    assert made_by(bench) == {"ewma"}
    assert "is not used any more" in caplog.text
    bench.restart()
    assert bench.models.newest(T0) is None
    assert "is not usable" in caplog.text
    bench.training.turn()
    assert bench.trained == 2
    assert bench.service.refresh()
    assert made_by(bench) == {"lightgbm"}


def test_a_model_of_a_later_instant_is_passed_over(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.training.turn()
    assert bench.models.newest(T0 - HOUR) is None, "it knows what has not come true yet"
    bench.clock = type(bench.clock)(T0 - 10 * DAY)  # the same day is replayed once more
    bench.restart()
    bench.service.step()
    assert made_by(bench) == {"ewma"}
    bench.training.turn()
    assert bench.training.health().trained_at == T0 - 10 * DAY
    assert len(list((bench.folder / "models").iterdir())) == 1


def test_a_zone_with_too_little_past_waits_until_it_has_enough(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(zones=("A", "C"))
    young = truth("C", days=100, first_at=T0 - 60 * DAY)
    bench.provider = FakeProvider({"A": truth("A"), "C": young}, name="grid")
    bench.restart()
    bench.training.turn()
    assert bench.training.health().zones == ("A",)
    asked = bench.provider.calls
    bench.service.step()
    assert made_by(bench) == {"lightgbm"}, "a zone that the model does not know is told from the others"
    bench.training.turn()
    bench.training.turn()
    assert bench.trained == 1
    calls = bench.provider.calls
    bench.training.turn()
    assert bench.provider.calls == calls > asked, "nor is it looked at again and again"
    bench.pass_time(27 * DAY)
    bench.provider = FakeProvider({"A": truth("A"), "C": truth("C", days=200, first_at=T0 - 64 * DAY)}, name="grid")
    bench.training.turn()
    assert bench.training.health().zones == ("A", "C")


def test_a_zone_that_the_model_knows_is_not_lost_because_its_source_is_away(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.training.turn()
    bench.pass_time(28 * DAY)
    bench.provider.fail_after = bench.provider.calls + 1  # the first zone is answered, the second is not
    bench.training.turn()
    assert bench.trained == 1
    assert "told to fail" in bench.training.health().problem
    bench.provider.fail_after = None
    bench.pass_time(HOUR)
    bench.training.turn()
    assert (bench.trained, bench.training.health().zones) == (2, ("A", "B"))


def test_nothing_is_learned_from_the_embedded_profile_or_from_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.provider = FakeProvider({zone: truth(zone, is_embedded=True) for zone in ("A", "B")}, name="embedded")
    bench.restart()
    bench.training.turn()
    assert bench.tasks.ran == []
    bench.provider = FakeProvider({zone: truth(zone) for zone in ("A", "B")}, name="grid")
    bench.provider.ends_at = FIRST_AT
    bench.pass_time(DAY)
    bench.training.turn()
    assert (bench.tasks.ran, bench.training.health().problem) == ([], "")


def test_what_is_no_model_is_not_kept(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    with pytest.raises(ForecastModelError):
        folder.keep(b"nothing", T0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "99999999T999999Z.model").write_text("x")
    assert folder.newest(T0) is None
    assert ModelFolder(tmp_path / "missing").newest(T0) is None
