"""What was said lately, held against what came true: the members' weights, the bias and the width of the next forecast follow from it.

Errors measured in training are the starting point; every issue that has met its truth moves it. A year that differs from the ones learned
from is noticed within weeks, and a member that fails is dropped, be it ours, a naive one or a provider's forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.base import QUANTILES
from carbon_ray.forecasting.blend import products_of, weights_of
from carbon_ray.forecasting.model import MEMBERS, SCORE_LEVELS, Said, ZoneModel
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.signals import DAY

KEPT_ISSUES = 60
"""Issues that are remembered."""
WATCHED_DAYS = 42
"""Days over which errors count."""
PRIOR_ISSUES = 60
"""Issues that the errors measured in training stand for, among those that were watched."""
BIAS_DAYS, BIAS_PRIOR_ISSUES = 14, 150
"""Days over which the bias is measured, and issues without bias that are added."""
WIDTH_PRIOR_ISSUES = 10
"""Issues of the usual spread that are added."""
LEAST_EDGE = 0.05
"""Least distance of an outer quantile from the median, in expected sizes of the error."""
PROVIDER_PRIOR_ISSUES = 3
"""Issues on which a provider's forecast is taken to err twice as much as ours, before anything is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """What was said of one zone at past issues, the oldest first.

    Attributes:
        issue_at: Instants of the issues, on the hour, aware UTC.
        usual_gco2_per_kwh, size: Shape (issues, leads).
        members: Shape (issues, leads, members).
        provider: What a provider's forecast said, as logarithm relative to the usual day; NaN where none; shape (issues, leads).
    """

    issue_at: tuple[datetime, ...]
    usual_gco2_per_kwh: FloatArray = field(repr=False)
    members: FloatArray = field(repr=False)
    size: FloatArray = field(repr=False)
    provider: FloatArray = field(repr=False)

    @classmethod
    def empty(cls, leads: int) -> Track:
        """Nothing was said yet."""
        nothing = np.empty((0, leads))
        return cls(issue_at=(), usual_gco2_per_kwh=nothing, members=np.empty((0, leads, len(MEMBERS))), size=nothing, provider=nothing)

    def and_then(self, at: datetime, said: Said, provider: FloatArray | None = None) -> Track:
        """With one more issue; one that is less than a day after the last one changes nothing.

        Args:
            at: Instant of the issue, on the hour.
            said: Of that one issue.
            provider: What a provider said, as logarithm relative to the usual day, shape (leads,).
        """
        if self.issue_at and at < self.issue_at[-1] + timedelta(days=1):
            return self
        other = np.full(said.size.shape, np.nan) if provider is None else provider[np.newaxis]

        def longer(old: FloatArray, new: FloatArray) -> FloatArray:
            return np.concatenate([old, new])[-KEPT_ISSUES:]

        return Track(
            issue_at=(*self.issue_at, at)[-KEPT_ISSUES:],
            usual_gco2_per_kwh=longer(self.usual_gco2_per_kwh, said.usual_gco2_per_kwh),
            members=longer(self.members, said.members),
            size=longer(self.size, said.size),
            provider=longer(self.provider, other),
        )

    def truth(self, past: ZonePast) -> FloatArray:
        """What came true, as logarithm relative to the usual day; NaN where the past does not reach. Shape (issues, leads)."""
        first = np.array([(at - past.start_at) // timedelta(hours=1) for at in self.issue_at], dtype=np.intp)
        target = first[:, np.newaxis] + np.arange(self.size.shape[1])
        is_known = (target >= 0) & (target < len(past))
        logs = past.log_values[np.clip(target, 0, len(past) - 1)]
        return np.where(is_known, logs - np.log(self.usual_gco2_per_kwh), np.nan)

    def age_days(self, now: datetime) -> FloatArray:
        """Days since each issue."""
        return np.array([(now - at) / timedelta(days=1) for at in self.issue_at], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """How the members of the next issue are put together.

    Attributes:
        weights: Of the members, shape (leads, members).
        bias: To be added to the weighted mean, shape (leads,).
        width: Factor on the spread, shape (leads,).
        provider: Weight of a provider's forecast against ours, shape (leads,).
    """

    weights: FloatArray
    bias: FloatArray
    width: FloatArray
    provider: FloatArray

    @classmethod
    def of(cls, model: ZoneModel, track: Track, past: ZonePast, now: datetime) -> Lesson:
        """What the errors in training and since then teach.

        Args:
            model: Of the zone.
            track: What was said of it.
            past: What came true by `now`.
            now: Aware UTC; what was said at or after it is not looked at.
        """
        leads = len(model.scores)
        days = -(-leads // DAY)
        age, truth = track.age_days(now), track.truth(past)
        watched = (age > 0) & (age <= WATCHED_DAYS + days)
        errors = (truth[..., np.newaxis] - track.members)[watched]
        size, age, other = track.size[watched], age[watched], (truth - track.provider)[watched]
        low, high = (score_at(model.scores, level) for level in (min(QUANTILES), max(QUANTILES)))
        weights, bias, width, provider = (np.empty((leads, len(MEMBERS))), *(np.empty(leads) for _ in range(3)))
        spans = [slice(day * DAY, min((day + 1) * DAY, leads)) for day in range(days)]
        sums = [products_of(errors[:, hours]) for hours in spans]
        seen = [(PRIOR_ISSUES * (hours.stop - hours.start), *one) for hours, one in zip(spans, sums, strict=True)]
        by_day = weights_of(
            np.stack(
                [(before * prior + total) / (prior + known) for before, (prior, total, known) in zip(model.products, seen, strict=True)]
            )
        )
        for day, hours in enumerate(spans):
            count = hours.stop - hours.start
            weights[hours] = by_day[day]
            blended = errors[:, hours] @ by_day[day]
            recent = blended[age <= BIAS_DAYS + day + 1]
            bias[hours] = np.nansum(recent) / (np.isfinite(recent).sum() + BIAS_PRIOR_ISSUES * count)
            width[hours] = _width((blended - bias[hours]) / size[:, hours], low[hours], high[hours])
            provider[hours] = _provider_weight(blended - bias[hours], other[:, hours], float(np.trace(model.products[day])) / len(MEMBERS))
        return cls(weights=weights, bias=bias, width=width, provider=provider)


def _width(scores: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Factor on the spread with which as many of the recent scores lie within the outer quantiles as should, drawn towards 1.

    The hours of an issue err together, so that the share that conformal prediction adds for small samples is that of the issues.

    Args:
        scores: Errors over their expected size, shape (issues, hours); NaN where the truth is not known.
        low, high: The outer quantiles in training, shape (hours,).
    """
    needed = np.maximum(scores / np.maximum(high, LEAST_EDGE), scores / np.minimum(low, -LEAST_EDGE))
    known = needed[np.isfinite(needed)]
    if not known.size:
        return 1.0
    issues = known.size / scores.shape[1]
    level = min((max(QUANTILES) - min(QUANTILES)) * (1 + 1 / issues), 1.0)
    recent = max(float(np.quantile(known, level)), LEAST_EDGE)
    return float(recent ** (issues / (issues + WIDTH_PRIOR_ISSUES)))


def _provider_weight(ours: FloatArray, other: FloatArray, usual: float) -> float:
    """Weight of a provider's forecast: 0 while it was never seen."""
    pairs = np.stack([ours, other], axis=-1)
    total, known = products_of(pairs)
    if not known:
        return 0.0
    prior = PROVIDER_PRIOR_ISSUES * ours.shape[1]
    before = np.diag([usual, 4 * usual])
    return float(weights_of((before * prior + total) / (prior + known))[1])


def blended(said: Said, lesson: Lesson) -> FloatArray:
    """The weighted mean of the members and the bias, as logarithm relative to the usual day; shape (issues, leads)."""
    mean: FloatArray = np.einsum("nlm,lm->nl", said.members, lesson.weights) + lesson.bias
    return mean


def score_at(scores: FloatArray, level: float) -> FloatArray:
    """Quantile of the scores at a level, shape (leads,); levels beyond the kept ones are those at the ends."""
    return np.array([np.interp(level, SCORE_LEVELS, of_lead) for of_lead in scores])
