"""What was fetched of one zone and when: pieces of history that replace each other, and the window that is still to be asked for.

Pure: no file, no clock. Values of the last days are provisional, because sources revise them; older ones are asked for once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.intensity import IntensitySeries, Provenance

_DETAILS = 3
"""Distinct details of provenance that are written out where a series is put together of more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRule:
    """When what was fetched is asked for again.

    Attributes:
        settle_s: Seconds after the end of an interval from which on a fetched value counts as final.
        recheck_s: Seconds for which a provisional value is served without asking again.
    """

    settle_s: float = 48 * 3600.0
    recheck_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive intervals that came by one answer, or by several of the same provenance.

    Attributes:
        series: The values, with their provenance.
        fetched_at: When the source answered; the newest answer where there were several. Aware UTC.
    """

    series: IntensitySeries
    fetched_at: datetime

    def __post_init__(self) -> None:
        require_utc(self.fetched_at, "fetched_at")

    def cut(self, start_at: datetime, end_at: datetime) -> Piece | None:
        """The part in `[start_at, end_at)`, whose ends are on the grid where they lie inside; None where there is none."""
        first, last = max(start_at, self.series.start_at), min(end_at, self.series.end_at)
        return replace(self, series=self.series.window(first, last)) if first < last else None

    def ended_by(self, instant: datetime) -> datetime:
        """End of the last of its intervals that ended by `instant`; its start where none did."""
        step = timedelta(seconds=self.series.step_s)
        count = min(max(0, (instant - self.series.start_at) // step), len(self.series))
        return self.series.start_at + count * step

    def good_until(self, now: datetime, rule: FetchRule) -> datetime:
        """End of its first intervals that need not be asked for again."""
        settled_at = self.ended_by(self.fetched_at - timedelta(seconds=rule.settle_s))
        if now - self.fetched_at >= timedelta(seconds=rule.recheck_s):
            return settled_at
        was_under_way = self.ended_by(self.fetched_at)  # an interval that ran then and has ended now has another value
        return self.series.end_at if was_under_way == self.ended_by(now) else was_under_way


def _fits(one: Piece, other: Piece) -> bool:
    """True if both lie on one grid of intervals."""
    a, b = one.series, other.series
    return (a.step_s, a.kind, a.zone) == (b.step_s, b.kind, b.zone) and not (a.start_at - b.start_at) % timedelta(seconds=a.step_s)


def _laid_over(pieces: Sequence[Piece], new: Piece) -> list[Piece]:
    kept = [
        part
        for one in pieces
        if _fits(one, new)
        for part in (one.cut(one.series.start_at, new.series.start_at), one.cut(new.series.end_at, one.series.end_at))
        if part is not None
    ]
    return sorted([*kept, new], key=lambda one: one.series.start_at)


def with_piece(pieces: Sequence[Piece], new: Piece, rule: FetchRule) -> tuple[Piece, ...]:
    """The pieces with one more: where two cover the same interval, the one that was fetched later wins, also if it comes first.

    A piece on another grid of intervals (a source that changed from hours to quarters) replaces all older ones.

    Args:
        pieces: Disjoint, in order of time.
        new: What was fetched.
        rule: Says which values are final; final neighbours of one provenance become one piece.

    Returns:
        Disjoint pieces in order of time.
    """
    later = [one for one in pieces if one.fetched_at > new.fetched_at]
    found = [one for one in pieces if one.fetched_at <= new.fetched_at]
    for one in (new, *later):
        found = _laid_over(found, one)
    return tuple(_merged(found, rule))


def _merged(pieces: Sequence[Piece], rule: FetchRule) -> list[Piece]:
    out: list[Piece] = []
    for one in pieces:
        before = out[-1] if out else None
        if before is not None and _is_final(before, rule) and _is_final(one, rule) and _continues(before, one):
            values = np.concatenate([before.series.values_gco2_per_kwh, one.series.values_gco2_per_kwh])
            series = replace(before.series, values_gco2_per_kwh=values)
            out[-1] = Piece(series=series, fetched_at=max(before.fetched_at, one.fetched_at))
        else:
            out.append(one)
    return out


def _is_final(one: Piece, rule: FetchRule) -> bool:
    return one.series.end_at + timedelta(seconds=rule.settle_s) <= one.fetched_at


def _continues(before: Piece, one: Piece) -> bool:
    return before.series.end_at == one.series.start_at and before.series.provenance == one.series.provenance


def span_to_ask(
    pieces: Sequence[Piece], start_at: datetime, end_at: datetime, *, now: datetime, rule: FetchRule
) -> tuple[datetime, datetime] | None:
    """The part of `[start_at, end_at)` that must be asked for, as one span; None where the pieces have all of it."""
    missing: list[tuple[datetime, datetime]] = []
    at = start_at
    for one in pieces:
        good_until = one.good_until(now, rule)
        if good_until <= at or one.series.start_at >= end_at:
            continue
        if one.series.start_at > at:
            missing.append((at, one.series.start_at))
        at = good_until
    if at < end_at:
        missing.append((at, end_at))
    return (missing[0][0], missing[-1][1]) if missing else None


def joined(pieces: Sequence[Piece], start_at: datetime, end_at: datetime) -> IntensitySeries | None:
    """The intervals that intersect `[start_at, end_at)` as one series; None where the pieces lack one of them.

    Its provenance is that of the newest piece in it; where details differ, the first few are written out.
    """
    found = [one for one in pieces if one.series.end_at > start_at and one.series.start_at < end_at]
    if not found or found[0].series.start_at > start_at or found[-1].series.end_at < end_at:
        return None
    if any(one.series.end_at != other.series.start_at for one, other in pairwise(found)):
        return None
    first = found[0].series
    whole = replace(
        first,
        values_gco2_per_kwh=np.concatenate([one.series.values_gco2_per_kwh for one in found]),
        provenance=_common([one.series.provenance for one in sorted(found, key=lambda one: one.fetched_at)]),
    )
    step = timedelta(seconds=first.step_s)
    left = (start_at - whole.start_at) // step
    right = -((whole.start_at - end_at) // step)
    return whole.window(whole.start_at + left * step, whole.start_at + right * step)


def _common(provenances: Sequence[Provenance]) -> Provenance:
    newest = provenances[-1]
    details = list(dict.fromkeys(one.detail for one in reversed(provenances) if one.detail))
    if len(details) > 1:
        more = f" and {len(details) - _DETAILS} more" if len(details) > _DETAILS else ""
        newest = replace(newest, detail="; ".join(details[:_DETAILS]) + more)
    return replace(newest, is_embedded=any(one.is_embedded for one in provenances))
