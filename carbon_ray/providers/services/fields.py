"""How fields of foreign payloads are read: numbers that may be text, instants in several spellings, always checked."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import ProviderResponseError

FIRST_AT, LAST_AT = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Instants outside are mistakes."""

MAX_GCO2_PER_KWH = 3000.0
"""No grid emits more; what is above was sent in another unit."""

T = TypeVar("T")


class Payload(BaseModel):
    """Part of a foreign answer: what is not read is ignored, so that services may add to it."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("is no number")
    try:
        number = float(value.strip().replace(",", "") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise ValueError("is no number") from None
    if not math.isfinite(number):
        raise ValueError("is not finite")
    return number


def plausible_at(instant: datetime) -> datetime:
    """The instant, if it lies in the years that carbon_ray has to do with.

    Raises:
        ValueError: It does not.
    """
    if not FIRST_AT <= instant < LAST_AT:
        raise ValueError("lies outside the years 1990 to 2099")
    return instant


def _stamp(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is no instant")
    return plausible_at(parse_utc(value))


def _utc_stamp(value: Any) -> datetime:
    """Without an offset it is UTC, because that was asked for."""
    if not isinstance(value, str):
        raise ValueError("is no instant")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no instant") from None
    return plausible_at(instant.replace(tzinfo=UTC)) if instant.tzinfo is None else _stamp(value)


def _epoch_s(value: Any) -> datetime:
    number = _number(value)
    if number is None:
        raise ValueError("is no instant")
    try:
        return plausible_at(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number))
    except OverflowError:
        raise ValueError("is no instant") from None


Number = Annotated[float | None, BeforeValidator(_number)]
"""int, float, text or null."""
Stamp = Annotated[datetime, BeforeValidator(_stamp)]
"""ISO 8601 with an offset; becomes UTC."""
UtcStamp = Annotated[datetime, BeforeValidator(_utc_stamp)]
"""ISO 8601; UTC where no offset is there."""
EpochStamp = Annotated[datetime, BeforeValidator(_epoch_s)]
"""Seconds since 1970."""


def read_payload(target: type[T], data: Any, *, provider: str, zone: str, excerpt: str = "") -> T:
    """The payload as a model.

    Args:
        target: A `Payload`, or a container of some.
        data: Parsed JSON.
        provider: Name for the error.
        zone: Grid zone for the error.
        excerpt: Redacted beginning of the body for the error.

    Raises:
        ProviderResponseError: It does not fit; says where.
    """
    try:
        return TypeAdapter(target).validate_python(data)
    except (ValidationError, RecursionError) as error:
        raise ProviderResponseError(provider, zone, f"sent what does not fit: {_first_problem(error)}", excerpt) from None


def _first_problem(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(str(part)[:40] for part in first['loc']) or 'the whole'}: {first['msg'][:120]}"
