"""Making a segment's trainer of the user's, and what CarbonAwareTrainer refuses. Trainers are real; none is fitted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.lightgbm import LightGBMTrainer
from ray.train.v2._internal import exceptions as ray_exceptions
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from carbon_ray.core.clock import SystemClock
from carbon_ray.core.decision import Placement
from carbon_ray.core.errors import ConfigError, UnknownRegionError
from carbon_ray.core.objective import PRESETS, Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.transfers import Transfers
from carbon_ray.core.workload import Overheads, ScalingProfile, Workload
from carbon_ray.train import CarbonAwareTrainer
from carbon_ray.train import trainer as trainer_module
from carbon_ray.train.driver import is_node_loss
from carbon_ray.train.segment_trainer import require_supported, resources_per_worker, segment_loop, segment_trainer
from carbon_ray.train.session import SegmentInfo

INFO = SegmentInfo(
    workload_id="run", segment_index=0, epoch=1, placement=Placement(region="east", workers=2), clock=SystemClock(), beat_every_s=60.0
)


def loop_without() -> str:
    return "plain"


def loop_with(config: dict[str, Any]) -> str:
    return f"configured {config['lr']}"


def trainer_of(loop: Callable[..., Any] = loop_without, scaling: ScalingConfig | None = None, **options: Any) -> DataParallelTrainer:
    run_config = options.pop("run_config", RunConfig(name="mine", storage_path="/data", failure_config=FailureConfig(max_failures=3)))
    return DataParallelTrainer(loop, scaling_config=scaling or ScalingConfig(num_workers=2), run_config=run_config, **options)


# A segment's trainer


def test_the_clone_runs_elsewhere_and_the_users_trainer_is_left_alone() -> None:
    data = SimpleNamespace()
    trainer = trainer_of(loop_with, ScalingConfig(num_workers=4, use_gpu=True), train_loop_config={"lr": 1.0}, datasets={"train": data})
    before = copy.copy(vars(trainer))
    configs = copy.deepcopy((trainer.scaling_config, trainer.run_config))
    clone = segment_trainer(trainer, INFO, "run")
    assert vars(trainer) == before
    assert (trainer.scaling_config, trainer.run_config) == configs
    assert clone is not trainer
    assert clone.scaling_config.num_workers == 2
    assert clone.scaling_config.use_gpu is True
    assert clone.scaling_config.label_selector == {"ray.io/availability-region": "east"}
    assert clone.train_loop_config == {"lr": 1.0}
    assert clone.datasets == {"train": data}
    assert (clone.run_config.name, clone.run_config.storage_path) == ("run", "/data")
    assert (clone.run_config.failure_config.max_failures, clone.run_config.failure_config.max_preemption_failures) == (0, 0)
    assert trainer.run_config.failure_config.max_failures == 3
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    ("selector", "placed"),
    [
        (None, {"ray.io/availability-region": "east"}),
        ({"tier": "gpu"}, {"tier": "gpu", "ray.io/availability-region": "east"}),
        ({"ray.io/availability-region": "west"}, {"ray.io/availability-region": "east"}),
        (
            [{"tier": "a"}, {"tier": "b"}],
            [{"tier": "a", "ray.io/availability-region": "east"}, {"tier": "b", "ray.io/availability-region": "east"}],
        ),
    ],
)
def test_the_region_is_added_to_the_users_own_labels(selector: Any, placed: Any) -> None:
    trainer = trainer_of(scaling=ScalingConfig(num_workers=2, label_selector=selector))
    assert segment_trainer(trainer, INFO, "run").scaling_config.label_selector == placed
    assert trainer.scaling_config.label_selector == selector


def test_a_trainer_of_a_framework_keeps_its_class_and_backend() -> None:
    trainer = LightGBMTrainer(loop_with, train_loop_config={"lr": 1.0}, scaling_config=ScalingConfig(num_workers=1))
    clone = segment_trainer(trainer, replace(INFO, placement=Placement(region="east", workers=1)), "run")
    assert type(clone) is LightGBMTrainer
    assert clone.backend_config is trainer.backend_config
    assert segment_trainer(clone, INFO, "run").scaling_config.num_workers == 2, "a clone can be cloned"


def test_the_training_function_keeps_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_world_rank=lambda: 1, get_world_size=lambda: 2)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    assert segment_loop(loop_without, INFO)()["value"] == "plain"
    assert segment_loop(loop_with, INFO)({"lr": 0.5})["value"] == "configured 0.5"


@pytest.mark.parametrize(
    ("scaling", "resources"),
    [
        (ScalingConfig(num_workers=2), {"CPU": 1.0}),
        (ScalingConfig(num_workers=2, use_gpu=True), {"GPU": 1.0}),
        (ScalingConfig(num_workers=2, use_gpu=True, resources_per_worker={"GPU": 2, "CPU": 8}), {"GPU": 2.0, "CPU": 8.0}),
        (ScalingConfig(num_workers=2, use_gpu=True, resources_per_worker={"CPU": 8}), {"GPU": 1.0, "CPU": 8.0}),
        (ScalingConfig(num_workers=2, resources_per_worker={"CPU": 4, "TPU": 0}), {"CPU": 4.0}),
    ],
)
def test_resources_of_a_worker(scaling: ScalingConfig, resources: dict[str, float]) -> None:
    assert resources_per_worker(trainer_of(scaling=scaling)) == resources


# Contracts with Ray


def test_ray_still_wraps_what_the_training_code_raises_in_the_class_that_is_looked_for() -> None:
    wrapped = ray_exceptions.UserExceptionWithTraceback(ValueError("theirs"), "trace")
    assert not is_node_loss(ray.train.WorkerGroupError("all raised", {0: wrapped, 1: wrapped}))


def test_a_worker_that_is_gone_is_a_lost_node_even_if_the_others_raise() -> None:
    wrapped = ray_exceptions.UserExceptionWithTraceback(RuntimeError("connection closed by peer"), "trace")
    assert is_node_loss(ray.train.WorkerGroupError("one died", {0: wrapped, 1: ray.exceptions.RayActorError()}))
    assert is_node_loss(ray.train.ControllerError(RuntimeError("no placement")))


# What is refused at construction


@pytest.mark.parametrize(
    ("trainer", "says"),
    [
        ("no trainer", "takes a Ray Train V2 trainer instance .* got str"),
        (LightGBMTrainer, "got type"),
        (SimpleNamespace(fit=None), "got SimpleNamespace"),
    ],
)
def test_what_is_no_trainer_is_refused(trainer: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        CarbonAwareTrainer(trainer, deadline=timedelta(hours=1))


@pytest.mark.parametrize("workers", [0, (1, 4)])
def test_local_mode_and_elastic_trainers_are_refused(workers: Any) -> None:
    trainer = trainer_of()
    trainer.scaling_config = SimpleNamespace(num_workers=workers)
    with pytest.raises(ConfigError, match=r"scaling_config\.num_workers must be a number of at least 1"):
        require_supported(trainer)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deadline": datetime(2030, 1, 1)}, r"deadline must be an aware UTC datetime.*tzinfo=UTC"),  # noqa: DTZ001 - what is refused
        ({"deadline": datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))}, "deadline must be an aware UTC datetime"),
        ({"deadline": "2030-01-01T00:00Z"}, "deadline must be a datetime or a timedelta, got str"),
        ({"regions": []}, "regions is empty"),
        ({"regions": "east"}, "regions must be a list of names, got the text 'east'"),
        ({"objective": "green"}, "unknown objective 'green'; use one of carbon, balanced, cost, deadline"),
        ({"objective": 0.2}, r"objective must be a preset's name or an Objective\(...\), got float"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        CarbonAwareTrainer(trainer_of(), **{"deadline": timedelta(hours=1), **options})


# What is submitted


def region(name: str) -> Region:
    power = PowerModel(tdp_w=1.0, idle_fraction=0.0, source="test")
    return Region(
        name=name,
        zone=name,
        pue=1.0,
        node_types=(NodeType(name=name, resources={"GPU": 4.0}, max_nodes=1, usd_per_h=0.0, power=power),),
    )


NOW = datetime(2022, 5, 2, 12, tzinfo=UTC)


class FakeController:
    """Takes submissions on a cluster of two regions that lives sixty times as fast."""

    def __init__(self) -> None:
        self.submitted: list[Workload] = []

    def config(self) -> Any:
        return SimpleNamespace(regions={"east": region("east"), "west": region("west")})

    def begin(self) -> datetime:
        return NOW

    def clock(self) -> Any:
        return SimpleNamespace(speedup=60.0)

    def submit(self, workload: Workload) -> Workload:
        self.submitted.append(workload)
        return workload


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workload]:
    """Fits a CarbonAwareTrainer as far as its submission."""

    def fit(**options: Any) -> Workload:
        controller, result = FakeController(), SimpleNamespace()
        monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "1")
        monkeypatch.setattr(trainer_module.ray, "is_initialized", lambda: True)
        monkeypatch.setattr(trainer_module, "ControllerClient", lambda: controller)
        monkeypatch.setattr(trainer_module, "SegmentLoop", lambda *_: SimpleNamespace(run=lambda: (result, {"value": 5})))
        monkeypatch.setattr(trainer_module, "replace", lambda found, return_value: (found, return_value))
        given = {"trainer": trainer_of(scaling=ScalingConfig(num_workers=2, use_gpu=True)), "deadline": timedelta(hours=10), **options}
        assert CarbonAwareTrainer(given.pop("trainer"), **given).fit() == (result, 5)
        (workload,) = controller.submitted
        return workload

    return fit


def test_the_workload_that_is_submitted_has_sensible_defaults(submitted: Callable[..., Workload]) -> None:
    workload = submitted()
    assert workload.workload_id == "mine"
    assert (workload.workers, workload.resources_per_worker) == (2, {"GPU": 1.0})
    assert (workload.regions, workload.home_region) == (("east", "west"), "east")
    assert (workload.submitted_at, workload.deadline_at) == (NOW, NOW + timedelta(hours=10))
    assert workload.work_h == 5.0, "half of the time to the deadline"
    assert workload.safety_margin_s == 0.05 * 5 * 3600
    assert workload.objective == PRESETS["balanced"]
    assert workload.overheads.startup_s == 20.0 * 60, "wall seconds, on the cluster's clock"
    assert workload.overheads.checkpoint_every_s == 300.0 * 60, "five minutes by default, on the cluster's clock"


def test_what_is_given_is_submitted(submitted: Callable[..., Workload]) -> None:
    workload = submitted(
        deadline=NOW + timedelta(hours=3),
        objective=Objective(usd_per_kgco2=7.0),
        regions=["west"],
        home_region="east",
        run_time=timedelta(minutes=30),
        total_steps=90,
        name="theirs",
        overheads=Overheads(startup_s=5.0, checkpoint_every_s=900.0),
        utilisation_fraction=0.5,
        safety_margin=timedelta(seconds=9),
    )
    assert (workload.workload_id, workload.regions, workload.home_region) == ("theirs", ("west",), "east")
    assert (workload.deadline_at, workload.work_h, workload.total_steps) == (NOW + timedelta(hours=3), 0.5, 90)
    assert (workload.objective.usd_per_kgco2, workload.overheads, workload.utilisation_fraction) == (
        7.0,
        Overheads(startup_s=5.0, checkpoint_every_s=900.0),
        0.5,
    )
    assert workload.safety_margin_s == 9.0


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"regions": ["east", "nroth"]}, UnknownRegionError, "unknown region 'nroth'"),
        ({"home_region": "wset"}, UnknownRegionError, "did you mean west"),
        ({"utilisation_fraction": 1.5}, ConfigError, "utilisation_fraction must be within 0..1"),
        ({"run_time": timedelta(0)}, ConfigError, "work_h must be above 0"),
        ({"total_steps": 0}, ConfigError, "total_steps must be at least 1"),
    ],
)
def test_a_workload_that_makes_no_sense_is_not_submitted(
    submitted: Callable[..., Workload], options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        submitted(**options)


def test_the_owner_s_wishes_reach_the_controller(submitted: Callable[..., Workload]) -> None:
    plain = submitted(run_time=timedelta(hours=4))
    assert (plain.counts, plain.profile, plain.longest_h) == ((2,), ScalingProfile(), 4.0)
    workload = submitted(
        run_time=timedelta(hours=4),
        run_time_high=timedelta(hours=5),
        worker_counts=[1, 2, 4],
        max_moves=3,
        min_segment=timedelta(minutes=30),
        carbon_budget_gco2=900.0,
        cost_budget_usd=20.0,
        overheads=Overheads(transfers=Transfers(checkpoint_bytes=1e9)),
    )
    assert workload.counts == (1, 2, 4)
    assert [workload.rate(count) for count in workload.counts] == [0.5, 1.0, 2.0]
    assert (workload.longest_h, workload.max_moves, workload.min_segment_s) == (5.0, 3, 1800.0)
    assert (workload.carbon_budget_gco2, workload.cost_budget_usd) == (900.0, 20.0)
    assert workload.overheads.transfers == Transfers(checkpoint_bytes=1e9)
    measured = ScalingProfile(throughput=(1.0, 1.8, 2.4, 3.0))
    assert submitted(run_time=timedelta(hours=4), worker_counts=(2, 4), profile=measured).profile == measured


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"run_time_high": timedelta(hours=5)}, "give run_time, the estimate, as well"),
        ({"run_time": timedelta(hours=5), "run_time_high": timedelta(hours=4)}, "work_h_high must not be below work_h = 5"),
        ({"worker_counts": (1, 4)}, "must hold the default count, 2 workers"),
        ({"worker_counts": (2, 4), "profile": ScalingProfile.linear(3)}, "throughput of 3 only"),
        ({"max_moves": -1}, "max_moves must not be negative"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(submitted: Callable[..., Workload], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        submitted(**options)
