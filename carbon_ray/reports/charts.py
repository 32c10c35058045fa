"""The two charts of a report as SVG text that takes its light or dark colours from the page around it.

Drawn with matplotlib's object interface; `pyplot`, its global state and its windows are never touched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.ledger import Phase
from carbon_ray.reports import palette
from carbon_ray.reports.run_report import CurvePoint, NodeEventRow, RunReport, SegmentRow
from carbon_ray.reports.wording import mass, mass_unit

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "font.size": 10.0,
    "axes.edgecolor": palette.LINE,
    "axes.labelcolor": palette.MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": palette.MUTED,
    "ytick.color": palette.MUTED,
    "text.color": palette.INK,
    "grid.color": palette.LINE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 1.1,
}
_WIDTH_IN = 10.4
_SWEPT = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_OPENING = re.compile(r'<svg\b[^>]*viewBox="([^"]*)"[^>]*>')
_NAMED = re.compile(r'(\bid="|href="#|url\(#)')

Span = tuple[datetime, datetime]


def timeline_svg(report: RunReport, intensity: Mapping[str, IntensitySeries]) -> str:
    """Intensity of each region over time, where the job was, and how many nodes each region had.

    Args:
        report: What to draw.
        intensity: By region name.
    """
    shown = _shown_span(report)
    colours = palette.region_colours([*intensity, *(segment.region for segment in report.segments)])
    regions = sorted({*colours, *(event.region for event in report.node_events)})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 5.0 + 0.28 * len(regions)), layout="constrained")
        top, strip, nodes = figure.subplots(3, 1, sharex=True, height_ratios=[4.0, 0.5, 0.35 * len(regions) + 0.15])
        _draw_intensity(top, intensity, colours, report.segments, shown)
        _draw_job(strip, report.segments, colours)
        _draw_nodes(nodes, report.node_events, regions, colours, shown)
        for axes in (top, strip, nodes):
            axes.axvline(_x(report.submitted_at), color=palette.INK, linewidth=1.0, linestyle=(0, (1, 2)))
            axes.axvline(_x(report.deadline_at), color=palette.INK, linewidth=1.3, linestyle=(0, (5, 3)))
            axes.tick_params(length=0)
        _mark(top, report.submitted_at, "submitted", shown)
        _mark(top, report.deadline_at, "deadline", shown)
        _time_axis(nodes, shown)
        return svg_of(figure, "timeline")


def cumulative_svg(report: RunReport) -> str:
    """Emissions summed up over time, of the run and of its run-now counterfactual."""
    shown = _shown_span(report)
    best = report.clairvoyant
    unit, grams = mass_unit(max(report.totals.gco2, report.counterfactual.gco2))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 3.3), layout="constrained")
        axes = figure.subplots()
        if best is not None:
            axes.axhline(best.gco2 / grams, color=palette.CLAIRVOYANT, linewidth=1.4, linestyle=(0, (1, 2)))
        for curve, colour, style in (
            (report.run_now_curve, palette.RUN_NOW, (0, (6, 2))),
            (report.carbon_aware_curve, palette.CARBON_AWARE, "solid"),
        ):
            _draw_curve(axes, curve, grams, colour, style, shown)
        axes.axvline(_x(report.deadline_at), color=palette.INK, linewidth=1.3, linestyle=(0, (5, 3)))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
        _mark(axes, report.deadline_at, "deadline", shown)
        axes.set_ylabel(f"{unit} CO\N{SUBSCRIPT TWO}e since submission")
        axes.grid(axis="y")
        axes.tick_params(length=0)
        _time_axis(axes, shown)
        return svg_of(figure, "cumulative")


def _x(at: datetime) -> float:
    return float(date2num(at))  # type: ignore[no-untyped-call]  # matplotlib types no function of its dates module


def _shown_span(report: RunReport) -> Span:
    end_at = max(report.finished_at, report.deadline_at, report.counterfactual.finish_at)
    margin = (end_at - report.submitted_at) * 0.02
    return report.submitted_at - margin, end_at + margin


def _draw_intensity(
    axes: Axes, intensity: Mapping[str, IntensitySeries], colours: Mapping[str, str], segments: Sequence[SegmentRow], shown: Span
) -> None:
    for region, series in sorted(intensity.items()):
        if (steps := _steps(series, shown)) is not None:
            axes.step(*steps, where="post", color=colours[region], linewidth=1.4)
    for segment in segments:
        for phase, span in _phases(segment):
            left, right = (_x(at) for at in span)
            is_running = phase is Phase.RUNNING
            axes.axvspan(left, right, color=colours[segment.region], alpha=0.13 if is_running else 0.05, linewidth=0)
            series_at_work = intensity.get(segment.region)
            if is_running and series_at_work is not None and (steps := _steps(series_at_work, span)) is not None:
                axes.step(*steps, where="post", color=colours[segment.region], linewidth=4.0, solid_capstyle="butt")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.1)  # room for the words at the top
    axes.set_ylabel("grid intensity, gCO\N{SUBSCRIPT TWO}e per kWh")
    axes.grid(axis="y")


def _steps(series: IntensitySeries, span: Span) -> tuple[list[float], list[float]] | None:
    """Corners of the part of the series that lies in the span; None where they do not meet."""
    left, right = max(span[0], series.start_at), min(span[1], series.end_at)
    if left >= right:
        return None
    pieces = list(series.pieces(left, right))
    return [*(_x(start_at) for start_at, _, _ in pieces), _x(right)], [*(value for _, _, value in pieces), pieces[-1][2]]


def _phases(segment: SegmentRow) -> list[tuple[Phase, Span]]:
    running_at = segment.running_at or segment.end_at
    stopped_at = max(segment.stopped_at or segment.end_at, running_at)
    spans = (
        (Phase.STARTING, (segment.start_at, running_at)),
        (Phase.RUNNING, (running_at, stopped_at)),
        (Phase.STOPPING, (stopped_at, segment.end_at)),
    )
    return [(phase, span) for phase, span in spans if span[0] < span[1]]


def _draw_job(axes: Axes, segments: Sequence[SegmentRow], colours: Mapping[str, str]) -> None:
    for segment in segments:
        colour = colours[segment.region]
        for phase, (start_at, end_at) in _phases(segment):
            box = [(_x(start_at), _x(end_at) - _x(start_at))]
            if phase is Phase.RUNNING:
                axes.broken_barh(box, (0, 1), facecolor=colour, edgecolor="none")
            else:
                axes.broken_barh(box, (0, 1), facecolor="none", edgecolor=colour, hatch="/////", linewidth=0.8)
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([0.5])
    _name_rows(axes, ["job"])
    axes.spines["left"].set_visible(False)


def _draw_nodes(axes: Axes, events: Sequence[NodeEventRow], regions: Sequence[str], colours: Mapping[str, str], shown: Span) -> None:
    counts = {region: _node_counts([event for event in events if event.region == region], shown) for region in regions}
    most = max([1, *(count for steps in counts.values() for _, count in steps)])
    for row, region in enumerate(reversed(regions)):
        steps = [*counts[region], (shown[1], counts[region][-1][1])]
        for (start_at, count), (end_at, _) in pairwise(steps):
            if count:
                box = [(_x(start_at), _x(end_at) - _x(start_at))]
                axes.broken_barh(box, (row + 0.1, 0.8 * count / most), facecolor=colours.get(region, palette.MUTED), edgecolor="none")
                if (end_at - start_at) / (shown[1] - shown[0]) > 0.02:
                    axes.annotate(
                        str(count),
                        (_x(max(start_at, shown[0])), row + 0.1 + 0.4 * count / most),
                        xytext=(5, 0),
                        textcoords="offset points",
                        color=palette.SURFACE,
                        fontsize=9,
                        fontweight="bold",
                        va="center_baseline",
                    )
        axes.axhline(row + 0.1, color=palette.LINE, linewidth=0.6, zorder=0)
    axes.set_ylim(0, len(regions))
    axes.set_yticks([row + 0.4 for row in range(len(regions))])
    _name_rows(axes, [f"{region} nodes" for region in reversed(regions)])
    axes.spines["left"].set_visible(False)


def _node_counts(events: Sequence[NodeEventRow], shown: Span) -> list[tuple[datetime, int]]:
    """(instant, nodes from then on), beginning at the left edge; a node whose coming was not seen was there before."""
    seen = {event.node_id for event in events if event.kind == "added"}
    count = len({event.node_id for event in events} - seen)
    steps = [(shown[0], count)]
    for event in sorted(events, key=lambda event: event.at):
        count += 1 if event.kind == "added" else -1
        at = min(max(event.at, shown[0]), shown[1])
        steps = [*(step for step in steps if step[0] < at), (at, count)]
    return steps


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    # parse_math off: a dollar sign in a region's name is a dollar sign.
    axes.set_yticklabels(names, parse_math=False)


def _draw_curve(axes: Axes, curve: Sequence[CurvePoint], grams: float, colour: str, style: object, shown: Span) -> None:
    points = [*curve, CurvePoint(at=shown[1], gco2=curve[-1].gco2)]
    axes.plot([_x(point.at) for point in curve], [point.gco2 / grams for point in curve], color=colour, linewidth=2.4, linestyle=style)
    axes.plot(
        [_x(point.at) for point in points[-2:]], [point.gco2 / grams for point in points[-2:]], color=colour, linewidth=0.8, alpha=0.6
    )
    axes.plot([_x(curve[-1].at)], [curve[-1].gco2 / grams], marker="o", color=colour, markersize=6)
    axes.annotate(
        mass(curve[-1].gco2),
        (_x(curve[-1].at), curve[-1].gco2 / grams),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontweight="bold",
    )


def _mark(axes: Axes, at: datetime, word: str, shown: Span) -> None:
    is_right = at - shown[0] > (shown[1] - shown[0]) / 2
    axes.annotate(
        word,
        (_x(at), 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if is_right else 4, -2),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="top",
        color=palette.MUTED,
    )


def _time_axis(axes: Axes, shown: Span) -> None:
    locator = AutoDateLocator(minticks=5, maxticks=11)  # type: ignore[no-untyped-call]  # see _x
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # see _x
    axes.set_xlim(_x(shown[0]), _x(shown[1]))
    axes.set_xlabel("UTC")


def svg_of(figure: Figure, name: str) -> str:
    """The figure as an SVG element whose ids are its own on the page and whose neutral colours are the page's."""
    buffer = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": name}):
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # the browser's font has it
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = _NAMED.sub(rf"\g<1>{name}-", _SWEPT.sub("", buffer.getvalue())).strip()
    for stand_in, variable in palette.THEMED.items():
        text = text.replace(stand_in, variable)
    # The page around it says how wide it is and, in words, what it shows.
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return _OPENING.sub(rf'<svg {names} viewBox="\1" aria-hidden="true" focusable="false">', text, count=1)
