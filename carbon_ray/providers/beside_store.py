"""What else is kept on disk of a source, beside its history: generation by fuel as hourly means, and its newest forecasts.

Generation is asked for once, and again while it may be revised, as history is. A forecast is asked for again after a while; where the
source does not answer, the last one serves as long as it reaches into the future, with the instant at which it was issued.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ProviderError, ProviderResponseError
from carbon_ray.core.forecast import Forecast
from carbon_ray.core.intensity import FloatArray, IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import require_window
from carbon_ray.providers.checked_file import CheckedFile
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.pieces import FetchRule

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
K = TypeVar("K")
_DECIMALS = 1
"""Power is kept to a tenth of a megawatt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptMix:
    """Hourly generation of one zone, and when each hour was asked for.

    Attributes:
        mix: Hourly; NaN in every fuel for a gap.
        asked_at_s: Seconds since 1970 of the last answer for each hour, also where it had nothing; NaN for never. Shape (hours,).
    """

    mix: GenerationMix
    asked_at_s: FloatArray = field(repr=False)

    def __post_init__(self) -> None:
        if self.mix.step_s != S_PER_H or len(self.asked_at_s) != len(self.mix):
            raise ValueError(f"zone {self.mix.zone}: kept generation is hourly, with an instant for each hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptForecast:
    """The newest forecast of one zone.

    Attributes:
        forecast: As issued.
        horizon_s: Seconds that were asked for.
        fetched_at: When it was fetched, aware UTC.
    """

    forecast: Forecast
    horizon_s: float
    fetched_at: datetime

    def __post_init__(self) -> None:
        require_utc(self.fetched_at, "fetched_at")


def hourly(mix: GenerationMix) -> GenerationMix | None:
    """Means over whole hours; an hour of which a part is missing is a gap. None where there is no whole hour, or no step that fits."""
    per_hour = round(S_PER_H / mix.step_s)
    first_at = mix.start_at.replace(minute=0, second=0, microsecond=0)
    if first_at < mix.start_at:
        first_at += HOUR
    skipped = round((first_at - mix.start_at).total_seconds() / mix.step_s)
    hours = (len(mix) - skipped) // per_hour if per_hour else 0
    if not per_hour or per_hour * mix.step_s != S_PER_H or mix.start_at + timedelta(seconds=skipped * mix.step_s) != first_at or hours < 1:
        return None
    power = {
        fuel: values[skipped : skipped + hours * per_hour].reshape(hours, per_hour).mean(axis=1).round(_DECIMALS)
        for fuel, values in mix.power_mw.items()
    }
    return replace(mix, start_at=first_at, step_s=S_PER_H, power_mw=power)


def laid_over(before: KeptMix | None, new: GenerationMix | None, span: tuple[datetime, datetime], asked_at: datetime) -> KeptMix | None:
    """What is kept after an answer for a span of whole hours, hourly; None where nothing was ever known.

    What the answer has nothing of becomes a gap, because a source may take back what it said. A fuel that it does not name was not there.
    """
    newest = new or (before.mix if before is not None else None)
    if newest is None:
        return None
    start_at, end_at = span
    first_at, last_at = (start_at, end_at) if before is None else (min(start_at, before.mix.start_at), max(end_at, before.mix.end_at))
    asked = slice((start_at - first_at) // HOUR, (end_at - first_at) // HOUR)
    parts = [one for one in (before.mix if before is not None else None, new) if one is not None]
    power: dict[Fuel, FloatArray] = {}
    for fuel in sorted({fuel for one in parts for fuel in one.power_mw}):
        power[fuel] = np.full((last_at - first_at) // HOUR, np.nan)
        if before is not None:
            _put(power[fuel], _of_fuel(before.mix, fuel), (before.mix.start_at - first_at) // HOUR)
        inside = np.full(asked.stop - asked.start, np.nan)
        if new is not None:
            _put(inside, _of_fuel(new, fuel), (new.start_at - start_at) // HOUR)
        power[fuel][asked] = inside
    asked_at_s = np.full((last_at - first_at) // HOUR, np.nan)
    if before is not None:
        _put(asked_at_s, before.asked_at_s, (before.mix.start_at - first_at) // HOUR)
    asked_at_s[asked] = (asked_at - _EPOCH).total_seconds()
    return KeptMix(mix=replace(newest, start_at=first_at, power_mw=power), asked_at_s=asked_at_s)


def _of_fuel(mix: GenerationMix, fuel: Fuel) -> FloatArray:
    named = mix.power_mw.get(fuel)
    return np.where(np.isnan(mix.total_mw), np.nan, 0.0) if named is None else named


def _put(target: FloatArray, values: FloatArray, at: int) -> None:
    """Write values into a target at a position; what lies outside is left out."""
    first, last = max(0, -at), min(len(values), len(target) - at)
    if first < last:
        target[at + first : at + last] = values[first:last]


def hours_to_ask(
    kept: KeptMix | None, start_at: datetime, end_at: datetime, now: datetime, rule: FetchRule
) -> tuple[datetime, datetime] | None:
    """The whole hours of `[start_at, end_at)` that must be asked for, as one span; None where all are there."""
    hours = (end_at - start_at) // HOUR
    asked_at_s = np.full(hours, np.nan)
    if kept is not None:
        first, last = max(start_at, kept.mix.start_at), min(end_at, kept.mix.end_at)
        if first < last:
            at, of = (first - start_at) // HOUR, (first - kept.mix.start_at) // HOUR
            count = (last - first) // HOUR
            asked_at_s[at : at + count] = kept.asked_at_s[of : of + count]
    ends_s = (start_at - _EPOCH).total_seconds() + S_PER_H * np.arange(1, hours + 1)
    now_s = (now - _EPOCH).total_seconds()
    is_final = asked_at_s >= ends_s + rule.settle_s
    is_recent = (now_s - asked_at_s < rule.recheck_s) & ((asked_at_s >= ends_s) | (now_s < ends_s))
    missing = np.flatnonzero(~(is_final | is_recent))
    return (start_at + int(missing[0]) * HOUR, start_at + (int(missing[-1]) + 1) * HOUR) if len(missing) else None


class BesideStore:
    """Generation and forecasts of one source and kind.

    Args:
        folder: That of its history.
        kind: Of its forecasts.
    """

    def __init__(self, folder: Path, kind: IntensityKind) -> None:
        self._folder, self._kind = folder, kind

    def mix(
        self,
        zone: str,
        start_at: datetime,
        end_at: datetime,
        *,
        ask: Callable[[datetime, datetime], GenerationMix | None],
        now: datetime,
        rule: FetchRule,
    ) -> GenerationMix | None:
        """Hourly generation in the whole hours of `[start_at, end_at)`; only what is missing or provisional is asked for.

        Raises:
            ProviderError: The source does not answer, and nothing of the window is kept.
        """
        require_window(start_at, end_at)
        first_at, last_at = (one.replace(minute=0, second=0, microsecond=0) for one in (start_at, end_at))
        file = self._file(zone, "mix", KeptMix, lambda kept: kept.mix.zone == zone)
        kept = file.read()
        span = hours_to_ask(kept, first_at, last_at, now, rule) if first_at < last_at else None
        if span is not None:
            try:
                kept = self._asked(zone, file, kept, span, ask, now)
            except ProviderError as error:
                if kept is None or kept.mix.end_at <= first_at or kept.mix.start_at >= last_at:
                    raise
                log.info("generation of %s is served as it is stored: %s", zone, error)
        return None if kept is None else window(kept.mix, first_at, last_at)

    def _asked(
        self,
        zone: str,
        file: CheckedFile[KeptMix],
        kept: KeptMix | None,
        span: tuple[datetime, datetime],
        ask: Callable[[datetime, datetime], GenerationMix | None],
        now: datetime,
    ) -> KeptMix | None:
        answer = ask(*span)
        if answer is not None and answer.zone != zone:
            raise ProviderResponseError(answer.provenance.provider, zone, "sent generation of another zone")
        new = None if answer is None else hourly(answer)
        if new is None and kept is None:
            return None

        def over(before: KeptMix | None) -> KeptMix:
            laid = laid_over(before, new, span, now)
            assert laid is not None or kept is not None
            return laid or kept  # type: ignore[return-value]  # one of them is there

        return file.change(over)

    def forecast(
        self, zone: str, horizon_s: float, *, ask: Callable[[], Forecast | None], now: datetime, recheck_s: float
    ) -> Forecast | None:
        """The newest forecast; asked for again after `recheck_s`.

        Raises:
            ProviderError: The source does not answer, and the last forecast is over, or there was none.
        """
        file = self._file(zone, "forecast", KeptForecast, lambda kept: kept.forecast.zone == zone and kept.forecast.kind is self._kind)
        kept = file.read()
        age_s = None if kept is None else (now - kept.fetched_at).total_seconds()
        if kept is not None and age_s is not None and 0 <= age_s < recheck_s and kept.horizon_s >= horizon_s:
            return kept.forecast
        try:
            answer = ask()
        except ProviderError as error:
            if kept is None or kept.forecast.end_at <= now or kept.forecast.issued_at > now:
                raise
            log.info("%s is served the last forecast of %s: %s", zone, kept.fetched_at, error)
            return kept.forecast
        if answer is None:
            return None
        fetched = KeptForecast(forecast=answer, horizon_s=horizon_s, fetched_at=now)
        file.change(lambda before: fetched)
        return answer

    def _file(self, zone: str, what: str, cls: type[K], is_of: Callable[[K], bool]) -> CheckedFile[K]:
        def fits(kept: K) -> None:
            if not is_of(kept):
                raise ValueError("it holds another zone or kind")

        return CheckedFile(self._folder / f"{quote(zone, safe='')}.{what}", f"carbon_ray {what} 1", cls, fits)


def window(mix: GenerationMix, start_at: datetime, end_at: datetime) -> GenerationMix | None:
    """The hours of `[start_at, end_at)`, from the first to the last that is not a gap; None where there is none."""
    first, last = max(0, (start_at - mix.start_at) // HOUR), min(len(mix), (end_at - mix.start_at) // HOUR)
    there = np.flatnonzero(~np.isnan(mix.total_mw[first:last])) if first < last else np.empty(0, dtype=int)
    if not len(there):
        return None
    first, last = first + int(there[0]), first + int(there[-1]) + 1
    power: dict[Fuel, FloatArray] = {fuel: values[first:last] for fuel, values in mix.power_mw.items()}
    return replace(mix, start_at=mix.start_at + first * HOUR, power_mw=power)
