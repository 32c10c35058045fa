"""The results of an experiment as one self-contained page: no script, no request, light and dark."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from carbon_ray.cli.experimenting import ExperimentResult, SetResult
from carbon_ray.config.experiment import Experiment
from carbon_ray.reports import palette, wording
from carbon_ray.reports.charts import STYLE, svg_of

_ROW_IN = 0.34


def render_page(settings: Experiment, result: ExperimentResult) -> str:
    """The page.

    Args:
        settings: What was asked for.
        result: What came of it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("mass", "percent", "instant", "number", "significant"):
        environment.filters[name] = getattr(wording, name)
    return environment.get_template("simulation.html.j2").render(
        settings=settings,
        result=result,
        charts=[Markup(savings_svg(one, f"set{number}")) for number, one in enumerate(result.sets)],
        chart_words=[_words(one) for one in result.sets],
    )


def savings_svg(one: SetResult, name: str) -> str:
    """Saving of every policy with its interval, and the clairvoyant bound, as an SVG element.

    Args:
        one: The job set.
        name: Of the chart on the page.
    """
    rows = list(reversed(one.rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 1.0 + _ROW_IN * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            summary, colour = row.summary, palette.CLAIRVOYANT if row.is_clairvoyant else palette.CARBON_AWARE
            axes.barh(place, 100 * summary.saving_fraction, height=0.62, color=colour)
            interval = summary.saving_interval
            axes.plot([100 * interval.low, 100 * interval.high], [place, place], color=palette.INK, linewidth=1.6)
        axes.axvline(100 * one.bound.saving_fraction, color=palette.CLAIRVOYANT, linewidth=1.6, linestyle=(0, (1, 2)))
        axes.axvline(0, color=palette.LINE, linewidth=1.0)
        axes.set_yticks(range(len(rows)))
        axes.set_yticklabels([f"{row.policy}, {row.forecaster}" for row in rows], parse_math=False)
        axes.set_xlabel("emissions saved against run-now, %")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        return svg_of(figure, name)


def _words(one: SetResult) -> str:
    savings = "; ".join(f"{row.policy} with {row.forecaster} {wording.percent(row.summary.saving_fraction)}" for row in one.rows)
    return f"Bar chart of simulated savings on {one.name}: {savings}. Perfect foresight: {wording.percent(one.bound.saving_fraction)}."
