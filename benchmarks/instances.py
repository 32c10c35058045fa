"""Instances that benchmarks and gates solve: the cost model of one workload from a matrix of intensities, and where data are found."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.programme import Problem

DATA = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
"""Published results and traces; no part of the repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """What pauses and moves cost, in running hours of one worker.

    Attributes:
        write_h: Checkpoint of who stops, at the intensity of the slot that has just run.
        restore_h: Resume, at the intensity of the slot it happens in.
        move_h: Start in another region than the checkpoint's, likewise; one number, or shape (R, R) from row to column.
    """

    write_h: float = 0.05
    restore_h: float = 0.10
    move_h: float | FloatArray = 0.5

    @property
    def is_separable(self) -> bool:
        """Whether a move costs the same from wherever it comes."""
        if not isinstance(self.move_h, np.ndarray):
            return True
        elsewhere = ~np.eye(len(self.move_h), dtype=np.bool_)
        return bool((np.where(elsewhere, self.move_h, self.move_h.max(axis=0)) == self.move_h.max(axis=0)).all())


FREE = Moving(write_h=0.0, restore_h=0.0, move_h=0.0)


def one_workload(
    gco2_per_kwh: FloatArray,
    quanta: int,
    moving: Moving,
    *,
    speed: Sequence[int] = (1,),
    power: Sequence[float] = (1.0,),
    shortest_slots: int = 1,
    max_moves: int | None = None,
) -> Problem:
    """The programme's arrays for a worker of 1 kW in hourly slots: costs are grams.

    Args:
        gco2_per_kwh: Shape (T, R).
        quanta: Work to do.
        moving: Costs of pauses and moves; the same for any number of workers.
        speed: Quanta that 1, 2, ... workers do in a slot, growing.
        power: Power of 1, 2, ... workers, kW.
        shortest_slots: As `Problem.shortest_slots`.
        max_moves: As `Problem.max_moves`.
    """
    intensity = np.array(gco2_per_kwh, dtype=np.float64, order="C")  # a copy: the recursion is compiled anew for read-only arrays
    slots, regions = intensity.shape
    free = np.zeros((regions, regions))
    return Problem(
        run=intensity[:, :, None] * np.array(power, dtype=np.float64),
        hold=np.zeros((slots, regions, len(speed))),
        pause=moving.write_h * intensity,
        unit=intensity,
        move=np.broadcast_to(moving.move_h, (regions, regions)) * (1 - np.eye(regions)),
        send=free,
        fee=free,
        restore=moving.restore_h,
        speed=np.array(speed, dtype=np.int64),
        waiting=0.0,
        startup_slots=0,
        quanta=quanta,
        allowed=np.ones((slots, regions), dtype=np.bool_),
        shortest_slots=shortest_slots,
        max_moves=max_moves,
        is_separable=moving.is_separable,
    )


def random_instance(rng: np.random.Generator, slots: int, regions: int, *, is_pairwise: bool = True) -> tuple[FloatArray, Moving]:
    """Independent intensities of 50 to 600 g/kWh, and costs of moving of 0.2 to 2 running hours.

    Args:
        rng: Where numbers are drawn from.
        slots: Hours.
        regions: How many.
        is_pairwise: A cost of its own for every pair of regions: nothing that an algorithm could use. Else one for every region that is
            moved to, as in all plans that carbon_ray makes for a workload.
    """
    move_h = rng.uniform(0.2, 2.0, (regions, regions)) if is_pairwise else np.tile(rng.uniform(0.2, 2.0, regions), (regions, 1))
    np.fill_diagonal(move_h, 0.0)
    return rng.uniform(50.0, 600.0, (slots, regions)), Moving(move_h=move_h)


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, packed or not.

    Raises:
        ConfigError: There is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not there; set CARBON_RAY_DATA to the directory of the reference data")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file))
