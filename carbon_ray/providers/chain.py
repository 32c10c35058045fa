"""Sources in a configured order: the first that answers serves, and the others stand in for it by a rule.

The rule, per zone: a source stands in when every source before it has failed and none of them has answered within the last
`patience_s`. Until then nothing is served, so that whoever asks keeps what it has. A source that answers again serves again at
once. All sources of a chain count the same kind of intensity; what counts another is refused, however bad the day.

A zone's history comes from one source at a time, never spliced, and what a stand-in served says so in its provenance.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbon_ray.core.errors import (
    CarbonRayError,
    ConfigError,
    ProviderError,
    ProviderNoDataError,
    ProviderResponseError,
    ProviderUnavailable,
    UnknownZoneError,
)
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.base import ForecastProvider, HistoryProvider, MixProvider, require_window
from carbon_ray.providers.breaker import BreakerRule, Circuit
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.guarded import GuardedSource
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.recent import LAGS, recent

log = logging.getLogger(__name__)

Ask = Callable[[HistoryProvider, int], tuple[IntensitySeries, int]]
"""A request to one source, given how late it was the last time; the answer, and how late it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One source of a chain.

    Attributes:
        name: As in the configuration.
        make: Makes the source when it is needed first.
        is_made_anew: Make it again after a failure, because what it reads (a file) may have been repaired.
        keep: Puts a cache before it; None for none. What is kept is served also while the source is left alone.
    """

    name: str
    make: Callable[[], HistoryProvider]
    is_made_anew: bool = False
    keep: Callable[[HistoryProvider], CachedProvider] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """How one source of a chain does.

    Attributes:
        name: As in the configuration.
        circuit: Whether it is asked.
        failures: Failures in a row.
        open_until_at: Until when it is left alone; None while it is asked.
        problem: Of its last failure; empty after a success.
        zones: Zones that it serves now.
        left_alone: Zones that it is not asked for, because of failures of theirs alone.
    """

    name: str
    circuit: Circuit
    failures: int
    open_until_at: datetime | None
    problem: str
    zones: tuple[str, ...]
    left_alone: tuple[str, ...] = ()


@dataclass(slots=True)
class _Member:
    """A link at work, and what is remembered of it."""

    link: Link
    guard: GuardedSource
    source: HistoryProvider
    answered_at: dict[str, datetime] = field(default_factory=dict)
    rungs: dict[str, int] = field(default_factory=dict)


def waits_until(answered_at: Sequence[datetime | None], patience_s: float) -> datetime | None:
    """Until when a stand-in waits for the sources before it.

    Args:
        answered_at: When each of them last answered for the zone; None for never.
        patience_s: Seconds since the last answer.

    Returns:
        None where none of them ever answered.
    """
    known = [instant for instant in answered_at if instant is not None]
    return max(known) + timedelta(seconds=patience_s) if known else None


class ProviderChain:
    """A HistoryProvider made of several; lives in one process and is not pickled.

    Args:
        links: In the order in which they serve; at least one.
        kind: What all of them count.
        now: The present of the sources.
        patience_s: Seconds of failure after which the next source stands in.
        breaker: When a failing source is left alone.
        stale_after_s: A source whose newest value is older than this has none.
    """

    def __init__(
        self,
        links: Sequence[Link],
        *,
        kind: IntensityKind,
        now: Callable[[], datetime],
        patience_s: float = 3 * 3600.0,
        breaker: BreakerRule | None = None,
        stale_after_s: float = LAGS[-1].total_seconds(),
    ) -> None:
        if not links:
            raise ConfigError("a chain of sources needs at least one")
        self._kind, self._now, self._patience_s = kind, now, patience_s
        self._stale_after = timedelta(seconds=stale_after_s)
        self._members = tuple(self._member(link, breaker or BreakerRule()) for link in links)
        self._serving: dict[str, str] = {}
        self._lock = threading.Lock()  # of what is remembered; never held while a source is asked

    def _member(self, link: Link, rule: BreakerRule) -> _Member:
        guard = GuardedSource(link.name, link.make, kind=self._kind, rule=rule, now=self._now, is_made_anew=link.is_made_anew)
        return _Member(link=link, guard=guard, source=guard if link.keep is None else link.keep(guard))

    @property
    def name(self) -> str:
        """The names of its sources, in order."""
        return ", else ".join(member.link.name for member in self._members)

    @property
    def kind(self) -> IntensityKind:
        """What all its sources count."""
        return self._kind

    def zones(self) -> tuple[str, ...]:
        """Zones of all sources that can be asked, sorted."""
        found: set[str] = set()
        for member in self._members:
            try:
                found |= set(member.guard.zones())
            except CarbonRayError as error:
                log.warning("zones of %s are not known: %s", member.link.name, error)
        return tuple(sorted(found))

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that intersect `[start_at, end_at)`, from the first source that is to serve.

        Raises:
            UnknownZoneError: No source knows the zone.
            ProviderNoDataError: The sources that may serve have nothing of that window.
            ProviderUnavailable: No source that may serve answers; says what is wrong with each.
            ValueError: The window is empty or not in UTC.
        """
        require_window(start_at, end_at)
        return self._first(zone, lambda source, rung: (source.history(zone, start_at, end_at), rung))

    def recent(self, zone: str, start_at: datetime, now: datetime) -> IntensitySeries:
        """As much of `[start_at, now)` as the first source that is to serve has, up to its newest value.

        Raises:
            As `history`.
        """
        require_window(start_at, now)

        def ask(source: HistoryProvider, rung: int) -> tuple[IntensitySeries, int]:
            return recent(source, zone, start_at, now, rung=rung, stale_after=self._stale_after)

        return self._first(zone, ask)

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation from the source that serves the zone now, and from no other: only its own mix goes with its history.

        Returns:
            None where it has or tells none, or where no source has served yet.

        Raises:
            ProviderError: It does not answer.
        """
        source = self._serves(zone)
        return source.mix(zone, start_at, end_at) if isinstance(source, MixProvider) else None

    def forecast(self, zone: str, horizon_s: float) -> Forecast | None:
        """The forecast that the source which serves the zone now has issued itself.

        Returns:
            None where it issues none, or where no source has served yet.

        Raises:
            ProviderError: It does not answer.
        """
        source = self._serves(zone)
        return source.forecast(zone, horizon_s) if isinstance(source, ForecastProvider) else None

    def _serves(self, zone: str) -> HistoryProvider | None:
        with self._lock:
            name = self._serving.get(zone)
        return next((member.source for member in self._members if member.link.name == name), None)

    def health(self) -> tuple[SourceHealth, ...]:
        """How each source does, in order."""
        now = self._now()
        with self._lock:
            serving = dict(self._serving)
        return tuple(
            SourceHealth(
                name=member.link.name,
                circuit=(breaker := member.guard.breaker).whole.circuit(now),
                failures=breaker.whole.failures,
                open_until_at=breaker.whole.open_until_at,
                problem=member.guard.problem,
                zones=tuple(sorted(zone for zone, name in serving.items() if name == member.link.name)),
                left_alone=breaker.left_alone(now),
            )
            for member in self._members
        )

    def _first(self, zone: str, ask: Ask) -> IntensitySeries:
        """The first answer by the rule; every failure on the way is remembered, and told if there is none."""
        problems: dict[str, CarbonRayError] = {}
        answered_at: list[datetime | None] = []
        unknown: UnknownZoneError | None = None
        for member in self._members:
            name, now = member.link.name, self._now()
            until_at = waits_until(answered_at, self._patience_s)
            if until_at is not None and now < until_at:
                raise _of_all(self.name, zone, problems, f"{name} stands in from {until_at:%Y-%m-%dT%H:%MZ} on")
            try:
                series = self._ask(member, zone, ask)
            except UnknownZoneError as error:
                unknown = unknown or error
                continue
            except CarbonRayError as error:
                problems[name] = error
                answered_at.append(self._last_answer(member, zone))
                continue
            with self._lock:
                self._serving[zone] = name
            return _standing_in(series, tuple(problems)) if problems else series
        if not problems:
            raise UnknownZoneError(zone, unknown.known if unknown is not None else ())
        raise _of_all(self.name, zone, problems)

    def _last_answer(self, member: _Member, zone: str) -> datetime | None:
        """By memory, else by what is stored on disk: patience outlasts a restart."""
        with self._lock:
            known = member.answered_at.get(zone)
        return member.source.fetched_at(zone) if known is None and isinstance(member.source, CachedProvider) else known

    def _ask(self, member: _Member, zone: str, ask: Ask) -> IntensitySeries:
        """Ask one source. What a cache serves without it is no answer of the source.

        Raises:
            CarbonRayError: It fails, or is left alone.
        """
        before = member.guard.answers(zone)
        with self._lock:
            rung = member.rungs.get(zone, 0)
        try:
            series, rung = ask(member.source, rung)
        except ProviderResponseError as error:
            if member.guard.answers(zone) != before:  # refused by the cache, which knows what the source said before
                member.guard.refuse(zone, error)
            raise
        with self._lock:
            member.rungs[zone] = rung
            if member.guard.answers(zone) != before:
                member.answered_at[zone] = self._now()
        return series


def _standing_in(series: IntensitySeries, missing: tuple[str, ...]) -> IntensitySeries:
    """The series with what it stands in for in its provenance."""
    before = series.provenance
    words = f"in place of {', '.join(missing)}"
    return replace(series, provenance=replace(before, detail=f"{before.detail}; {words}" if before.detail else words))


def _of_all(name: str, zone: str, problems: Mapping[str, CarbonRayError], outlook: str = "") -> ProviderError:
    """One error of all that failed: the only one as it is, and no data where that is all that is wrong."""
    only = next(iter(problems.values()))
    if len(problems) == 1 and not outlook and isinstance(only, ProviderError):
        return only
    told = "; ".join([*map(str, problems.values()), *([outlook] if outlook else [])])
    is_empty = all(isinstance(error, ProviderNoDataError) for error in problems.values())
    return (ProviderNoDataError if is_empty else ProviderUnavailable)(name, zone, told)
