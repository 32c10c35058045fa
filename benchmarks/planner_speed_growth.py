"""How the seconds of a plan grow with quanta, regions and hours, each doubled while the others stay, as numbers and as a picture.

Moves cost what the plans of workloads have: a part at either end. The last row has a cost of its own for every pair of regions, of
which all have to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pictures
from benchmarks.instances import one_workload, random_instance
from benchmarks.planner_speed_plan import planned, timed

BASE = {"quanta": 48, "regions": 12, "hours": 384}
"""What the two others are while one grows."""
GROWN: dict[str, tuple[int, ...]] = {"quanta": (24, 48, 96, 192, 384), "regions": (3, 6, 12, 24, 48), "hours": (96, 192, 384, 768, 1536)}
PAIRWISE = "regions, pairwise"
"""Regions grow, and every pair of them has a cost of its own."""
REPEATS = 5


def seconds_of(quanta: int, regions: int, hours: int, seed: int, repeats: int = REPEATS, *, is_pairwise: bool = False) -> float:
    """Seconds of a plan: the least of several, which a busy machine disturbs least."""
    intensity, moving = random_instance(np.random.default_rng(seed), hours, regions, is_pairwise=is_pairwise)
    problem = one_workload(intensity, quanta, moving)
    return min(timed(lambda: planned(problem))[0] for _ in range(repeats))


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Slope of the straight line that fits the logarithms best: seconds grow as size to this power."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(seed: int, *, quick: bool = False) -> dict[str, Any]:
    """Sizes, seconds and fitted exponent by what grows.

    Args:
        seed: Of the instances.
        quick: Only the three smallest sizes, and each once.
    """
    result = {}
    for row, all_sizes in (GROWN | {PAIRWISE: GROWN["regions"]}).items():
        axis, repeats = row.split(",")[0], 2 if quick else REPEATS
        sizes = all_sizes[:3] if quick else all_sizes
        seconds = [seconds_of(**{**BASE, axis: size}, seed=seed, repeats=repeats, is_pairwise=row == PAIRWISE) for size in sizes]
        fixed = {name: size for name, size in BASE.items() if name != axis}
        result[row] = {"sizes": list(sizes), "seconds": seconds, "exponent": exponent(sizes, seconds), "fixed": fixed}
    return result


def draw(growth: Mapping[str, Any], path: Path) -> None:
    """Write the picture as SVG: equal numbers give equal bytes."""
    with pictures.figure_at(path, 12, 3.2) as figure:
        panels = figure.subplots(1, len(growth), sharey=True)
        for panel, (axis, one) in zip(panels, growth.items(), strict=True):
            sizes, seconds = np.array(one["sizes"], dtype=np.float64), np.array(one["seconds"])
            slope = one["exponent"]
            level = np.exp(np.mean(np.log(seconds) - slope * np.log(sizes)))
            panel.loglog(sizes, 1000 * level * sizes**slope, color=pictures.MUTED, linewidth=1, label=f"size to the power {slope:.2f}")
            panel.loglog(sizes, 1000 * seconds, "o-", color=pictures.OURS, markersize=4, label="measured")
            panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
            panel.minorticks_off()
            panel.set_xlabel(axis)
            panel.set_title(", ".join(f"{size} {name}" for name, size in one["fixed"].items()), fontsize=8)
            panel.grid(visible=True, color=pictures.GRID)
            panel.legend(fontsize=8, frameon=False)
        panels[0].set_ylabel("one plan, ms")
