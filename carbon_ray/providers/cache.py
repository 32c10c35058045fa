"""A source that is asked once: history from disk where it is there, from the source where it is not or may have been revised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import ProviderError, ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.providers.base import ForecastProvider, HistoryProvider, MixProvider, require_window
from carbon_ray.providers.beside_store import BesideStore
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.mix import GenerationMix
from carbon_ray.providers.pieces import FetchRule, Piece, joined, span_to_ask
from carbon_ray.providers.plausible import is_another_series, require_answer

log = logging.getLogger(__name__)

DOUBT_S = 6 * 3600.0
"""Seconds for which a source must go on contradicting what it said before, until it is believed: long for a fault, short for a
change of method."""


class CachedProvider:
    """History of another provider, kept on disk, and beside it what the provider tells of generation and of the future.

    Answers are checked before they are kept. One that contradicts most of what the source said before is refused, until the source
    has insisted on it for `doubt_s`; then all that is stored of the zone is dropped.

    Args:
        provider: The source.
        store: Where its history is kept.
        rule: When it is asked again.
        now: The present; a ManualClock's in tests.
        doubt_s: See above.
    """

    def __init__(
        self,
        provider: HistoryProvider,
        store: HistoryStore,
        rule: FetchRule,
        *,
        now: Callable[[], datetime] = wall_now,
        doubt_s: float = DOUBT_S,
    ) -> None:
        self._provider, self._store, self._rule, self._now = provider, store, rule, now
        self._doubt = timedelta(seconds=doubt_s)
        self._doubted_since: dict[str, datetime] = {}
        self._beside = BesideStore(store.folder, provider.kind)

    @property
    def name(self) -> str:
        """Name of the source."""
        return self._provider.name

    @property
    def kind(self) -> IntensityKind:
        """What the source counts."""
        return self._provider.kind

    def zones(self) -> tuple[str, ...]:
        """The zones of the source."""
        return self._provider.zones()

    def fetched_at(self, zone: str) -> datetime | None:
        """When the source last answered for a zone, by what is stored; None where it never did."""
        return max((one.fetched_at for one in self._store.read(zone)), default=None)

    def history(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """The intervals that intersect `[start_at, end_at)`; only what is missing or provisional is asked of the source.

        Where the source fails and all of the window is stored, what is stored is served.

        Raises:
            ProviderResponseError: The answer is not what was asked for, cannot be true, or contradicts what the source said before.
            ProviderError: As raised by the source, where something is missing.
            UnknownZoneError: As raised by the source.
            ValueError: The window is empty or not in UTC.
        """
        require_window(start_at, end_at)
        pieces = self._store.read(zone)
        span = span_to_ask(pieces, start_at, end_at, now=self._now(), rule=self._rule)
        if span is None:
            return self._served(pieces, zone, start_at, end_at)
        try:
            pieces = self._fetch(pieces, zone, *span)
            if joined(pieces, start_at, end_at) is None:  # its grid of intervals is another one now, so all is asked for
                pieces = self._fetch((), zone, start_at, end_at)
        except ProviderError as error:
            stored = joined(pieces, start_at, end_at)
            if stored is None or self._was_cut_short(pieces, end_at):
                raise
            log.info("%s is served as it is stored: %s", zone, error)
            return stored
        return self._served(pieces, zone, start_at, end_at)

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Hourly generation in the whole hours of `[start_at, end_at)`, kept as history is; None where the source has or tells none.

        Raises:
            ProviderError: As raised by the source, where nothing of the window is kept.
            ValueError: The window is empty or not in UTC.
        """
        source = self._provider
        if not isinstance(source, MixProvider):
            return None
        return self._beside.mix(zone, start_at, end_at, ask=lambda one, two: source.mix(zone, one, two), now=self._now(), rule=self._rule)

    def forecast(self, zone: str, horizon_s: float) -> Forecast | None:
        """The newest forecast, asked for again as provisional history is; where the source fails the last one, until it is over.

        None where the source issues none.

        Raises:
            ProviderError: As raised by the source, where no forecast of the present is kept.
        """
        source = self._provider
        if not isinstance(source, ForecastProvider):
            return None
        return self._beside.forecast(
            zone, horizon_s, ask=lambda: source.forecast(zone, horizon_s), now=self._now(), recheck_s=self._rule.recheck_s
        )

    def _was_cut_short(self, pieces: tuple[Piece, ...], end_at: datetime) -> bool:
        """True if an interval that has ended since was under way when it was fetched: what is stored of it is not its value."""
        ended_at = min(end_at, self._now())
        return any(one.series.start_at < ended_at and one.ended_by(one.fetched_at) < one.ended_by(ended_at) for one in pieces)

    def _served(self, pieces: tuple[Piece, ...], zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        series = joined(pieces, start_at, end_at)
        if series is None:
            raise ProviderResponseError(self.name, zone, "changes its grid of intervals from answer to answer")
        return series

    def _fetch(self, pieces: tuple[Piece, ...], zone: str, start_at: datetime, end_at: datetime) -> tuple[Piece, ...]:
        answer = self._provider.history(zone, start_at, end_at)
        now = self._now()
        require_answer(answer, provider=self.name, kind=self.kind, zone=zone, start_at=start_at, end_at=end_at)
        if self._is_doubtful(pieces, answer):
            since_at = self._doubted_since.setdefault(zone, now)
            if now - since_at < self._doubt:
                raise ProviderResponseError(
                    self.name,
                    zone,
                    f"contradicts most of what it said before, since {since_at:%Y-%m-%dT%H:%MZ}; it is believed from "
                    f"{since_at + self._doubt:%Y-%m-%dT%H:%MZ} on, if it stays with that",
                )
            log.warning("%s, zone %s: history is another one than before, and is fetched anew", self.name, zone)
            self._store.forget(zone)
        self._doubted_since.pop(zone, None)
        return self._store.add(zone, Piece(series=answer, fetched_at=now), self._rule)

    def _is_doubtful(self, pieces: tuple[Piece, ...], answer: IntensitySeries) -> bool:
        overlap = (one for one in pieces if one.series.end_at > answer.start_at and one.series.start_at < answer.end_at)
        judged = [one for one in overlap if one.series.step_s == answer.step_s]
        if not judged:
            return False
        known = joined(judged, max(judged[0].series.start_at, answer.start_at), min(judged[-1].series.end_at, answer.end_at))
        return known is not None and is_another_series(known, answer)
