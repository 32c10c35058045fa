"""The experiment file: what is read, and that every mistake gets one error that names the place."""

from __future__ import annotations

import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from carbon_ray.config.experiment import Experiment, load_experiment
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.objective import PRESETS
from carbon_ray.core.region import Market
from carbon_ray.policies.capacity import SpotRule
from carbon_ray.sim.jobs import Row

EXAMPLE = Path(__file__).parents[2] / "examples" / "simulate.yaml"

GOOD: dict[str, Any] = {
    "name": "two regions",
    "start_at": "2022-03-07T00:00Z",
    "regions": {"east": {"zone": "DE", "pue": 1.1, "nodes": 5, "usd_per_h": 2.0, "tdp_w": 500.0}, "west": {"zone": "ES"}},
    "overheads": {"startup_s": 60.0, "checkpoint_gb": 2.0, "bandwidth_mb_per_s": 50.0, "checkpoint_every_s": 600.0},
    "mishaps": {"stockouts_per_day": 0.1},
    "policies": ["run_now", {"name": "carbon_ray", "plan_once": True, "parameters": {"hysteresis_fraction": 0.0}}],
    "forecasters": ["ewma", "clairvoyant"],
    "compare_with": "carbon_ray, plan once",
    "seeds": [0, 1],
    "job_sets": [
        {"name": "regular", "kind": "every", "length_h": 6, "slack_h": 24, "count": 3},
        {"name": "any time", "kind": "random", "count": 5, "days": 2, "lengths_h": [1, 2], "slack_times_length": 2.0, "homes": ["west"]},
        {"name": "file", "kind": "trace", "path": "jobs.csv", "time_unit": "s", "limit": 2, "slack_h": 1, "workers_per_cpu": 1},
        {"name": "training", "kind": "machine_learning", "limit": 4, "slack_h": 168, "block_days": 7},
    ],
}


def written(folder: Path, data: Any) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def changed(path: str, value: object) -> dict[str, Any]:
    """The good experiment with one thing set; `...` removes it."""
    data = copy.deepcopy(GOOD)
    at: Any = data
    *way, last = path.split("/")
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    if value is ...:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return data


@pytest.fixture
def good(tmp_path: Path) -> Experiment:
    return load_experiment(written(tmp_path, GOOD))


def test_sections_become_what_the_simulator_takes(good: Experiment, tmp_path: Path) -> None:
    east = good.regions["east"].region("east")
    assert (east.zone, east.pue, east.node_types[0].max_nodes, east.node_types[0].usd_per_h) == ("DE", 1.1, 5, 2.0)
    assert east.node_types[0].power.tdp_w == 500.0
    assert good.zones == ("DE", "ES")
    assert good.prices == PRESETS["carbon"]
    physics, overheads = good.overheads.physics(), good.overheads.overheads()
    assert (physics.bandwidth_bytes_per_s, physics.checkpoint_every_s, physics.checkpoint_s) == (50e6, 600.0, 0.0)
    assert (overheads.checkpoint_h, overheads.restore_h, overheads.migrate_h, overheads.startup_s) == (0.05, 0.1, 0.5, 60.0)
    assert overheads.checkpoint_every_s == 600.0
    assert good.mishaps_of(7).seed == 7
    at_once, planned = good.policies
    assert (at_once.shown, planned.shown) == ("run_now", "carbon_ray, plan once")
    assert (good.control_of(at_once).tick_s, good.control_of(planned).tick_s) == (3600.0, None)
    assert good.grid.kind is IntensityKind.AVERAGE_LIFECYCLE
    assert good.job_sets[2].path == tmp_path / "jobs.csv"  # type: ignore[union-attr]  # it is the trace


def test_a_region_may_be_one_of_a_cloud(tmp_path: Path) -> None:
    experiment = load_experiment(written(tmp_path, changed("regions/west", {"cloud": "aws/eu-south-2", "pue": 1.3})))
    west = experiment.regions["west"].region("west")
    assert (west.zone, west.pue) == ("ES", 1.3)
    assert experiment.zones == ("DE", "ES")


def test_a_region_may_offer_reserved_and_spot_nodes(tmp_path: Path) -> None:
    data = changed("regions/west", {"zone": "ES", "usd_per_h": 3.0, "reserved": {"nodes": 2, "usd_per_h": 1.5}, "spot": {"usd_per_h": 1.0}})
    data["spot"] = {"confidence_fraction": 0.9}
    experiment = load_experiment(written(tmp_path, data))
    found = experiment.regions["west"].region("west").node_types
    assert [(one.name, one.market, one.max_nodes, one.usd_per_h, one.interruptions_per_h) for one in found] == [
        ("west", Market.ON_DEMAND, 1_000_000, 3.0, 0.0),
        ("west-reserved", Market.RESERVED, 2, 1.5, 0.0),
        ("west-spot", Market.SPOT, 1_000_000, 1.0, 0.05),
    ]
    assert experiment.control_of(experiment.policies[0]).spot == SpotRule(confidence_fraction=0.9)


def test_job_sets(good: Experiment) -> None:
    regular, any_time, file, training = (
        good.jobs_of(section, 0, [Row(3.0, 1.0, 1), Row(1.0, 2.0, 2), Row(9.0, 1.0, 1)] if section.kind == "trace" else None)
        for section in good.job_sets
    )
    assert len(regular.jobs) == 6
    assert regular.jobs[0].workload.regions == ("east", "west")
    assert regular.jobs[0].checkpoint_bytes == 2e9
    assert {job.workload.home_region for job in any_time.jobs} == {"west"}
    assert [(job.workload.work_h, job.workload.workers) for job in file.jobs] == [(2.0, 2), (1.0, 1)]
    assert (len(training.jobs), training.block_days) == (4, 7)
    for jobs in (regular, any_time, file, training):
        for job in jobs.jobs:
            slack_h = {"regular": 24.0, "any time": 2 * job.workload.work_h, "file": 1.0, "training": 168.0}[jobs.name]
            span = job.workload.deadline_at - job.workload.submitted_at
            assert span == timedelta(hours=job.workload.work_h + slack_h, seconds=60)
    assert good.jobs_of(good.job_sets[1], 1) != any_time


def test_the_example_is_read() -> None:
    example = load_experiment(EXAMPLE)
    assert example.grid.provider == "embedded"
    assert example.compare_with in {policy.shown for policy in example.policies}


def test_a_grid_trace_is_found_beside_the_file(tmp_path: Path) -> None:
    data = changed("grid", {"provider": "trace", "path": "trace.csv"})
    assert load_experiment(written(tmp_path, data)).grid.path == tmp_path / "trace.csv"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("name", ..., "name: Field required"),
        ("start_at", "2022-03-07T00:00", "start_at: write an instant in UTC"),
        ("regions", {}, "regions"),
        ("regions/east/zoen", "DE", "regions.east.zoen"),
        ("regions/east/pue", 0.5, "regions.east.pue"),
        ("regions/east/nodes", 0, "regions.east.nodes"),
        ("objective", "green", "objective: green is not known; use balanced, carbon, cost, deadline"),
        ("policies", [], "policies"),
        ("policies/0", {"name": "run_now", "plan_onec": True}, "policies.0.plan_onec"),
        ("policies/1", "run_now", "policies: label run_now is there more than once"),
        ("policies/0", {"name": "run_now", "forecasters": ["oracle"]}, "policies: run_now: forecasters: oracle is not known"),
        ("forecasters", ["oracle"], "forecasters: oracle is not known; use clairvoyant"),
        ("compare_with", "nobody", "compare_with: nobody is not known"),
        ("job_sets", [], "job_sets"),
        ("job_sets/0/kind", "some", "job_sets.0"),
        ("job_sets/0/slack_times_length", 1.0, "slack_h and slack_times_length: give just one of them"),
        ("job_sets/0/slack_h", ..., "slack_h and slack_times_length: give just one of them"),
        ("job_sets/0/homes", ["north"], "job_sets: regular: homes: north is not known; use east, west"),
        ("job_sets/1/name", "regular", "job_sets: name regular is there more than once"),
        ("job_sets/1/lengths_h", [0], "job_sets.1.random.lengths_h.0"),
        ("job_sets/2/time_unit", "min", "job_sets.2.trace.time_unit"),
        ("seeds", [1, 1], "seeds: 1 is there more than once"),
        ("seeds", [-1], "seeds.0"),
        ("tick_s", 0, "tick_s"),
        ("mishaps/stockouts_per_day", 2, "mishaps.stockouts_per_day"),
        ("overheads/restore_h", -1, "overheads.restore_h"),
        ("grid/provider", "trace", "grid.provider 'trace' and grid.path go together"),
    ],
)
def test_a_mistake_is_one_error_that_names_the_place(tmp_path: Path, path: str, value: object, says: str) -> None:
    file = written(tmp_path, changed(path, value))
    with pytest.raises(ConfigError) as error:
        load_experiment(file)
    assert str(error.value).startswith(f"{file}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_several_seeds_need_something_that_is_drawn(tmp_path: Path) -> None:
    data = changed("grid", {"provider": "trace", "path": "trace.csv"})
    data["job_sets"], data["mishaps"] = data["job_sets"][:1], {}
    with pytest.raises(ConfigError, match="nothing is drawn here"):
        load_experiment(written(tmp_path, data))
    data["seeds"] = [3]
    assert load_experiment(written(tmp_path, data)).seeds == [3]


@pytest.mark.parametrize(("text", "says"), [("- 1\n", "a mapping is needed"), ("a: [", "is not valid YAML"), ("", "a mapping is needed")])
def test_what_is_no_experiment(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_experiment(path)
    with pytest.raises(ConfigError, match="cannot read the experiment"):
        load_experiment(tmp_path / "missing.yaml")
