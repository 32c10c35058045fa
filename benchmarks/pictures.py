"""How pictures of results are drawn: one style, written as SVG; equal numbers give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from carbon_ray.reports.palette import OKABE_ITO

GRID, MUTED, OURS = "0.9", "0.6", "#1b7837"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@contextmanager
def figure_at(path: Path, width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure to be drawn on, which is written to `path` at the end.

    Args:
        path: Of the SVG file; its directory is made.
        width_in: Inches.
        height_in: Inches.
    """
    with matplotlib.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def beside(path: Path, what: str) -> Path:
    """Where a picture of a result stands: `decisions.json` and `delay` are `decisions_delay.svg`."""
    return path.with_name(f"{path.stem}_{what}.svg")


def looks(names: list[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name, no pair of them twice up to 42 names."""
    pairs = zip(cycle(OKABE_ITO), cycle(MARKERS), strict=False)
    return {name: next(pairs) for name in names}
