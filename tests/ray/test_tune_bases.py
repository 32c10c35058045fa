"""Real sweeps under several base schedulers: a flat grid changes nothing, a hold loses and repeats nothing, a trial moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.sweep_trials import local_ray
from benchmarks.tune_bases import MOVE, apart, flat, held, move_row, train_row
from benchmarks.tune_bases_sweep import CPUS, ITERATIONS, Case
from tests.ray.noise import REAL_TUNE

pytestmark = [
    *REAL_TUNE,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Dataset `pandas:UserWarning"),
]

ASHA = Case(base="asha")
HYPERBAND = Case(base="hyperband")
PBT = Case(base="pbt", trainable="class", trials=4, reuses_actors=True)
LIGHTGBM = Case(base="fifo", trainable="lightgbm", trials=2)
TORCH = Case(base="fifo", trainable="torch", trials=2)


@pytest.fixture(scope="module")
def local() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with local_ray(CPUS):
            yield


def require(case: Case) -> None:
    for name in case.not_installed():
        pytest.importorskip(name, reason=f"{name} is not among the dependencies")


def test_trials_move_to_another_region_and_repeat_nothing() -> None:
    row = apart(move_row, 0)
    assert row["error"] == ""
    assert row["trials_moved"] >= 1
    assert (row["lost"], row["repeated_iterations"], row["iterations"]) == (0, 0, MOVE.trials * ITERATIONS)


def test_a_trainer_inside_a_held_trial_goes_on_from_its_own_checkpoint() -> None:
    row = apart(train_row, 0)
    assert row["error"] == ""
    assert row["held"]
    assert row["lost"] == 0
    assert row["repeated_iterations"] <= row["held_trials"]  # the step under way when it was held


@pytest.mark.parametrize("case", [ASHA, HYPERBAND, LIGHTGBM, TORCH], ids=lambda case: case.title)
def test_on_a_flat_grid_a_real_sweep_ends_as_under_the_base_alone(local: None, case: Case, tmp_path: Path) -> None:
    require(case)
    row = flat(case, tmp_path, 0)
    assert row["error"] == ""
    assert row["iterations"] >= case.trials
    assert row["ends_as_base"]
    assert not row["held"]


@pytest.mark.parametrize("case", [HYPERBAND, PBT, LIGHTGBM, TORCH], ids=lambda case: case.title)
def test_a_hold_loses_and_repeats_nothing(local: None, case: Case, tmp_path: Path) -> None:
    require(case)
    row = held(case, tmp_path, 0)
    assert row["error"] == ""
    assert row["held"]
    assert (row["lost"], row["repeated_iterations"], row["rows_lost"], row["columns_missing"]) == (0, 0, 0, 0)
    if case.base == "fifo":
        assert row["iterations"] == case.trials * ITERATIONS
        assert row["ends_as_base"]
