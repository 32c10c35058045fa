"""The live view of the demonstration: what each grid does, where the nodes and the job are, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from carbon_ray.core.units import hours


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionLine:
    """One region at one moment.

    Attributes:
        name: Region.
        zone: Grid zone.
        gco2_per_kwh: Forecast intensity now; None before the first forecast.
        lowest_gco2_per_kwh: Lowest forecast before the deadline; None before the first forecast.
        lowest_at: When.
        nodes: Worker nodes that Ray reports alive.
        job: What the job does there ("", "starting", "running").
    """

    name: str
    zone: str
    gco2_per_kwh: float | None
    lowest_gco2_per_kwh: float | None
    lowest_at: datetime | None
    nodes: int
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Everything that is shown at one moment.

    Attributes:
        now: Replayed time, aware UTC.
        speedup: Replayed seconds per second.
        regions: In the order of the configuration.
        headline: What the job does.
        reason: Why, by the newest plan.
        told: Why it was told to do so; changes only with what it does.
        step: Steps finished.
        total_steps: Steps of the whole work.
        deadline_at: Aware UTC; None before the submission.
        is_embedded: True where the grid data are the typical profile.
    """

    now: datetime
    speedup: float
    regions: tuple[RegionLine, ...]
    headline: str
    reason: str
    told: str
    step: int
    total_steps: int
    deadline_at: datetime | None
    is_embedded: bool


def _shade(gco2_per_kwh: float | None) -> str:
    if gco2_per_kwh is None:
        return "dim"
    return "green" if gco2_per_kwh < 150 else "yellow" if gco2_per_kwh < 300 else "red"


def render(frame: Frame) -> RenderableType:
    """The view of one moment."""
    table = Table(expand=True, box=None, padding=(0, 1))
    for heading, justify in (("region", "left"), ("zone", "left"), ("g/kWh now", "right"), ("lowest ahead", "right"), ("nodes", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # literals, lost in the tuple
    table.add_column("job", min_width=10)
    for line in frame.regions:
        lowest = "" if line.lowest_at is None else f"{line.lowest_gco2_per_kwh:.0f} at {line.lowest_at:%d %H:%MZ}"
        now = "-" if line.gco2_per_kwh is None else f"{line.gco2_per_kwh:.0f}"
        job = Text(f"> {line.job}", style="bold green" if line.job == "running" else "bold yellow") if line.job else Text("")
        table.add_row(line.name, line.zone, Text(now, style=_shade(line.gco2_per_kwh)), lowest, "#" * line.nodes or "-", job)
    left = "" if frame.deadline_at is None else f", {max(0.0, hours(frame.deadline_at - frame.now)):.1f} h to the deadline"
    progress = Table.grid(expand=True, padding=(0, 1))
    progress.add_column(ratio=1)
    progress.add_column(justify="right")
    progress.add_row(ProgressBar(total=frame.total_steps, completed=frame.step), f"{frame.step}/{frame.total_steps} rounds{left}")
    grid = "typical grid profile (embedded), " if frame.is_embedded else ""
    title = f"carbon_ray  {frame.now:%Y-%m-%d %H:%MZ}  ({grid}{frame.speedup:.0f} x real time)"
    return Panel(Group(table, Text(""), progress, Text(frame.headline, style="bold"), Text(frame.reason)), title=title, title_align="left")


def line_of(frame: Frame) -> str:
    """One line for a terminal that cannot redraw; equal frames but for time and progress give equal lines."""
    nodes = ", ".join(f"{line.name} {line.nodes}" for line in frame.regions if line.nodes) or "none"
    return f"{frame.headline}; nodes: {nodes}{f'; {frame.told}' if frame.told else ''}"
