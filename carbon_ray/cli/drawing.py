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
_RUNS, _WAITS = "━", "┄"
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
    """A plan over time: each region's intensity from now to the deadline, underlined where the work runs, and where it waits to go on.

    Work that has not begun waits where it will begin; suspended work waits where its checkpoint is. So the line of a row thins at a suspend
    and goes on in another row at a move.

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
    stays = _stays(plan)
    low, high = min(min(row) for row in rows.values()), max(max(row) for row in rows.values())
    out = Text(no_wrap=True)
    for region, row in rows.items():
        out.append(f"{region:<{label}}").append(sparkline(row, low, high)).append("\n")
        marks = "".join(_mark(stays, region, left, right) for left, right in pairwise(starts))
        if marks.strip():
            out.append(" " * label).append(marks.rstrip(), style="bold").append("\n")
    out.append(" " * label).append(_axis(starts[:-1], column_h)).append("\n")
    each = f"{column_h:g} h" if column_h >= 1 else f"{column_h * 60:.0f} min"
    out.append(
        f"{_LEVELS[0]} {low:.0f} to {_LEVELS[-1]} {high:.0f} gCO2e/kWh, {_RUNS} runs, {_WAITS} waits; a column is {each}; UTC", style="dim"
    )
    return out


def _column_h(span_h: float, room: int) -> float:
    """The shortest of some round lengths with which the span fits."""
    return next((length for length in (0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0) if span_h / length <= room), math.ceil(span_h / room))


def _stays(plan: Plan) -> list[tuple[datetime, datetime, str | None, bool]]:
    """From, to, in which region, and whether it runs there."""
    regions = [step.region for step in plan.steps]
    place, out = next((region for region in regions if region is not None), None), []
    for step in plan.steps:
        place = step.region or place
        out.append((step.start_at, min(step.end_at, plan.expected.finish_at), place, step.region is not None))
    return out


def _mark(stays: Sequence[tuple[datetime, datetime, str | None, bool]], region: str, left: datetime, right: datetime) -> str:
    found = [runs for start_at, end_at, place, runs in stays if place == region and start_at < right and left < end_at]
    return _RUNS if any(found) else _WAITS if found else " "


def _axis(starts: Sequence[datetime], column_h: float) -> str:
    """Clock times under their columns, and the date at the first one and wherever a day begins."""
    line = [" "] * (len(starts) + 12)
    free_from, day, every = 0, None, 12 if column_h < 0.5 else 6
    for index, start_at in enumerate(starts):
        if index < free_from or index % every:
            continue
        words = f"{start_at:%H:%M}" if start_at.date() == day else f"{start_at:%b %d %H:%M}"
        line[index : index + len(words)] = words
        free_from, day = index + len(words) + 1, start_at.date()
    return "".join(line).rstrip()
