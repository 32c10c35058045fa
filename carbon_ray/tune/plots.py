"""The picture of a sweep: score against carbon, with the trials that no other one beats in both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

from matplotlib.figure import Figure

FRONT, OTHERS, INK = "#009E73", "#5b5c5d", "#0b0c0d"
"""Source: Okabe and Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/."""


class Point(Protocol):
    """A trial in the picture."""

    @property
    def trial_id(self) -> str:
        """Its name."""
        ...

    @property
    def best_score(self) -> float | None:
        """Its score."""
        ...

    @property
    def carbon_gco2(self) -> float:
        """Its emissions, g."""
        ...

    @property
    def is_on_front(self) -> bool:
        """No other one beats it in both."""
        ...


def pareto_svg(trials: Sequence[Point], metric: str, source: str) -> str:
    """An SVG of all scored trials, those on the front joined and named."""
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    scored = [one for one in trials if one.best_score is not None]
    others = [one for one in scored if not one.is_on_front]
    front = sorted((one for one in scored if one.is_on_front), key=lambda one: one.carbon_gco2)
    axes.scatter([one.carbon_gco2 for one in others], [one.best_score or 0.0 for one in others], s=18, color=OTHERS, label="other trials")
    axes.plot(
        [one.carbon_gco2 for one in front], [one.best_score or 0.0 for one in front], "o-", color=FRONT, markersize=5, label="Pareto front"
    )
    for one in front:
        axes.annotate(
            one.trial_id, (one.carbon_gco2, one.best_score or 0.0), fontsize=7, color=INK, xytext=(3, 3), textcoords="offset points"
        )
    axes.set_xlabel("gCO2e of the trial")
    axes.set_ylabel(f"best {metric}")
    axes.set_title(source, fontsize=8, color=OTHERS)
    axes.spines[["top", "right"]].set_visible(False)
    if scored:
        axes.legend(frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
