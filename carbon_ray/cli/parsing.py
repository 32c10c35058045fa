"""From the text of an option to a value: spans, instants, lists of zones. Bad text is a ConfigError that names the option."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import ConfigError

_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def span(text: str, option: str) -> timedelta:
    """A span of time: `90m`, `24h`, `2d`, `1h30m`.

    Raises:
        ConfigError: The text is none, or too long for any calendar.
    """
    if not _SPAN.fullmatch(text):
        raise ConfigError(f"{option} {text!r} is not a span of time; write 90m, 24h or 2d")
    try:
        return sum((timedelta(**{_UNITS[unit]: float(amount)}) for amount, unit in _PART.findall(text)), timedelta(0))
    except OverflowError:
        raise ConfigError(f"{option} {text!r} is longer than any calendar; write 90m, 24h or 2d") from None


def instant(text: str, option: str) -> datetime:
    """An instant with an offset, in UTC.

    Raises:
        ConfigError: The text is no ISO 8601 instant, or has no offset.
    """
    try:
        return parse_utc(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def span_or_instant(text: str, option: str, start_at: datetime) -> datetime:
    """A span from `start_at`, or an instant.

    Raises:
        ConfigError: The text is neither.
    """
    if not _SPAN.fullmatch(text):
        try:
            return parse_utc(text)
        except ValueError as error:
            raise ConfigError(f"{option}: {error}, or a span such as 24h") from None
    try:
        return start_at + span(text, option)
    except OverflowError:
        raise ConfigError(f"{option} {text!r} ends after the year 9999; write 90m, 24h or 2d") from None


def names(text: str, option: str) -> tuple[str, ...]:
    """A comma-separated list, each name once.

    Raises:
        ConfigError: There is no name in it.
    """
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise ConfigError(f"{option} names nothing; write for example {option} DE,ES")
    return found


def numbers(text: str, option: str) -> tuple[float, ...]:
    """A comma-separated list of numbers.

    Raises:
        ConfigError: A part is none, or there is none.
    """
    try:
        return tuple(float(part) for part in names(text, option))
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no list of numbers; write for example {option} 1,2,4") from None


def above_zero(value: float, option: str) -> float:
    """The number itself, if it is finite and above zero.

    Raises:
        ConfigError: It is not.
    """
    if not 0 < value < math.inf:
        raise ConfigError(f"{option} must be a number above 0, got {value:g}")
    return value
