"""One source under guard: made when it is needed, asked only while its circuit allows, and believed only after a look at its answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from carbon_ray.core.errors import (
    CarbonRayError,
    ConfigError,
    ProviderAccessError,
    ProviderNoDataError,
    ProviderQuotaError,
    ProviderRequestError,
    ProviderResponseError,
    ProviderUnavailable,
    UnknownZoneError,
)
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.base import ForecastProvider, HistoryProvider, MixProvider, capabilities_of
from carbon_ray.providers.breaker import CLOSED, Breaker, BreakerRule, Circuit, admit, failed
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.plausible import require_answer, require_forecast
from carbon_ray.providers.source_breaker import SourceBreaker, admit_zone, zone_answered, zone_failed, zone_refused

log = logging.getLogger(__name__)

T = TypeVar("T")

_ANSWERED = (ProviderResponseError, ProviderAccessError, ProviderRequestError)
"""Failures of one zone, by which the source shows that it is there."""


class GuardedSource:
    """A HistoryProvider around another one; may be used by several threads. Lives in one process and is not pickled.

    Args:
        name: As in the configuration.
        make: Makes the source when it is needed first.
        kind: What it must count.
        rule: When it is left alone.
        now: The present.
        is_made_anew: Make it again after a failure, because what it reads (a file) may have been repaired.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], HistoryProvider],
        *,
        kind: IntensityKind,
        rule: BreakerRule,
        now: Callable[[], datetime],
        is_made_anew: bool = False,
    ) -> None:
        self._name, self._make, self._kind, self._rule, self._now = name, make, kind, rule, now
        self._is_made_anew = is_made_anew
        self._provider: HistoryProvider | None = None
        self._breaker = SourceBreaker()
        self._problem = ""
        self._answers: dict[str, int] = {}
        self._breakers_aside: dict[tuple[str, str], Breaker] = {}  # of what is asked beside history, by what it is and zone
        self._breaker_before: dict[str, Breaker] = {}  # of zones whose last answer may still be refused
        self._lock = threading.Lock()  # of what is remembered; never held while the source is asked

    @property
    def name(self) -> str:
        """As in the configuration."""
        return self._name

    @property
    def kind(self) -> IntensityKind:
        """What the source must count."""
        return self._kind

    @property
    def breaker(self) -> SourceBreaker:
        """What is remembered of its failures."""
        return self._breaker

    @property
    def problem(self) -> str:
        """Of its last failure; empty after a success."""
        return self._problem

    def answers(self, zone: str) -> int:
        """How often the source has answered for the zone with something of use."""
        with self._lock:
            return self._answers.get(zone, 0)

    def zones(self) -> tuple[str, ...]:
        """The zones of the source."""
        return self._made().zones()

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that intersect `[start_at, end_at)`.

        Raises:
            ProviderUnavailable: It is left alone now.
            ProviderResponseError: Its answer is of no use, or it failed in a way that nobody declared.
            ConfigError: It cannot be made, or counts another kind.
            ProviderError: As raised by the source.
            UnknownZoneError: As raised by the source.
        """

        def ask() -> IntensitySeries:
            answer = self._made().history(zone, start_at, end_at)
            require_answer(answer, provider=self._name, kind=self._kind, zone=zone, start_at=start_at, end_at=end_at)
            return answer

        answer = self._guarded(zone, ask)
        with self._lock:
            self._breaker_before[zone] = self._breaker.zones.get(zone, CLOSED)
            self._breaker, self._problem = zone_answered(self._breaker, zone), ""
            self._answers[zone] = self._answers.get(zone, 0) + 1
        return answer

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation in the intervals that intersect `[start_at, end_at)`; None where it has nothing, or does not tell generation.

        Raises:
            As `history`.
        """
        source = self._made()
        if not isinstance(source, MixProvider) or not capabilities_of(source).mix:
            return None
        return self._aside("mix", zone, lambda: source.mix(zone, start_at, end_at))

    def forecast(self, zone: str, horizon_s: float) -> Forecast | None:
        """The newest forecast that it has issued; None where it issues none.

        Raises:
            As `history`.
        """
        source = self._made()
        if not isinstance(source, ForecastProvider) or not capabilities_of(source).forecast:
            return None

        def ask() -> Forecast:
            answer = source.forecast(zone, horizon_s)
            require_forecast(answer, provider=self._name, kind=self._kind, zone=zone, now=self._now())
            return answer

        return self._aside("forecast", zone, ask)

    def _guarded(self, zone: str, ask: Callable[[], T]) -> T:
        """Ask for a zone, if it may be asked; a failure is noted, a success is the caller's to note."""
        with self._lock:
            self._breaker, is_admitted = admit_zone(self._breaker, zone, self._rule, self._now())
        if not is_admitted:
            raise self._left_alone(zone, self._breaker.open_until_at(zone))
        try:
            return self._declared(zone, ask)
        except (UnknownZoneError, ProviderNoDataError) as error:  # the source answers; it only has nothing
            self._note(zone_answered(self._breaker, zone), str(error))
            raise
        except CarbonRayError as error:
            self._note_failure(zone, error)
            raise

    def _aside(self, what: str, zone: str, ask: Callable[[], T]) -> T:
        """Ask for what a forecast can do without: its failures are counted apart, so that they never cost the history."""
        now, key = self._now(), (what, zone)
        with self._lock:
            self._breakers_aside[key], is_admitted = admit(self._breakers_aside.get(key, CLOSED), self._rule, now)
        if not is_admitted or self._breaker.whole.circuit(now) is Circuit.OPEN:
            raise self._left_alone(zone, self._breakers_aside[key].open_until_at or self._breaker.whole.open_until_at)
        try:
            answer = self._declared(zone, ask)
        except (UnknownZoneError, ProviderNoDataError):
            self._breakers_aside[key] = CLOSED
            raise
        except CarbonRayError as error:
            retry_at = error.retry_at if isinstance(error, ProviderQuotaError) else None
            self._breakers_aside[key] = failed(self._breakers_aside[key], self._rule, self._now(), not_before_at=retry_at)
            raise
        self._breakers_aside[key] = CLOSED
        return answer

    def _left_alone(self, zone: str, until_at: datetime | None) -> ProviderUnavailable:
        shown = f"{until_at:%Y-%m-%dT%H:%M:%SZ}" if until_at is not None else "its probe has ended"
        return ProviderUnavailable(self._name, zone, f"left alone until {shown} after {self._problem or 'failures'}")

    def _declared(self, zone: str, ask: Callable[[], T]) -> T:
        """Ask; what nobody declared becomes an error of the source, which may be anybody's plug-in."""
        try:
            return ask()
        except CarbonRayError:
            raise
        except Exception as error:
            log.exception("source %s failed unexpectedly", self._name)
            raise ProviderResponseError(self._name, zone, f"failed unexpectedly with {type(error).__name__}: {error}") from error

    def refuse(self, zone: str, error: ProviderResponseError) -> None:
        """Count the last answer as a failure after all, because of what somebody else knows."""
        with self._lock:
            before = self._breaker_before.get(zone, CLOSED)
            self._breaker = replace(self._breaker, zones={**self._breaker.zones, zone: before})
        self._note_failure(zone, error)

    def _note_failure(self, zone: str, error: CarbonRayError) -> None:
        now = self._now()
        if isinstance(error, _ANSWERED):
            self._note(zone_refused(self._breaker, zone, self._rule, now), str(error))
        else:
            retry_at = error.retry_at if isinstance(error, ProviderQuotaError) else None
            self._note(zone_failed(self._breaker, zone, self._rule, now, not_before_at=retry_at), str(error))

    def _note(self, breaker: SourceBreaker, problem: str) -> None:
        with self._lock:
            self._breaker, self._problem = breaker, problem
            if self._is_made_anew:
                self._provider = None

    def _made(self) -> HistoryProvider:
        with self._lock:
            known = self._provider
        if known is not None:
            return known
        made = self._make()
        if made.kind is not self._kind:
            raise ConfigError(f"the source {self._name} counts {made.kind}, not {self._kind}; kinds never stand in for each other")
        with self._lock:
            self._provider = self._provider or made
            return self._provider
