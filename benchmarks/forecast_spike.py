"""The forecast that has to be beaten in the same run: one LightGBM a grid on history, last day's mix and issued weather.

Trained once before the window with fixed parameters, three seeds. Kept apart from the product and unchanged: it is a yardstick.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import lightgbm
import numpy as np

from benchmarks.forecast_bench import LEADS, Grid
from carbon_ray.core.intensity import FloatArray

FIRST_ISSUE_AT = datetime(2020, 1, 20, tzinfo=UTC)
SEEDS = 3
EWMA_DAYS, EWMA_DECAY = 14, 0.7
PARAMETERS = {
    **{"n_estimators": 700, "learning_rate": 0.03, "num_leaves": 31, "min_child_samples": 40, "subsample": 0.7, "subsample_freq": 1},
    **{"colsample_bytree": 0.4, "reg_lambda": 5, "objective": "l1", "verbose": -1},
}


def spike(grid: Grid, first_at: datetime, issues: list[datetime], threads: int) -> FloatArray:
    """Its forecasts of some issues, shape (issues, 96).

    Args:
        grid: With the weather as it is to be known.
        first_at: First issue of the window: nothing at or after it is learned from.
        issues: Instants.
        threads: Of LightGBM.
    """
    last = grid.position(first_at) - LEADS
    begin_at = max(FIRST_ISSUE_AT, grid.spike_from_at + timedelta(days=19))
    learned = np.arange(grid.position(begin_at), last + 1, 24)
    asked = np.array([grid.position(at) for at in issues])
    rows, base = features(grid, learned)
    target = np.log(grid.truth(learned) / base)
    columns, base_asked = features(grid, asked)
    out = np.zeros(base_asked.shape)
    for seed in range(SEEDS):
        model = lightgbm.LGBMRegressor(**PARAMETERS, random_state=seed, num_threads=threads)
        model.fit(rows.reshape(-1, rows.shape[2]), target.ravel())
        said = np.asarray(model.predict(columns.reshape(-1, columns.shape[2]))).reshape(base_asked.shape)
        out += base_asked * np.exp(said) / SEEDS
    return out


def features(grid: Grid, issue: np.ndarray) -> tuple[FloatArray, FloatArray]:  # type: ignore[type-arg]
    """Columns of shape (issues, 96, columns), and the weighted usual day, (issues, 96)."""
    past, lead = grid.past, np.arange(LEADS)
    assert past.weather is not None
    assert past.total is not None
    values, hour, at = past.values_gco2_per_kwh, np.arange(LEADS) % 24, issue[:, np.newaxis]
    weights = EWMA_DECAY ** np.arange(EWMA_DAYS)
    weights = weights / weights.sum()
    usual = sum(weight * values[at - 24 * (age + 1) + np.arange(24)] for age, weight in enumerate(weights))
    base = np.asarray(usual)[:, hour]

    def same(column: FloatArray) -> FloatArray:
        return np.repeat(column[:, np.newaxis], LEADS, axis=1)

    target_at = [past.start_at + timedelta(hours=int(one)) for one in issue]
    instants = [[one + timedelta(hours=int(ahead)) for ahead in lead] for one in target_at]
    calendar = np.array([[(one.hour, one.weekday(), one.timetuple().tm_yday) for one in row] for row in instants], dtype=np.float64)
    now = past.weather.ahead(issue, past.start_at, LEADS)
    before = past.weather.ahead(issue - 24, past.start_at, 24)
    of_day = now.reshape(len(issue), LEADS // 24, 24, -1).mean(axis=2)[:, lead // 24]
    wind = now[:, :, 0]

    def around(reach: int) -> FloatArray:
        edges = [wind[:, max(0, one - reach) : one + reach + 1].mean(axis=1) for one in lead]
        return np.stack(edges, axis=1)

    shares = np.stack([power / past.total for power in past.generation.values()], axis=-1)
    last = shares[at - 24 + np.arange(24)]
    columns = [
        *(values[at - back + hour] for back in (24, 48, 168)),
        base,
        same(values[issue - 1]),
        same(values[issue - 1] - values[issue - 25]),
        *(same(values[at - back + np.arange(back)].mean(axis=1)) for back in (24, 168)),
        np.broadcast_to(lead, base.shape).astype(np.float64),
        *np.moveaxis(calendar, 2, 0),
        *np.moveaxis(now, 2, 0),
        *np.moveaxis(now - before[:, hour], 2, 0),
        of_day[:, :, 0],
        of_day[:, :, 3],
        around(1),
        around(2),
        same(before[:, :, 0].mean(axis=1)),
        same(before[:, :, 3].mean(axis=1)),
        np.cumsum(wind, axis=1) / (lead + 1),
        *(same(one) for one in last.mean(axis=1).T),
        *np.moveaxis(last[:, hour], 2, 0),
    ]
    return np.stack(columns, axis=-1), base
