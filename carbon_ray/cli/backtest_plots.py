"""Pictures of a backtest: error, order and decision value by day ahead, one panel for each zone."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from carbon_ray.reports.palette import OKABE_ITO
from carbon_ray.sim.backtest import Score

PICTURES = {
    "mape": ("mape_fraction", "MAPE, %", 100.0),
    "coverage": ("coverage80_fraction", "hours between the 10 and 90 % quantiles, %", 100.0),
    "rank": ("rank_correlation", "rank correlation within the day", 1.0),
    "decision_value": ("decision_value_fraction", "share of the clairvoyant saving kept, %", 100.0),
}
"""File name, field of a score, label and factor."""
_COLUMNS, _PANEL_IN = 3, 2.6


def write_plots(scores: list[Score], directory: Path) -> list[Path]:
    """Write one SVG for each of `PICTURES`; equal scores give equal bytes.

    Args:
        scores: All forecasters and zones.
        directory: Is made.
    """
    zones, names = list(dict.fromkeys(one.zone for one in scores)), list(dict.fromkeys(one.forecaster for one in scores))
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for picture, (field, label, factor) in PICTURES.items():
        rows = -(-len(zones) // _COLUMNS)
        with matplotlib.rc_context({"svg.hashsalt": "backtest", "svg.fonttype": "none", "font.size": 8}):
            figure = Figure(figsize=(_COLUMNS * _PANEL_IN * 1.2, rows * _PANEL_IN + 0.5), layout="constrained")
            panels = figure.subplots(rows, _COLUMNS, squeeze=False)
            for panel in panels.flat[len(zones) :]:
                panel.set_axis_off()
            for zone, panel in zip(zones, panels.flat, strict=False):
                for number, name in enumerate(names):
                    own = sorted((one for one in scores if one.zone == zone and one.forecaster == name), key=lambda one: one.day)
                    values = [factor * getattr(one, field) for one in own]
                    panel.plot([one.day for one in own], values, marker="o", color=OKABE_ITO[number % len(OKABE_ITO)], label=name)
                panel.set_title(zone)
                panel.set_xlabel("day ahead")
            figure.suptitle(label)
            figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
            path = directory / f"{picture}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None})
        written.append(path)
    return written
