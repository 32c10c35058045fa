"""Pictures of the decisions benchmark, from its rows: saving against delay, and regret against the forecast's error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.pictures import GRID, MUTED, beside, figure_at, looks

Rows = Sequence[dict[str, Any]]

PANEL_IN, HEIGHT_IN, LEGEND_IN = 3.1, 3.6, 1.9
OURS = ("carbon_ray", "clairvoyant")


def draw(rows: Rows, path: Path) -> list[Path]:
    """Write the pictures beside the JSON file at `path`; the second one only where the rows hold a forecast with an error.

    Returns:
        The files.
    """
    drawn = [beside(path, "delay")]
    delay(rows, drawn[0])
    if any(_has_regret(row) and row["forecast_mape_fraction"] > 0 for row in rows):
        drawn.append(beside(path, "regret"))
        regret(rows, drawn[1])
    return drawn


def delay(rows: Rows, path: Path) -> None:
    """Saving against mean delay: one point for each policy and set of zones, one panel for each run time and slack."""
    shown = [row for row in rows if "," not in row["policy"] and not _is_noise(row)]
    names = list(dict.fromkeys(_named(row) for row in shown))
    styles = looks(sorted(names, key=lambda name: not name.startswith(OURS)))
    shapes = _shapes(shown)
    with figure_at(path, PANEL_IN * len(shapes) + LEGEND_IN, HEIGHT_IN) as figure:
        for panel, shape, some in _panels(figure, shapes, shown):
            for name in names:
                points = [row for row in some if _named(row) == name]
                colour, marker = styles[name]
                size = 40 if name.startswith(OURS) else 18
                panel.scatter(
                    [row["delay_mean_h"] for row in points],
                    [100 * row["saving_fraction"] for row in points],
                    s=size,
                    c=colour,
                    marker=marker,
                    label=name if shape == shapes[0] else None,
                )
            panel.set_xlabel("mean delay, h")
        figure.axes[0].set_ylabel("emissions saved against run-now, %")
        figure.legend(loc="outside right center", fontsize=7, frameon=False)


def regret(rows: Rows, path: Path) -> None:
    """What carbon_ray saves less than the clairvoyant, against the error of its forecast, one line for each set of zones."""
    ours = [row for row in rows if _has_regret(row)]
    best = {_cell(row): row["saving_fraction"] for row in rows if row["policy"] == "clairvoyant"}
    sets = looks(list(dict.fromkeys(row["set"] for row in ours)))
    shapes = _shapes(ours)
    with figure_at(path, PANEL_IN * len(shapes) + LEGEND_IN, HEIGHT_IN) as figure:
        for panel, shape, some in _panels(figure, shapes, ours):
            for name, (colour, marker) in sets.items():
                for is_noise in (True, False):
                    points = sorted(
                        (100 * row["forecast_mape_fraction"], 100 * (best[_cell(row)] - row["saving_fraction"]), row["forecaster"])
                        for row in some
                        if row["set"] == name and _is_noise(row) == is_noise
                    )
                    panel.plot(
                        [error for error, _, _ in points],
                        [lost for _, lost, _ in points],
                        color=colour,
                        marker=marker,
                        markersize=3 if is_noise else 6,
                        linestyle="-" if is_noise else "",
                        linewidth=1,
                        label=name if shape == shapes[0] and not is_noise else None,
                    )
                    if not is_noise:
                        for error, lost, forecaster in points:
                            panel.annotate(forecaster, (error, lost), textcoords="offset points", xytext=(5, -2), fontsize=6, color="0.3")
            panel.axhline(0.0, color=MUTED, linewidth=0.8)
            panel.set_xlabel("forecast error (MAPE over the horizon), %")
        figure.axes[0].set_ylabel("regret: points of saving below the clairvoyant")
        figure.legend(
            loc="outside right center", fontsize=7, frameon=False, title="line: noise on the truth\nlarge: forecasters", title_fontsize=7
        )


def _panels(figure: Figure, shapes: list[tuple[int, int]], rows: Rows) -> Iterator[tuple[Any, tuple[int, int], Rows]]:
    panels = figure.subplots(1, len(shapes), sharey=True, squeeze=False)[0]
    for panel, shape in zip(panels, shapes, strict=True):
        panel.grid(visible=True, color=GRID)
        panel.set_axisbelow(True)
        panel.set_title(f"{shape[0]} h of work, {shape[1]} h of slack", fontsize=8)
        yield panel, shape, [row for row in rows if _shape(row) == shape]


def _shape(row: dict[str, Any]) -> tuple[int, int]:
    return row["run_hours"], row["slack_hours"]


def _shapes(rows: Rows) -> list[tuple[int, int]]:
    return list(dict.fromkeys(_shape(row) for row in rows))


def _cell(row: dict[str, Any]) -> tuple[str, int, int]:
    return (row["set"], *_shape(row))


def _is_noise(row: dict[str, Any]) -> bool:
    return str(row["forecaster"]).startswith("noise_")


def _has_regret(row: dict[str, Any]) -> bool:
    return row["policy"] == "carbon_ray" and row.get("forecast_mape_fraction") is not None


def _named(row: dict[str, Any]) -> str:
    return f"{row['policy']}, {row['forecaster']}" if row["policy"] == "carbon_ray" else row["policy"]
