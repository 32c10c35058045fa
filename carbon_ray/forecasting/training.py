"""Training the many-zone model: pure, deterministic by seed, and bounded in rows whatever the number of zones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import ForecastError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.blend import products_of, weights_of
from carbon_ray.forecasting.columns import MIN_HOURS, YEARLY, Table
from carbon_ray.forecasting.generation import Curves
from carbon_ray.forecasting.model import (
    LEAST_SPREAD,
    MEMBERS,
    SCORE_LEVELS,
    ManyZoneModel,
    Recipe,
    ZoneModel,
    members_of,
    with_zone,
)
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.ridge import ridge
from carbon_ray.forecasting.signals import DAY, Hours
from carbon_ray.forecasting.trees import Growth, Rows, Trees, joined, stretches

MIN_TRAIN_HOURS = MIN_HOURS + 60 * DAY
"""Past that a zone needs to be learned from."""
LEAST_ISSUES_OF_A_YEAR = 240
"""Days below which the regressions leave the waves of the year out: from half of one they follow that the other half goes on like it."""
NEIGHBOURS = 1
"""Hours ahead on either side whose rows a regression learns from too."""
UNKNOWN_ZONE_FRACTION = 0.15
"""Share of the rows whose zone is hidden from the trees, so that they know what to say of one they have not seen."""
SIZE_ROUNDS, SIZE_LEAVES = 120, 15
POOLED_LEADS = 3
"""Hours ahead on either side whose scores a quantile is taken from."""
LARGEST_WEIGHT = 5.0
"""A row counts by the usual over the true intensity, because errors are told as shares of the truth; up to this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """Issues of one zone that errors are measured on."""

    zone: str
    rows: Rows
    fold: NDArray[np.intp]
    table: Table
    truth: FloatArray
    ridge: FloatArray


def train(pasts: Mapping[str, ZonePast], recipe: Recipe) -> ManyZoneModel:
    """Learn from all hours of some zones.

    Args:
        pasts: By zone; those with less than `MIN_TRAIN_HOURS` are left out.
        recipe: How.

    Raises:
        ForecastError: No zone has enough past.
    """
    draw = np.random.default_rng(recipe.seed)
    chosen = {zone: past for zone, past in pasts.items() if len(past) >= MIN_TRAIN_HOURS}
    if not chosen:
        raise ForecastError(f"no zone has the {MIN_TRAIN_HOURS // DAY} days of hourly history that a model learns from")
    share = recipe.rows / (len(chosen) * len(recipe.issue_hours))
    parts: list[tuple[Rows, FloatArray, NDArray[np.intp]]] = []
    held: list[_Held] = []
    learned: dict[str, tuple[Curves | None, dict[int, FloatArray]]] = {}
    for number, (zone, past) in enumerate(chosen.items()):
        curves = Curves.fit(past, _issues(past, recipe.issue_hours[0], recipe.leads), recipe.leads)
        learned[zone] = (curves, {})
        for hour in recipe.issue_hours:
            issue = _issues(past, hour, DAY)
            table = Table.of(past, issue, recipe.leads, curves)
            truth = truth_of(past, issue, table)
            fold = stretches(len(issue), recipe.folds)
            coefficients, errors = _regressions(table, truth, recipe)
            learned[zone][1][hour] = coefficients
            rows, known = with_zone(table, float(number)), np.flatnonzero(np.isfinite(truth.ravel()))
            taken = draw.choice(known, min(len(known), int(share)), replace=False)
            sample = rows[taken]
            sample[draw.random(len(sample)) < UNKNOWN_ZONE_FRACTION, -1] = np.nan
            parts.append((sample, truth.ravel()[taken], np.repeat(fold, recipe.leads)[taken]))
            apart = max(1, -(-len(issue) * len(recipe.issue_hours) // recipe.calibration_issues))
            some = np.arange(len(issue))[hour % apart :: apart]
            held.append(
                _Held(
                    zone=zone,
                    rows=rows.reshape(*truth.shape, -1)[some].reshape(-1, rows.shape[1]),
                    fold=np.repeat(fold[some], recipe.leads),
                    table=Table(values=table.values[some], usual_gco2_per_kwh=table.usual_gco2_per_kwh[some]),
                    truth=truth[some],
                    ridge=(truth - errors)[some],
                )
            )
    return _assembled(list(chosen), learned, parts, held, recipe)


def _assembled(
    zones: list[str],
    learned: Mapping[str, tuple[Curves | None, dict[int, FloatArray]]],
    parts: list[tuple[Rows, FloatArray, NDArray[np.intp]]],
    held: list[_Held],
    recipe: Recipe,
) -> ManyZoneModel:
    truth = np.concatenate([part[1] for part in parts])
    weight = np.minimum(np.exp(-truth), LARGEST_WEIGHT)
    fold = np.concatenate([part[2] for part in parts])
    growth = Growth(rounds=recipe.rounds, leaves=recipe.leaves, threads=recipe.threads, seed=recipe.seed)
    trees = Trees.grow(joined([part[0] for part in parts]), truth, weight, fold, recipe.folds, growth)
    errors = {id(one): _errors(one, trees) for one in held}
    blended, products = dict[int, FloatArray](), dict[str, FloatArray]()
    for zone in zones:
        own = [one for one in held if one.zone == zone]
        products[zone] = by_day_products(np.concatenate([errors[id(one)] for one in own]))
        weights = by_lead_weights(products[zone], recipe.leads)
        for one in own:
            blended[id(one)] = np.einsum("nlm,lm->nl", errors[id(one)], weights)
    sizes, size = _sizes(held, blended, recipe)
    scores = {}
    for zone in zones:
        own = [one for one in held if one.zone == zone]
        ratio = np.concatenate([blended[id(one)] / size[id(one)] for one in own])
        scores[zone] = _score_quantiles(ratio)
    models = {
        zone: ZoneModel(curves=learned[zone][0], coefficients=learned[zone][1], products=products[zone], scores=scores[zone])
        for zone in zones
    }
    return ManyZoneModel(recipe=recipe, zones=models, trees=trees, sizes=sizes)


def truth_of(past: ZonePast, issue: Hours, table: Table) -> FloatArray:
    """What came true, as logarithm relative to the usual day; NaN where it is not known yet. Shape (issues, leads)."""
    target = issue[:, np.newaxis] + np.arange(table.usual_gco2_per_kwh.shape[1])
    logs = past.log_values[np.minimum(target, len(past) - 1)]
    truth: FloatArray = np.where(target < len(past), logs - np.log(table.usual_gco2_per_kwh), np.nan)
    return truth


def by_day_products(errors: FloatArray) -> FloatArray:
    """Mean products of the members' errors by day ahead, shape (days, members, members)."""
    days = -(-errors.shape[1] // DAY)
    out = np.empty((days, errors.shape[2], errors.shape[2]))
    for day in range(days):
        total, count = products_of(errors[:, day * DAY : (day + 1) * DAY])
        out[day] = total / max(float(count), 1.0) if count else np.eye(len(total))
    return out


def by_lead_weights(products: FloatArray, leads: int) -> FloatArray:
    """Weights of the members for every hour ahead, shape (leads, members)."""
    repeated: FloatArray = np.repeat(weights_of(products), DAY, axis=0)[:leads]
    return repeated


def _issues(past: ZonePast, hour: int, after: int) -> Hours:
    """All issues at an hour of the day with enough past, and `after` hours after them."""
    first = (hour - past.start_at.hour) % DAY
    issues = np.arange(first, len(past) - after + 1, DAY)
    return issues[issues >= MIN_HOURS]


def _regressions(table: Table, truth: FloatArray, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Coefficients of all hours ahead, (leads, columns), and the errors on unseen stretches, (issues, leads)."""
    linear = table.linear()
    is_told: NDArray[np.bool_] = np.asarray(linear.any(axis=(0, 1)))  # without weather or generation most columns are empty
    # What a weather run tells ends with it: an hour learns from neighbours that are told the same.
    told: NDArray[np.bool_] = np.asarray(np.isfinite(table.values).any(axis=0))
    # The farther ahead the less is explained, and the more of it by chance.
    penalty = recipe.penalty * np.sqrt(1 + np.arange(recipe.leads) // DAY)
    coefficients, errors = np.zeros((recipe.leads, linear.shape[2])), np.full(truth.shape, np.nan)
    if len(linear) < LEAST_ISSUES_OF_A_YEAR:
        is_told[list(YEARLY)] = False
    linear = linear[:, :, is_told]
    for lead in range(recipe.leads):
        near = np.arange(max(0, lead - NEIGHBOURS), min(recipe.leads, lead + NEIGHBOURS + 1))
        near = near[(told[near] == told[lead]).all(axis=1)]
        count = int(np.isfinite(truth[:, near]).all(axis=1).sum())  # what is not known yet stands at the end
        rows = linear[:count, near].reshape(count * len(near), -1)
        coefficients[lead, is_told], missed = ridge(rows, truth[:count, near].ravel(), penalty[lead], recipe.folds)
        errors[:count, lead] = missed.reshape(count, len(near))[:, int(lead - near[0])]
    return coefficients, errors


def _errors(one: _Held, trees: Trees) -> FloatArray:
    """Truth less what each member says without having seen it, shape (issues, leads, members)."""
    from_trees = trees.predict_unseen(one.rows, one.fold).reshape(one.truth.shape)
    errors: FloatArray = one.truth[..., np.newaxis] - members_of(one.table, one.ridge, from_trees)
    assert errors.shape[2] == len(MEMBERS)
    return errors


def _sizes(held: list[_Held], blended: Mapping[int, FloatArray], recipe: Recipe) -> tuple[Trees, dict[int, FloatArray]]:
    """Trees of the logarithm of the error's size, and what those that had not seen an issue say of it."""
    rows, fold = joined([one.rows for one in held]), np.concatenate([one.fold for one in held])
    target = np.log(np.abs(np.concatenate([blended[id(one)].ravel() for one in held])) + LEAST_SPREAD)
    known = np.isfinite(target)
    growth = Growth(rounds=SIZE_ROUNDS, leaves=SIZE_LEAVES, threads=recipe.threads, seed=recipe.seed + 1, objective="l2")
    sizes = Trees.grow(rows[known], target[known], np.ones(int(known.sum())), fold[known], recipe.folds, growth)
    said, first, out = np.maximum(np.exp(sizes.predict_unseen(rows, fold)), LEAST_SPREAD), 0, dict[int, FloatArray]()
    for one in held:
        out[id(one)] = said[first : first + one.truth.size].reshape(one.truth.shape)
        first += one.truth.size
    return sizes, out


def _score_quantiles(scores: FloatArray) -> FloatArray:
    """Quantiles of the scores of each hour ahead and its neighbours, shape (leads, levels).

    Source: split conformal prediction with scores relative to a local size: Lei et al. (2018), doi:10.1080/01621459.2017.1307116.
    """
    leads = scores.shape[1]
    out = np.empty((leads, len(SCORE_LEVELS)))
    for lead in range(leads):
        near = scores[:, max(0, lead - POOLED_LEADS) : lead + POOLED_LEADS + 1]
        near = near[np.isfinite(near)]
        out[lead] = np.quantile(near, SCORE_LEVELS, method="weibull") if len(near) else np.nan
    return out
