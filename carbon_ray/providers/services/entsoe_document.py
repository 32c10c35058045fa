"""ENTSO-E's market documents: XML to rows of generation. Names are matched without their namespace, whose version changes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import ProviderResponseError
from carbon_ray.providers.services.fields import plausible_at

Generation = tuple[str, datetime, datetime, float | None]
"""Fuel code, start, end, mean power in MW or None for a gap."""

_RESOLUTION = re.compile(r"PT(\d{1,4})M|PT(\d{1,2})H|P1D")
_MAX_ROWS = 2_000_000
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A document that brings no data but a reason."""

    text: str


@dataclass(frozen=True, slots=True)
class Generated:
    """What a document says of generation."""

    created_at: datetime | None
    generation: list[Generation]


class _NoDoctype(ET.TreeBuilder):
    """Refuses declarations of entities, which can blow a small document up."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ValueError("it declares a document type")


def read_document(body: bytes, *, provider: str, zone: str, excerpt: str) -> Acknowledged | Generated:
    """What a document says.

    A position that is missing repeats the one before where the curve is of type A03, to the end of the period; elsewhere it is
    a gap. A series with `outBiddingZone_Domain.mRID` is consumption, and one without a fuel is load: neither is generation.

    Args:
        body: The document.
        provider: Name for the error.
        zone: Grid zone for the error.
        excerpt: Redacted beginning for the error.

    Raises:
        ProviderResponseError: It is not well-formed, or breaks the form of such documents.
    """
    try:
        root = ET.fromstring(body, parser=ET.XMLParser(target=_NoDoctype()))
        name = _local(root)
        if name == "Acknowledgement_MarketDocument":
            return Acknowledged(" ".join(_text(one, "text") or "" for one in _children(root, "Reason")).strip())
        if name != "GL_MarketDocument":
            raise ValueError(f"it is a {name[:60]}")
        created = _text(root, "createdDateTime")
        rows: list[Generation] = []
        for series in _children(root, "TimeSeries"):
            rows += _generation(series, _MAX_ROWS - len(rows))
        return Generated(plausible_at(parse_utc(created)) if created else None, rows)
    except (ET.ParseError, ValueError, LookupError, OverflowError, RecursionError) as error:
        raise ProviderResponseError(provider, zone, f"sent a document that cannot be read: {str(error)[:120]}", excerpt) from None


def _generation(series: ET.Element, limit: int) -> list[Generation]:
    code = next((text for part in _children(series, "MktPSRType") if (text := _text(part, "psrType"))), None)
    if code is None or _text(series, "outBiddingZone_Domain.mRID") is not None:
        return []
    if (unit := _text(series, "quantity_Measure_Unit.name")) not in (None, "MAW"):
        raise ValueError(f"its unit is {unit}, not MAW")
    is_repeating = _text(series, "curveType") == "A03"
    rows: list[Generation] = []
    for period in _children(series, "Period"):
        rows += _period(period, code, is_repeating, limit - len(rows))
    return rows


def _period(period: ET.Element, code: str, is_repeating: bool, limit: int) -> list[Generation]:
    (interval,) = _children(period, "timeInterval")
    start_at, end_at = (plausible_at(parse_utc(_text(interval, name) or "")) for name in ("start", "end"))
    step = _step(_text(period, "resolution") or "")
    count, rest = divmod(end_at - start_at, step)
    if rest or not 0 < count <= limit:
        raise ValueError(
            f"its period from {start_at:%Y-%m-%dT%H:%MZ} to {end_at:%Y-%m-%dT%H:%MZ} does not hold whole steps of {step}, or too many"
        )
    values: list[float | None] = [None] * count
    for point in _children(period, "Point"):
        position = int(_text(point, "position") or "")
        if not 1 <= position <= count:
            raise ValueError(f"position {position} lies outside its period of {count}")
        values[position - 1] = _quantity(_text(point, "quantity"))
    if is_repeating:
        for index in range(1, count):
            values[index] = values[index - 1] if values[index] is None else values[index]
    return [(code, start_at + index * step, start_at + (index + 1) * step, value) for index, value in enumerate(values)]


def _step(text: str) -> timedelta:
    match = _RESOLUTION.fullmatch(text)
    if match is None:
        raise ValueError(f"its resolution {text[:20]!r} is not known")
    minutes, hours = match.groups()
    step = timedelta(minutes=int(minutes)) if minutes else timedelta(hours=int(hours)) if hours else timedelta(days=1)
    if not step:
        raise ValueError("its resolution is nothing")
    return step


def _quantity(text: str | None) -> float | None:
    if not text:
        return None
    plain = text.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"quantity {text[:20]!r} is no number")
    return float(plain)


def _local(element: ET.Element) -> str:
    tag: Any = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _children(element: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in element if _local(child) == name]


def _text(element: ET.Element, name: str) -> str | None:
    for child in _children(element, name):
        return (child.text or "").strip()
    return None
