"""Real sweeps under the scheduler on a Ray of their own: held and released, and taken up after the driver was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import ASHAScheduler

from benchmarks.sweep_trials import SavingClass, local_ray, read_trace, saving_function, space
from benchmarks.tune_hold import CPUS, Counting, HoldOnce, Watch, held_part
from benchmarks.tune_restore import TRIALS, sweep
from carbon_ray.tune import summary
from carbon_ray.tune.accounting import ALIVE_EVERY_WALL_S
from carbon_ray.tune.columns import COLUMNS
from tests.ray.noise import REAL_TUNE

pytestmark = [*REAL_TUNE]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with local_ray(CPUS):
            yield ray.get_runtime_context().gcs_address


@pytest.mark.parametrize("trainable", [saving_function, pytest.param(SavingClass, marks=pytest.mark.slow)], ids=["function", "class"])
def test_a_hold_frees_the_resources_and_repeats_nothing(address: str, trainable: object, tmp_path: Path) -> None:
    scheduler = Counting(
        ASHAScheduler(max_t=12, grace_period=8, reduction_factor=3),
        regions=["DE"],
        policy=HoldOnce(30.0, begin_at_iteration=3),
        power_w=300.0,
    )
    watch = Watch(scheduler)
    watch.start()
    grid = Tuner(
        trainable,
        param_space=space(3, 12, 0.5, tmp_path / "trace"),
        tune_config=TuneConfig(metric="score", mode="max", scheduler=scheduler),
        run_config=RunConfig(name="held", storage_path=str(tmp_path), verbose=0, checkpoint_config=CheckpointConfig(num_to_keep=2)),
    ).fit()
    watch.stop()
    held = held_part(watch.looks)
    assert held["free_cpus_min"] == CPUS
    assert held["rounds_per_s"] < 10
    assert grid.num_errors == 0
    frame = grid.get_dataframe()
    assert set(COLUMNS) <= set(frame.columns)
    assert (frame["held_s"] > 20).sum() == CPUS
    assert (
        max(Counter((row["trial"], row["iteration"]) for row in read_trace(tmp_path / "trace") if row["event"] == "iteration").values())
        == 1
    )
    assert summary(grid).carbon_gco2 == pytest.approx(frame["carbon_gco2"].sum(), rel=0.05)
    assert all("carbon_gco2" in path.read_text() for path in (tmp_path / "held").glob("*/progress.csv"))


@pytest.mark.slow
def test_a_killed_driver_costs_no_trial_and_no_gram(address: str, tmp_path: Path) -> None:
    one = sweep(tmp_path, "fifo-killed", "fifo", 1, 3, address)
    assert one["kills"] == 1
    assert one["base_anew"] == 0
    assert len(one["table"]) == TRIALS
    assert {row["training_iteration"] for row in one["table"]} == {16}
    assert one["overlaps_s"] == 0.0
    assert one["outside_books_s_max"] <= ALIVE_EVERY_WALL_S + 1.0
    assert -0.001 < one["table_less_journal_kwh"] <= 1e-9  # the journal also has what a trial drew after its last result
