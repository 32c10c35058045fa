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
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.base import HistoryProvider, require_window
from carbon_ray.providers.breaker import BreakerRule, Circuit
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.plausible import require_answer
from carbon_ray.providers.recent import LAGS, recent
from carbon_ray.providers.source_breaker import SourceBreaker, admit_zone, zone_answered, zone_failed, zone_refused

log = logging.getLogger(__name__)

_ANSWERED = (ProviderResponseError,)
"""Failures of one zone, by which the source shows that it is there."""

Ask = Callable[[HistoryProvider, int], tuple[IntensitySeries, int]]
"""A request to one source, given how late it was the last time; the answer, and how late it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One source of a chain.

    Attributes:
        name: As in the configuration.
        make: Makes the source when it is needed first.
        is_made_anew: Make it again after a failure, because what it reads (a file) may have been repaired.
    """

    name: str
    make: Callable[[], HistoryProvider]
    is_made_anew: bool = False


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
class _Memory:
    """What a chain remembers of one source."""

    provider: HistoryProvider | None = None
    breaker: SourceBreaker = field(default_factory=SourceBreaker)
    problem: str = ""
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
        self._links, self._kind, self._now = tuple(links), kind, now
        self._patience_s, self._rule = patience_s, breaker or BreakerRule()
        self._stale_after = timedelta(seconds=stale_after_s)
        self._memories = tuple(_Memory() for _ in links)
        self._serving: dict[str, str] = {}
        self._lock = threading.Lock()  # of the memories; never held while a source is asked

    @property
    def name(self) -> str:
        """The names of its sources, in order."""
        return ", else ".join(link.name for link in self._links)

    @property
    def kind(self) -> IntensityKind:
        """What all its sources count."""
        return self._kind

    def zones(self) -> tuple[str, ...]:
        """Zones of all sources that can be asked, sorted."""
        found: set[str] = set()
        for link, memory in zip(self._links, self._memories, strict=True):
            try:
                found |= set(self._made(link, memory).zones())
            except CarbonRayError as error:
                log.warning("zones of %s are not known: %s", link.name, error)
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
        return self._first(zone, lambda provider, rung: (self._asked(provider, zone, start_at, end_at), rung))

    def recent(self, zone: str, start_at: datetime, now: datetime) -> IntensitySeries:
        """As much of `[start_at, now)` as the first source that is to serve has, up to its newest value.

        Raises:
            As `history`.
        """
        require_window(start_at, now)

        def ask(provider: HistoryProvider, rung: int) -> tuple[IntensitySeries, int]:
            return recent(_Checked(provider, self._kind), zone, start_at, now, rung=rung, stale_after=self._stale_after)

        return self._first(zone, ask)

    def _asked(self, provider: HistoryProvider, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        return _Checked(provider, self._kind).history(zone, start_at, end_at)

    def health(self) -> tuple[SourceHealth, ...]:
        """How each source does, in order."""
        now = self._now()
        with self._lock:
            return tuple(
                SourceHealth(
                    name=link.name,
                    circuit=memory.breaker.whole.circuit(now),
                    failures=memory.breaker.whole.failures,
                    open_until_at=memory.breaker.whole.open_until_at,
                    problem=memory.problem,
                    zones=tuple(sorted(zone for zone, name in self._serving.items() if name == link.name)),
                    left_alone=memory.breaker.left_alone(now),
                )
                for link, memory in zip(self._links, self._memories, strict=True)
            )

    def _first(self, zone: str, ask: Ask) -> IntensitySeries:
        """The first answer by the rule; every failure on the way is remembered, and told if there is none."""
        problems: dict[str, CarbonRayError] = {}
        answered_at: list[datetime | None] = []
        unknown: UnknownZoneError | None = None
        for link, memory in zip(self._links, self._memories, strict=True):
            now = self._now()
            until_at = waits_until(answered_at, self._patience_s)
            if until_at is not None and now < until_at:
                raise _of_all(self.name, zone, problems, f"{link.name} stands in from {until_at:%Y-%m-%dT%H:%MZ} on")
            try:
                series = self._ask(link, memory, zone, ask)
            except UnknownZoneError as error:
                unknown = unknown or error
                continue
            except CarbonRayError as error:
                problems[link.name] = error
                answered_at.append(self._last_answer(memory, zone))
                continue
            with self._lock:
                self._serving[zone] = link.name
            return _standing_in(series, tuple(problems)) if problems else series
        if not problems:
            raise UnknownZoneError(zone, unknown.known if unknown is not None else ())
        raise _of_all(self.name, zone, problems)

    def _last_answer(self, memory: _Memory, zone: str) -> datetime | None:
        """By memory, else by what is stored on disk: patience outlasts a restart."""
        with self._lock:
            known, provider = memory.answered_at.get(zone), memory.provider
        if known is None and isinstance(provider, CachedProvider):
            known = provider.fetched_at(zone)
        return known

    def _ask(self, link: Link, memory: _Memory, zone: str, ask: Ask) -> IntensitySeries:
        """Ask one source, if its circuit allows.

        Raises:
            CarbonRayError: It fails, or is left alone.
        """
        with self._lock:
            memory.breaker, is_admitted = admit_zone(memory.breaker, zone, self._rule, self._now())
            rung = memory.rungs.get(zone, 0)
        if not is_admitted:
            until_at = memory.breaker.open_until_at(zone)
            shown = f"{until_at:%Y-%m-%dT%H:%M:%SZ}" if until_at is not None else "its probe has ended"
            raise ProviderUnavailable(link.name, zone, f"left alone until {shown} after {memory.problem or 'failures'}")
        try:
            series, rung = ask(self._made(link, memory), rung)
        except (UnknownZoneError, ProviderNoDataError) as error:  # the source answers; it only has nothing
            self._note_answer(link, memory, zone, str(error))
            raise
        except CarbonRayError as error:
            self._note_failure(link, memory, zone, error)
            raise
        except Exception as error:  # a source may be anybody's plug-in, and its faults must not become the cluster's
            log.exception("source %s failed unexpectedly", link.name)
            told = ProviderResponseError(link.name, zone, f"failed unexpectedly with {type(error).__name__}: {error}")
            self._note_failure(link, memory, zone, told)
            raise told from error
        with self._lock:
            memory.breaker, memory.problem = zone_answered(memory.breaker, zone), ""
            memory.answered_at[zone], memory.rungs[zone] = self._now(), rung
        return series

    def _made(self, link: Link, memory: _Memory) -> HistoryProvider:
        with self._lock:
            known = memory.provider
        if known is not None:
            return known
        made = link.make()
        if made.kind is not self._kind:
            raise ConfigError(f"the source {link.name} counts {made.kind}, not {self._kind}; kinds never stand in for each other")
        with self._lock:
            memory.provider = memory.provider or made
            return memory.provider

    def _note_answer(self, link: Link, memory: _Memory, zone: str, problem: str) -> None:
        with self._lock:
            memory.breaker, memory.problem = zone_answered(memory.breaker, zone), problem
            if link.is_made_anew:
                memory.provider = None

    def _note_failure(self, link: Link, memory: _Memory, zone: str, error: CarbonRayError) -> None:
        now = self._now()
        with self._lock:
            if isinstance(error, _ANSWERED):
                memory.breaker = zone_refused(memory.breaker, zone, self._rule, now)
            else:
                memory.breaker = zone_failed(memory.breaker, zone, self._rule, now)
            memory.problem = str(error)
            if link.is_made_anew:
                memory.provider = None


@dataclass(frozen=True, slots=True)
class _Checked:
    """A source whose answers are looked at before they count."""

    provider: HistoryProvider
    kind: IntensityKind

    @property
    def name(self) -> str:
        return self.provider.name

    def zones(self) -> tuple[str, ...]:
        return self.provider.zones()

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        answer = self.provider.history(zone, start_at, end_at)
        require_answer(answer, provider=self.name, kind=self.kind, zone=zone, start_at=start_at, end_at=end_at)
        return answer


def _standing_in(series: IntensitySeries, missing: tuple[str, ...]) -> IntensitySeries:
    """The series with what it stands in for in its provenance."""
    before = series.provenance
    words = f"in place of {', '.join(missing)}"
    return replace(series, provenance=replace(before, detail=f"{before.detail}; {words}" if before.detail else words))


def _of_all(name: str, zone: str, problems: Mapping[str, CarbonRayError], outlook: str = "") -> ProviderError:
    """One error of all that failed: no data where that is all that is wrong."""
    told = "; ".join([*map(str, problems.values()), *([outlook] if outlook else [])])
    is_empty = all(isinstance(error, ProviderNoDataError) for error in problems.values())
    return (ProviderNoDataError if is_empty else ProviderUnavailable)(name, zone, told)
