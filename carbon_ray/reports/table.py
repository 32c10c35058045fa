"""The comparison as a table for terminals."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from carbon_ray.reports.comparison import comparison_rows
from carbon_ray.reports.run_report import RunReport
from carbon_ray.reports.wording import instant


def comparison_table(report: RunReport) -> Table:
    """Run-now against carbon-aware against clairvoyant, as a Rich table."""
    kept = "deadline met" if report.deadline_met else "DEADLINE MISSED"
    caption = f"{kept} ({instant(report.deadline_at)} UTC), {report.lost_steps:,} steps lost"
    if report.redone_steps:
        caption += f", {report.redone_steps:,} redone after a node loss or failure"
    if report.is_embedded:
        caption += "\nembedded intensity: typical, not observed"
    # Text, not str: a name with square brackets is no markup.
    table = Table(title=Text(f"Carbon report of {report.workload_id}"), caption=Text(caption), title_justify="left", caption_justify="left")
    table.add_column("")
    table.add_column("run-now", justify="right")
    table.add_column("carbon-aware", justify="right", style="bold green")
    table.add_column("clairvoyant", justify="right")
    for row in comparison_rows(report):
        table.add_row(row.label, row.run_now, row.carbon_aware, row.clairvoyant)
    return table
