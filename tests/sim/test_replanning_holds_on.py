"""With the future known, planning anew at every hour must come out where the first plan would have: nothing it knew has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from carbon_ray.core.workload import Overheads
from carbon_ray.policies.fleet.policy import FleetReplan
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.deciding import AnyPolicy
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.world import Control

DATA = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
SMALL = DATA / "golden" / "dp_small.json"
HOURLY = Control(tick_s=3600.0)
FLEET = FleetReplan(slot_s=3600.0, hysteresis_fraction=0.0, backfire_fraction=0.0)


def policy_of(kind: str, tools: SimpleNamespace) -> AnyPolicy:
    policy: AnyPolicy = FLEET if kind == "fleet" else tools.exact
    return policy


@pytest.mark.skipif(not SMALL.exists(), reason=f"the golden instances are not at {DATA}; set CARBON_RAY_DATA")
@pytest.mark.parametrize("kind", ["single", "fleet"])
def test_every_small_instance_replanned_each_hour_comes_to_the_enumerated_optimum(kind: str, tools: SimpleNamespace) -> None:
    instances = json.loads(SMALL.read_text())["instances"]
    assert len(instances) == 200
    for case in instances:
        values = np.vstack([np.array(case["ci"], dtype=float), np.full((48, case["R"]), 1e6)])
        zones = [f"Z{index}" for index in range(case["R"])]
        where = tools.world({zone: values[:, index] for index, zone in enumerate(zones)})
        overheads = Overheads(checkpoint_h=case["ow"], restore_h=case["or"], migrate_h=case["om"])
        slack_h = len(case["ci"]) - case["J"]
        some = tools.jobs([(0, case["J"], 1)], zones, slack_h=slack_h, homes=[zones[case["home"]]], overheads=overheads)
        (result,) = simulate(where, some, policy_of(kind, tools), tools.clairvoyant(where), HOURLY).jobs
        assert result.gco2 == pytest.approx(case["optimal_cost"], abs=1e-6), case["id"]
        assert not result.is_missed


@pytest.mark.parametrize("kind", ["single", "fleet"])
@pytest.mark.parametrize("startup_s", [0.0, 3600.0])
def test_dear_checkpoints_do_not_make_replanning_worse_than_the_first_plan(kind: str, startup_s: float, tools: SimpleNamespace) -> None:
    random = np.random.default_rng(3)
    where = tools.world({zone: random.uniform(20, 900, 24 * 9).round(2) for zone in "ABC"}, idle_fraction=0.1)
    overheads = Overheads(checkpoint_h=0.3, restore_h=0.1, migrate_h=0.1, startup_s=startup_s)
    some = tools.jobs([(hour * 5, 7, 1) for hour in range(24)], ["A", "B", "C"], slack_h=20, overheads=overheads)
    once = clairvoyant_bound(where, some, slot_s=3600.0)
    anew = simulate(where, some, policy_of(kind, tools), tools.clairvoyant(where), HOURLY)
    assert sum(result.suspends + result.moves for result in once.jobs) > 10  # there are checkpoints to be priced
    for planned, replanned in zip(once.jobs, anew.jobs, strict=True):
        assert replanned.gco2 == pytest.approx(planned.gco2, rel=1e-9), planned.workload_id
