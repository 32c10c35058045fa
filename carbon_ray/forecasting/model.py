"""The many-zone model: what was learned, from all zones at once, and what it says of the next hours.

Two learned members, a ridge regression for each zone and hour ahead and trees over all zones, stand beside the naive ones; how much
each counts is measured by zone and day ahead on stretches of time that it had not seen. The same stretches give the spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.columns import SCHEMA, Table
from carbon_ray.forecasting.generation import CAPACITY_DAYS, Curves
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.signals import DAY, Hours
from carbon_ray.forecasting.trees import Rows, Trees

NAIVE = ("ewma", "persistence", "month", "last_week")
"""The usual day itself, the last day, the mean day of four weeks, and the same hours a week ago: where an intensity hardly moves but for
noise, the longest mean is the best that can be said."""
MEMBERS = ("ridge", "trees", *NAIVE)
"""The last axis of `Said.members`."""
SCORE_LEVELS = np.linspace(0.02, 0.98, 49)
"""Levels at which the distribution of scores is kept."""
LEAST_SPREAD = 1e-4
LOOKED_BACK_HOURS = (CAPACITY_DAYS + 30) * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Attributes:
        leads: Hours ahead.
        issue_hours: Hours of the day, UTC, that regressions are fitted at; other hours of issue use the one before.
        rows: Rows of all zones that trees learn from.
        rounds, leaves: Of the trees.
        folds: Stretches of time, see `Trees`.
        penalty: Of the regressions, per row, on the first day ahead; it grows with the root of the day.
        calibration_issues: Issues of a zone that errors are measured on.
        threads: Of LightGBM.
        seed: Of all draws.
    """

    leads: int = 168
    issue_hours: tuple[int, ...] = (0, 6, 12, 18)
    rows: int = 200_000
    rounds: int = 300
    leaves: int = 63
    folds: int = 4
    penalty: float = 0.1
    calibration_issues: int = 120
    threads: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneModel:
    """What was learned of one zone.

    Attributes:
        curves: Of its wind, sun and demand, where it has generation and weather.
        coefficients: Of the regressions, by hour of issue; each (leads, columns).
        products: Mean products of the members' errors by day ahead, shape (days, members, members).
        scores: Quantiles of the blended errors over the expected size at `SCORE_LEVELS`, shape (leads, levels).
    """

    curves: Curves | None
    coefficients: Mapping[int, FloatArray] = field(repr=False)
    products: FloatArray = field(repr=False)
    scores: FloatArray = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What the model says of one zone's next hours; logarithms are relative to the usual day.

    Attributes:
        usual_gco2_per_kwh: The usual day, shape (issues, leads).
        members: Shape (issues, leads, members).
        size: Expected size of the error, shape (issues, leads).
    """

    usual_gco2_per_kwh: FloatArray
    members: FloatArray
    size: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ManyZoneModel:
    """A trained model.

    Attributes:
        recipe: How it was trained.
        zones: By name; the order is that of the trees' category.
        trees: Of the intensity.
        sizes: Of the size of the error.
        schema: Of the columns that it was trained on.
    """

    recipe: Recipe
    zones: Mapping[str, ZoneModel]
    trees: Trees
    sizes: Trees
    schema: str = SCHEMA

    def said(self, past: ZonePast, issue: Hours) -> Said:
        """What the members say at some issues of one zone.

        Args:
            past: Of a zone of the model, or of another one: that is treated as the trees' unknown zone, and the regressions are
                left out.
            issue: Positions in the past, each from `columns.MIN_HOURS` to its length, all at the same hour of the day.
        """
        return self.said_of({past.zone: past}, {past.zone: issue})[past.zone]

    def said_of(self, pasts: Mapping[str, ZonePast], issues: Mapping[str, Hours]) -> dict[str, Said]:
        """The same for many zones, with one call of the trees."""
        leads, tables = self.recipe.leads, dict[str, Table]()
        for zone, past in pasts.items():
            own = self.zones.get(zone)
            # Nothing looks farther back; whole days, so that days stay what they were.
            skipped = max(0, (int(issues[zone].min()) - LOOKED_BACK_HOURS) // DAY * DAY)
            tables[zone] = Table.of(past.since(skipped), issues[zone] - skipped, leads, None if own is None else own.curves)
        if not tables:
            return {}
        rows = np.concatenate([with_zone(table, self.number(zone)) for zone, table in tables.items()])
        grown, sizes = self.trees.predict(rows), np.exp(self.sizes.predict(rows))
        out, first = dict[str, Said](), 0
        for zone, table in tables.items():
            shape = table.usual_gco2_per_kwh.shape
            last = first + shape[0] * shape[1]
            from_trees, size = grown[first:last].reshape(shape), sizes[first:last].reshape(shape)
            first = last
            own = self.zones.get(zone)
            ridge = from_trees if own is None else regressed(table, own.coefficients[self.issue_hour(pasts[zone], issues[zone])])
            out[zone] = Said(
                usual_gco2_per_kwh=table.usual_gco2_per_kwh,
                members=members_of(table, ridge, from_trees),
                size=np.maximum(size, LEAST_SPREAD),
            )
        return out

    def number(self, zone: str) -> float:
        """The trees' category of a zone; NaN for one that they do not know."""
        names = list(self.zones)
        return float(names.index(zone)) if zone in self.zones else np.nan

    def issue_hour(self, past: ZonePast, issue: Hours) -> int:
        """The hour of the day whose regressions serve issues of that hour: the same or the one before."""
        hour = (past.start_at.hour + int(issue[0])) % DAY
        return min(self.recipe.issue_hours, key=lambda one: (hour - one) % DAY)


def members_of(table: Table, ridge: FloatArray, trees: FloatArray) -> FloatArray:
    """All members beside each other; the naive ones are columns of the table."""
    return np.stack([ridge, trees, np.zeros(trees.shape), *(table.column(name) for name in ("yesterday", "month", "last_week"))], axis=-1)


def regressed(table: Table, coefficients: FloatArray) -> FloatArray:
    """What the regressions say, shape (issues, leads)."""
    said: FloatArray = np.einsum("nlc,lc->nl", table.linear(), coefficients)
    return said


def with_zone(table: Table, number: float) -> Rows:
    """The trees' rows of a table, shape (issues x leads, columns + 1)."""
    flat = table.values.reshape(-1, table.values.shape[2])
    return np.column_stack([flat, np.full(len(flat), number, dtype=np.float32)])
