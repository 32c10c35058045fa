"""Pictures made of characters: a sparkline, a bar, and a plan with the intensity that it follows. They read without colour, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from rich.text import Text

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.plan import Plan
from carbon_ray.core.units import S_PER_H

_LEVELS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLOURS = ("green", "yellow", "red")


def sparkline(values: Sequence[float], low: float | None = None, high: float | None = None) -> Text:
    """One character a value, between `low` and `high` (the values' own by default): green is low, red is high."""
    low, high = min(values) if low is None else low, max(values) if high is None else high
    text = Text()
    for value in values:
        share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0
        text.append(_LEVELS[round(share * (len(_LEVELS) - 1))], style=_COLOURS[min(2, int(share * 3))])
    return text


def bar(value: float, most: float, width: int) -> Text:
    """A horizontal bar, full at `most`, in eighths of a character."""
    eighths = round(8 * width * value / most) if most > 0 else 0
    whole, part = divmod(eighths, 8)
    share = value / most if most > 0 else 0.0
    return Text("█" * whole + (_EIGHTHS[part] if part else ""), style=_COLOURS[min(2, int(share * 3))])


def plan_drawing(plan: Plan, zones: Mapping[str, str], snapshot: ForecastSnapshot, deadline_at: datetime, width: int) -> Text:
    """A plan over time: each region's intensity from now to the deadline, underlined where the work runs.

    Args:
        plan: What is drawn.
        zones: Grid zone by region, in the order of the rows.
        snapshot: Forecasts that reach the deadline.
        deadline_at: End of the drawing, aware UTC.
        width: Characters in a line.
    """
    label = max(len(region) for region in zones) + 2
    room = max(8, width - label)
    span_h = (deadline_at - plan.created_at).total_seconds() / S_PER_H
    column_h = _column_h(span_h, room)
    columns = max(1, math.floor(span_h / column_h + 1e-9))
    starts = [plan.created_at + timedelta(hours=column_h * index) for index in range(columns + 1)]
    rows = {region: snapshot[zone].resample(plan.created_at, column_h * S_PER_H, columns).tolist() for region, zone in zones.items()}
    low, high = min(min(row) for row in rows.values()), max(max(row) for row in rows.values())
    out = Text(no_wrap=True)
    for region, row in rows.items():
        out.append(f"{region:<{label}}").append(sparkline(row, low, high)).append("\n")
        marks = "".join("━" if _runs(plan, region, left, right) else " " for left, right in pairwise(starts))
        if marks.strip():
            out.append(" " * label).append(marks.rstrip(), style="bold").append("\n")
    out.append(" " * label).append(_axis(starts[:-1])).append("\n")
    each = f"{column_h:g} h" if column_h >= 1 else f"{column_h * 60:.0f} min"
    out.append(f"{_LEVELS[0]} {low:.0f} to {_LEVELS[-1]} {high:.0f} gCO2e/kWh, ━ runs; a column is {each}; UTC", style="dim")
    return out


def _column_h(span_h: float, room: int) -> float:
    """The shortest of some round lengths with which the span fits."""
    if span_h < 1:
        return 0.25
    return next((length for length in (1.0, 2.0, 3.0, 6.0, 12.0) if span_h / length <= room), math.ceil(span_h / room))


def _runs(plan: Plan, region: str, left: datetime, right: datetime) -> bool:
    finish_at = plan.expected.finish_at
    return any(step.region == region and step.start_at < right and left < min(step.end_at, finish_at) for step in plan.steps)


def _axis(starts: Sequence[datetime]) -> str:
    """Clock times under their columns, and the date at the first one and wherever a day begins."""
    line = [" "] * (len(starts) + 12)
    free_from, day = 0, None
    for index, start_at in enumerate(starts):
        if index < free_from or index % 6:
            continue
        words = f"{start_at:%H:%M}" if start_at.date() == day else f"{start_at:%b %d %H:%M}"
        line[index : index + len(words)] = words
        free_from, day = index + len(words) + 1, start_at.date()
    return "".join(line).rstrip()
