"""The report as one self-contained page: no script, no request, light and dark, readable without any knowledge of Ray."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from carbon_ray.core.decision import Change
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.core.units import hours
from carbon_ray.reports import palette, wording
from carbon_ray.reports.charts import cumulative_svg, timeline_svg
from carbon_ray.reports.comparison import comparison_rows
from carbon_ray.reports.run_report import RunReport

_KINDS = {
    IntensityKind.AVERAGE_LIFECYCLE: "average of the grid's mix, life cycle of the plants included",
    IntensityKind.AVERAGE_DIRECT: "average of the grid's mix, direct emissions only",
    IntensityKind.MARGINAL: "marginal: of the plants that answer to additional load",
}


def render_html(report: RunReport, intensity: Mapping[str, IntensitySeries]) -> str:
    """The report as an HTML page.

    Args:
        report: What to show.
        intensity: What came true, by region name; only the part around the run is drawn.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("mass", "percent", "span", "instant", "short_instant", "number", "significant", "times"):
        environment.filters[name] = getattr(wording, name)
    environment.filters["seconds"] = lambda seconds: wording.span(hours(timedelta(seconds=seconds)))
    saved_gco2 = report.counterfactual.gco2 - report.totals.gco2
    return environment.get_template("run_report.html.j2").render(
        report=report,
        stretch=wording.stretch,
        comparison=comparison_rows(report),
        saved_gco2=saved_gco2,
        slack_h=hours(report.deadline_at - report.finished_at),
        finish_h=hours(report.finished_at - report.submitted_at),
        total_steps=max(segment.end_step for segment in report.segments),
        changes=[decision for decision in report.decisions if decision.change is not Change.KEEP or decision.is_forced],
        kept=[decision for decision in report.decisions if decision.change is Change.KEEP and not decision.is_forced],
        colours=palette.region_colours([*intensity, *(segment.region for segment in report.segments)]),
        curve_colours={"run_now": palette.RUN_NOW, "carbon_aware": palette.CARBON_AWARE, "clairvoyant": palette.CLAIRVOYANT},
        kind=_KINDS[report.intensity_kind],
        # Both charts are our own markup; the names in them were escaped by the renderer of the SVG.
        timeline=Markup(timeline_svg(report, intensity)),
        cumulative=Markup(cumulative_svg(report)),
        timeline_words=_timeline_words(report),
        cumulative_words=_cumulative_words(report),
    )


def write_html(report: RunReport, intensity: Mapping[str, IntensitySeries], path: str | Path) -> Path:
    """Write the report's page, making the directory where it is missing, and return the file's path."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render_html(report, intensity), encoding="utf-8")
    return file


def _timeline_words(report: RunReport) -> str:
    stays = "; ".join(
        f"in {segment.region} from {wording.short_instant(segment.start_at)} to {wording.short_instant(segment.end_at)}"
        for segment in report.segments
    )
    return (
        f"Chart of grid carbon intensity over time for each region, from the submission at {wording.short_instant(report.submitted_at)} "
        f"to the deadline at {wording.short_instant(report.deadline_at)} UTC. The job held nodes {stays}. "
        "Below: the job's own row, and the number of nodes of each region."
    )


def _cumulative_words(report: RunReport) -> str:
    words = (
        f"Chart of emissions summed up over time. Run-now reaches {wording.mass(report.counterfactual.gco2)} at "
        f"{wording.short_instant(report.counterfactual.finish_at)}; the carbon-aware run reaches {wording.mass(report.totals.gco2)} at "
        f"{wording.short_instant(report.finished_at)} UTC."
    )
    return (
        words if report.clairvoyant is None else f"{words} The clairvoyant run would have come to {wording.mass(report.clairvoyant.gco2)}."
    )
