"""What wind, sun and demand will be, from issued weather and past generation: one zone's power curves, fitted by ridge regression.

The curves are few and smooth, so a season teaches them; the trees and regressions behind them then need not find them in a few hundred
days of history. Everything is relative to what was generated lately, because capacity grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.profiles import EWMA_WEIGHTS, by_lead, usual_day
from carbon_ray.forecasting.ridge import ridge
from carbon_ray.forecasting.signals import DAY, WEEK, Hours
from carbon_ray.forecasting.weather import SUN, TEMPERATURE, WIND
from carbon_ray.forecasting.weather_rows import WeatherRows, mean_of_day

COLUMNS = (
    *("expected_wind", "expected_sun", "expected_demand", "wind_change", "sun_change", "clean_change", "clean_log_change"),
    *("wind_since_yesterday", "sun_since_yesterday", "wind_surprise", "sun_surprise", "clean_change_of_day", "clean_and_demand"),
)
"""Names of what `Curves.columns` returns."""
USED = (WIND, TEMPERATURE, SUN)
"""What of the weather the curves read."""
CAPACITY_DAYS, CAPACITY_QUANTILE = 120, 0.995
"""What a source gave in its best hours of the last months stands for its capacity."""
BIAS_DAYS, BIAS_PRIOR = 14, 0.3
"""Days over which a curve is held against what was generated, and the weight of no bias, in capacities a day."""
LEAST_REST_FRACTION = 0.05
"""Share of the generation that is never taken for wind and sun."""
_TINY = 1e-9
_PENALTY = {"wind": 1e-4, "solar": 1e-4, "demand": 1e-3}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """One zone's curves.

    Attributes:
        wind, sun, demand: Coefficients; None where the zone has no such source.
    """

    wind: FloatArray | None
    sun: FloatArray | None
    demand: FloatArray

    @classmethod
    def fit(cls, past: ZonePast, issue: Hours, leads: int) -> Curves | None:
        """Learn from the hours that follow some issues.

        Args:
            past: Whose every hour may be looked at.
            issue: Issues, each with `leads` hours after it in the past and a month before it.
            leads: Hours ahead.

        Returns:
            None for a zone without generation or weather.
        """
        if past.total is None or past.weather is None:
            return None
        ahead = past.weather.ahead(issue, past.start_at, leads)
        target = issue[:, np.newaxis] + np.arange(leads)
        is_there = np.asarray(np.isfinite(ahead[..., USED]).all(axis=2))
        if is_there.sum() < WEEK:
            return None
        weather = WeatherRows.of(past, issue, leads)
        found: dict[str, FloatArray | None] = {}
        for fuel, rows in (("wind", weather.wind_rows()), ("solar", weather.sun_rows())):
            power = past.generation.get(fuel)
            capacity = None if power is None else _capacity(power)[issue - 1]
            if power is None or capacity is None or capacity.min() <= 0:
                found[fuel] = None
                continue
            found[fuel] = _fitted(rows, power[target] / capacity[:, np.newaxis], is_there, _PENALTY[fuel])
        change = np.log(past.total[target] / by_lead(usual_day(past.total, issue, EWMA_WEIGHTS), leads))
        demand = _fitted(weather.demand_rows(past), change, is_there, _PENALTY["demand"])
        return cls(wind=found["wind"], sun=found["solar"], demand=demand)

    def columns(self, past: ZonePast, issue: Hours, leads: int) -> dict[str, FloatArray]:
        """What is expected for the next hours, by name of `COLUMNS`, each of shape (n, leads); NaN where there is no weather."""
        assert past.total is not None
        weather = WeatherRows.of(past, issue, leads)
        total = past.total
        demand = weather.demand_rows(past) @ self.demand
        usual_total = by_lead(usual_day(total, issue, EWMA_WEIGHTS), leads)
        expected_total = usual_total * np.exp(np.clip(demand, -1, 1))
        out: dict[str, FloatArray] = {}
        days = WeatherRows.of_days(past)
        for name, fuel, coefficients, rows, rows_of_days in (
            ("wind", "wind", self.wind, weather.wind_rows, days.wind_rows),
            ("sun", "solar", self.sun, weather.sun_rows, days.sun_rows),
        ):
            power = past.generation.get(fuel)
            if coefficients is None or power is None:
                expected = usual = yesterday = surprise = np.zeros(demand.shape)
            else:
                capacity = _capacity(power)
                said = np.clip(rows_of_days() @ coefficients, 0, 1.2).ravel()
                bias, surprise = _bias(power, capacity, said, issue)
                curve = np.clip(rows() @ coefficients, 0, 1.2) * bias[:, np.newaxis] * capacity[issue - 1][:, np.newaxis]
                expected, share = curve / expected_total, power / total
                usual = by_lead(usual_day(share, issue, EWMA_WEIGHTS), leads)
                yesterday = by_lead(share[issue[:, np.newaxis] - DAY + np.arange(DAY)], leads)
                surprise = np.repeat(surprise[:, np.newaxis], leads, axis=1)
            out[f"expected_{name}"], out[f"{name}_change"] = expected, expected - usual
            out[f"{name}_since_yesterday"], out[f"{name}_surprise"] = expected - yesterday, surprise
            out[f"_usual_{name}"] = usual
        usual_rest = np.maximum(1 - out.pop("_usual_wind") - out.pop("_usual_sun"), LEAST_REST_FRACTION)
        rest = np.maximum(1 - out["expected_wind"] - out["expected_sun"], LEAST_REST_FRACTION)
        out["expected_demand"], out["clean_change"] = demand, out["wind_change"] + out["sun_change"]
        out["clean_log_change"] = np.log(rest / usual_rest)
        out["clean_change_of_day"] = mean_of_day(out["clean_change"])
        out["clean_and_demand"] = demand + out["clean_log_change"]
        is_known = np.isfinite(weather.ahead[..., USED]).all(axis=2)
        return {name: np.where(is_known, out[name], np.nan) for name in COLUMNS}


def _fitted(rows: FloatArray, truth: FloatArray, is_there: NDArray[np.bool_], penalty: float) -> FloatArray:
    known = is_there & np.isfinite(rows).all(axis=2) & np.isfinite(truth)
    coefficients, _ = ridge(rows[known], truth[known], penalty, 0)
    return coefficients


def _capacity(power: FloatArray) -> FloatArray:
    """For every hour what the best hours of the last months gave, on the days that had ended by then."""
    days = len(power) // DAY
    by_day = power[: days * DAY].reshape(days, DAY)
    ends = [np.quantile(by_day[max(0, day - CAPACITY_DAYS) : day], CAPACITY_QUANTILE) for day in range(1, days + 1)]
    whole = np.concatenate([np.full(DAY, ends[0] if ends else 0.0), np.repeat(ends, DAY)])
    return whole[: len(power)] if len(whole) >= len(power) else np.append(whole, np.full(len(power) - len(whole), whole[-1]))


def _bias(power: FloatArray, capacity: FloatArray, said: FloatArray, issue: Hours) -> tuple[FloatArray, FloatArray]:
    """What the last whole days gave over what the curve said of them, and by how much their last six hours exceeded it, in capacities.

    Args:
        power, capacity: Of every hour.
        said: Of every hour from the second day to the end of the last whole one, in capacities; NaN where there was no weather.
        issue: Positions.
    """
    covered = slice(DAY, DAY + len(said))
    is_known = np.isfinite(said)
    true_sum, said_sum = (
        np.concatenate([np.zeros(DAY + 1), np.cumsum(np.where(is_known, one, 0.0))])
        for one in (power[covered], np.nan_to_num(said) * capacity[covered])
    )
    last = issue // DAY * DAY
    first, late = np.maximum(last - BIAS_DAYS * DAY, 0), last - 6
    prior = BIAS_PRIOR * BIAS_DAYS * capacity[issue - 1] + _TINY
    bias = (true_sum[last] - true_sum[first] + prior) / (said_sum[last] - said_sum[first] + prior)
    gap = (true_sum[last] - true_sum[late]) - (said_sum[last] - said_sum[late])
    return bias, gap / 6 / (capacity[issue - 1] + _TINY)
