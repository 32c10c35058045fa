"""Numbers and instants as a person reads them. The only place where grams become kilograms and fractions percent."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbon_ray.core.units import G_PER_KG, S_PER_H, kg

NONE = "\N{EN DASH}"
"""Shown where there is no number."""

_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_KG_PER_T = 1000.0


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated, `digits` decimals and a true minus sign."""
    if value is None:
        return NONE
    text = f"{value:,.{digits}f}"
    is_zero = not any(character in "123456789" for character in text)
    return text.lstrip("-") if is_zero else text.replace("-", _MINUS)


def significant(value: float | None) -> str:
    """A number with about three significant digits: 1,234 or 12.3 or 0.00123."""
    if value is None:
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    digits = 0
    while digits < 9 and size * 10**digits < 99.95:
        digits += 1
    return number(value, digits)


def mass_unit(gco2: float) -> tuple[str, float]:
    """The unit in which a mass reads best, and grams per unit of it."""
    if abs(gco2) < G_PER_KG:
        return "g", 1.0
    return ("kg", G_PER_KG) if abs(kg(gco2)) < _KG_PER_T else ("t", G_PER_KG * _KG_PER_T)


def mass(gco2: float | None) -> str:
    """A mass of CO2e given in g, in g, kg or t."""
    if gco2 is None:
        return NONE
    unit, grams = mass_unit(gco2)
    return f"{significant(gco2 / grams)}{_SPACE}{unit}"


def percent(fraction: float | None) -> str:
    """A share of 1 as percent; one decimal below 10 %."""
    if fraction is None:
        return NONE
    value = fraction * 100
    return f"{number(value, 1 if abs(value) < 9.95 else 0)}{_SPACE}%"


def span(hours: float | None) -> str:
    """A span of hours: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if hours is None:
        return NONE
    total_s = round(hours * S_PER_H)
    minutes = round(total_s / 60)
    if total_s < 60:
        return f"{total_s}{_SPACE}s"
    if minutes < 60:
        return f"{minutes}{_SPACE}min"
    if minutes < 48 * 60:
        return f"{minutes // 60}{_SPACE}h" + (f" {minutes % 60}{_SPACE}min" if minutes % 60 else "")
    whole_h = round(minutes / 60)
    return f"{whole_h // 24}{_SPACE}d" + (f" {whole_h % 24}{_SPACE}h" if whole_h % 24 else "")


def instant(at: datetime | None) -> str:
    """An instant to the minute: `2 May 2022 16:00`, in UTC like every instant of a report."""
    if at is None:
        return NONE
    rounded = at + timedelta(seconds=30)
    return f"{rounded.day}{_SPACE}{rounded:%b}{_SPACE}{rounded:%Y}{_SPACE}{rounded:%H:%M}"


def short_instant(at: datetime | None) -> str:
    """An instant to the minute without its year: `2 May 16:00`."""
    if at is None:
        return NONE
    rounded = at + timedelta(seconds=30)
    return f"{rounded.day}{_SPACE}{rounded:%b}{_SPACE}{rounded:%H:%M}"


def stretch(start_at: datetime, end_at: datetime) -> str:
    """A half-open stretch of time; the day is said once where it is one day: `2 May 16:00 - 18:42`."""
    start, end = short_instant(start_at), short_instant(end_at)
    day, _, clock = end.rpartition(_SPACE)
    return f"{start} {NONE} {clock if start.rpartition(_SPACE)[0] == day else end}"


def times(count: int) -> str:
    """How often: `never`, `once`, `twice`, `3 times`."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count:,} times")
