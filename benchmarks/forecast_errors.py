"""How wrong forecasts are, measured on the hours that they are then judged by: mean absolute percentage error by lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.hourly import Issues
from benchmarks.traces import HourlyTable
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray

STEP_HOURS = 37
"""Hours between the issues that are looked at: coprime to a day, so that every hour of the day is one of issue."""
HISTORY_HOURS = 15 * 24
"""Before the first issue, which the naive forecasters need."""
TOLD_LEADS_H = (1, 3, 6, 12, 24, 48, 72, 96, 120, 144, 168)
"""Leads that a row names; a lead of 1 is the hour that begins at the issue."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForecastError:
    """Errors of one forecaster.

    Attributes:
        mape_by_lead_fraction: Mean of |median - truth| / truth over issues and zones by hours ahead, shape (horizon,); hours
            without emissions are left out.
        issues: Number of issues looked at.
    """

    mape_by_lead_fraction: FloatArray
    issues: int

    @property
    def mape_fraction(self) -> float:
        """Mean over all leads of the horizon."""
        return float(self.mape_by_lead_fraction.mean())

    def fields(self) -> dict[str, Any]:
        """As a row of results says it."""
        by_lead = {
            str(lead): float(self.mape_by_lead_fraction[lead - 1]) for lead in TOLD_LEADS_H if lead <= len(self.mape_by_lead_fraction)
        }
        return {"forecast_mape_fraction": self.mape_fraction, "forecast_mape_by_lead_h": by_lead, "forecast_issues": self.issues}


def forecast_error(issues: Issues, table: HourlyTable, year: int, horizon: int, *, step_hours: int = STEP_HOURS) -> ForecastError:
    """Compare forecasts with what came true, over a year and over all zones alike.

    Args:
        issues: Forecasts by hour of issue.
        table: Truth.
        year: Whose hours are forecast.
        horizon: Hours ahead.
        step_hours: Hours between issues.

    Raises:
        ConfigError: The year has no hour of issue with history before it and truth above 0 after it.
    """
    first, last = table.year(year)
    starts = range(max(first, HISTORY_HOURS), last - horizon + 1, step_hours)
    total, count = np.zeros(horizon), np.zeros(horizon)
    for issue in starts:
        median, _ = issues.at(issue, horizon)
        true = table.values_gco2_per_kwh[issue : issue + horizon]
        is_share = true > 0
        total += (np.abs(median - true) / np.where(is_share, true, np.inf)).sum(axis=1)
        count += is_share.sum(axis=1)
    if not len(starts) or not count.all():
        raise ConfigError(f"{year} has no hour with {HISTORY_HOURS} h of history before it and {horizon} h of truth above 0 after it")
    return ForecastError(mape_by_lead_fraction=total / count, issues=len(starts))
