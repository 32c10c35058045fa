"""Summary, stoppers, the second objective, and what carbon_ray relies on inside Ray Tune."""

from __future__ import annotations

import inspect
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.callback import CallbackList
from ray.tune.execution.insufficient_resources_manager import _InsufficientResourcesManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

import carbon_ray.tune
from carbon_ray.core.errors import ConfigError
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.testing.tune_trials import ListedTrials, virtual_trial
from carbon_ray.tune import ActiveTimeStopper, CarbonSecond, CarbonStopper, optuna_with_carbon, summary
from carbon_ray.tune.columns import COLUMNS
from carbon_ray.tune.internals import HOOKED, request_in
from carbon_ray.tune.journal import DECISIONS, read_lines
from carbon_ray.tune.results import TrialCost, on_front
from tests.tune.sweeping import carbon_aware, sweep


def test_the_front_door_lists_what_it_offers() -> None:
    names = carbon_ray.tune.__all__
    assert list(names) == sorted(names, key=lambda name: (not name[0].isupper(), name))
    assert all(hasattr(carbon_ray.tune, name) for name in names)


def test_every_result_has_the_columns_and_every_decision_its_reason(tmp_path: Path) -> None:
    policy = ScriptedSweep(script=[(0.0, "all"), (0.05, 0), (2.0, "all")])
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy, power_w=1000.0), directory=str(tmp_path))
    loop.run()
    for trial in loop.get_trials():
        assert set(COLUMNS) <= set(trial.last_result)
        assert trial.last_result["energy_kwh"] == pytest.approx(9 / 60 * 1.25)
        assert trial.last_result["carbon_gco2"] == pytest.approx(9 / 60 * 1.25 * 200)
        assert trial.last_result["carbon_intensity"] == trial.last_result["carbon_intensity_gco2_per_kwh"] == 200.0
    held = [trial.last_result["held_s"] for trial in loop.get_trials()]
    assert sum(one > 6000 for one in held) == 4
    lines = list(read_lines(tmp_path / DECISIONS))
    assert [line["slots"]["here"] for line in lines] == [1, 0, 1]
    assert all(line["reason"] for line in lines)


def test_the_summary_adds_up(tmp_path: Path) -> None:
    loop, scheduler = sweep(
        lambda clock: carbon_aware(FIFOScheduler(), clock, power_w=1000.0, carbon_budget_gco2=10_000.0, max_concurrency=4),
        directory=str(tmp_path),
        iteration_s=600.0,
    )
    loop.run()
    for trial in loop.get_trials():  # as Tune's logger writes it
        folder = tmp_path / trial.trial_id
        folder.mkdir()
        (folder / "progress.csv").write_text(f"score,trial_id\n{trial.last_result['score']},{trial.trial_id}\n0.01,{trial.trial_id}\n")
    made = summary(tmp_path)
    assert made.carbon_gco2 == pytest.approx(scheduler.run.accounting.ledger.total_gco2)
    assert made.carbon_gco2 == pytest.approx(sum(one.carbon_gco2 for one in made.trials))
    assert made.budget_used_fraction == pytest.approx(made.carbon_gco2 / 10_000.0)
    assert made.metric == "score"
    assert made.best_score == max(one.best_score for one in made.trials if one.best_score is not None)
    assert made.run_at_once_gco2 == pytest.approx(made.carbon_gco2, rel=0.01)  # nothing was held, and the grid is flat
    numbers, picture = made.write(tmp_path)
    assert json.loads(numbers.read_text())["pareto_front"] == [one.trial_id for one in made.pareto_front]
    assert "<svg" in picture.read_text()


def test_a_folder_of_another_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory of a sweep"):
        summary(tmp_path)


@pytest.mark.parametrize(("mode", "expected"), [("max", {"a", "c"}), ("min", {"a", "b"})])
def test_the_front_holds_whom_nobody_beats_in_both(mode: str, expected: set[str]) -> None:
    def trial(name: str, score: float, gco2: float) -> TrialCost:
        return TrialCost(trial_id=name, iterations=1, best_score=score, energy_kwh=1.0, carbon_gco2=gco2, running_s=1.0, held_s=0.0)

    trials = [trial("a", 0.5, 1.0), trial("b", 0.4, 2.0), trial("c", 0.9, 3.0), trial("d", 0.9, 4.0)]
    assert {one.trial_id for one in on_front(trials, mode) if one.is_on_front} == expected


def test_a_trial_ends_when_a_kilogram_brings_too_little() -> None:
    """1 kW at 1000 g/kWh is a kilogram an hour: the score rises by 1 an hour at first, then by 0.1."""
    stopper = CarbonStopper("score", least_gain_per_kg=0.5, window=2, power_w=1000.0, gco2_per_kwh=1000.0)
    scores = [1.0, 2.0, 3.0, 3.1, 3.2]
    ended = [stopper("a", {"score": score, "time_total_s": 3600.0 * (hour + 1)}) for hour, score in enumerate(scores)]
    assert ended == [False, False, False, False, True]


def test_under_the_scheduler_it_reads_the_columns_of_the_result_before() -> None:
    stopper, results = CarbonStopper("score", budget_gco2=25.0), []
    for grams in (10.0, 20.0, 30.0):
        result: dict[str, Any] = {"score": 1.0}
        stopper("a", result)
        result["carbon_gco2"] = grams  # as the companion callback does, after the stopper
        results.append(stopper.stop_all())
    stopper("a", {"score": 1.0})
    assert results == [False, False, False]
    assert stopper.stop_all()


@pytest.mark.parametrize(
    "wishes", [{"mode": "best"}, {"window": 0}, {"least_gain_per_kg": -1.0}, {"power_w": 300.0}], ids=lambda wishes: next(iter(wishes))
)
def test_a_wrong_stopper_is_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        CarbonStopper("score", **wishes)


def test_active_time_counts_what_trials_run() -> None:
    stopper = ActiveTimeStopper(timedelta(seconds=100))
    assert not stopper("a", {"time_total_s": 60.0})
    assert not stopper.stop_all()
    stopper("b", {"time_total_s": 50.0})
    assert stopper.stop_all()
    with pytest.raises(ConfigError):
        ActiveTimeStopper(timedelta(0))


class TwoObjectives(Searcher):  # type: ignore[misc]
    """Remembers what it is told."""

    def __init__(self, metric: Any, mode: Any) -> None:
        super().__init__(metric=metric, mode=mode)
        self.told: list[Any] = []

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        self.told.append((metric, mode))
        return True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {"x": 1}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.told.append((trial_id, result, error))


def test_carbon_is_the_second_objective_and_tune_sees_the_first() -> None:
    inner = TwoObjectives(["score", "carbon_gco2"], ["max", "min"])
    searcher = CarbonSecond(inner)
    assert (searcher.metric, searcher.mode) == ("score", "max")
    assert searcher.set_search_properties("score", "max", {})
    assert not searcher.set_search_properties("loss", "min", {})
    assert searcher.suggest("a") == {"x": 1}
    searcher.on_trial_complete("a", {"score": 1.0, "carbon_gco2": 2.0})
    assert inner.told == [(None, None), ("a", {"score": 1.0, "carbon_gco2": 2.0}, False)]
    with pytest.raises(ConfigError, match="must be"):
        CarbonSecond(TwoObjectives("score", "max"))


def test_optuna_is_an_extra() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match="carbon-ray\\[optuna\\]"):
            optuna_with_carbon("score")
    else:
        assert optuna_with_carbon("score").metric == "score"


def test_what_is_reached_into_is_there() -> None:
    """The private names of Ray Tune 2.60 that `carbon_ray.tune.internals` uses; where one is gone, that file has to be looked at."""
    controller = inspect.getsource(TuneController)
    used = ["_staged_trials", "_trial_to_actor", "_actor_to_trial", "_pending_trials_list", "_resources_to_pending_trials", "_storage"]
    used += ["_reuse_actors", "_actor_cache", "_callbacks", "_actor_manager", "_insufficient_resources_manager", "_resumed"]
    assert [name for name in used if f"self.{name}" not in controller] == []
    assert "self._max_pending_trials = max_pending_trials or" in inspect.getsource(TuneController.update_max_pending_trials)
    assert "num_pending_actors >= self._max_pending_trials" in inspect.getsource(TuneController._maybe_add_actors)
    assert "_cleanup_cached_actors" in controller
    assert "_live_actors_to_ray_actors_resources" in inspect.getsource(RayActorManager.remove_actor)
    assert "_no_running_trials_since = -1" in inspect.getsource(_InsufficientResourcesManager)
    assert all(hasattr(CallbackList, name) for name in (*HOOKED, "save_to_dir"))


def test_a_place_in_a_region_asks_for_its_label_in_every_bundle() -> None:
    trial = virtual_trial("a", {})
    request = request_in(trial.placement_group_factory, "east")
    assert request.bundles == trial.placement_group_factory.bundles
    assert request._bound.kwargs["bundle_label_selector"] == [{"ray.io/availability-region": "east"}]
    assert hash(request) != hash(trial.placement_group_factory)


class Told(ListedTrials):
    """Notes with what result each trial ended."""

    def __init__(self, configurations: list[dict[str, Any]]) -> None:
        super().__init__(configurations)
        self.ends: dict[str, dict[str, Any]] = {}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The end of a trial."""
        self.ends[trial_id] = dict(result or {})
        super().on_trial_complete(trial_id, result, error)


def test_a_trial_held_at_its_last_iteration_has_the_columns_when_it_ends() -> None:
    """It goes on from its checkpoint and has nothing to report: Tune's result is that of the checkpoint, which no callback has seen."""
    policy = ScriptedSweep(script=[(0.0, "all"), (0.149, 0), (2.0, "all")])
    searcher = Told([{"curve": one} for one in range(4)])
    loop, _ = sweep(lambda clock: carbon_aware(FIFOScheduler(), clock, policy, power_w=1000.0), count=4, searcher=searcher)
    loop.run()
    assert [(event.kind, event.iteration) for event in loop.events if event.kind == "paused"] == [("paused", 9)] * 4
    for trial in loop.get_trials():
        assert trial.last_result["held_s"] > 6000
        assert trial.last_result["carbon_gco2"] == pytest.approx(9 / 60 * 1.25 * 200, rel=0.01)
        assert searcher.ends[trial.trial_id]["carbon_gco2"] == trial.last_result["carbon_gco2"]
