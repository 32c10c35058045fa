"""Stoppers for `RunConfig(stop=...)`: by the carbon that a trial still pays for, and by the time that trials really run.

They need no carbon-aware scheduler: the first reads the columns of one where there is one, and prices energy by itself where not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ray.tune import Stopper

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.units import kwh
from carbon_ray.tune.columns import CARBON


class CarbonStopper(Stopper):  # type: ignore[misc]  # ray is untyped
    """Ends a trial whose score has risen by too little for the carbon of its last iterations.

    Args:
        metric: Name of the score.
        mode: "max" or "min".
        least_gain_per_kg: Rise of the score that a kilogram of CO2e has to bring.
        window: Iterations over which that is looked at; a trial runs at least so many.
        power_w: What a trial draws, W; needed only without `CarbonAwareTuneScheduler`.
        gco2_per_kwh: Intensity, g per kWh; needed only without `CarbonAwareTuneScheduler`.
        budget_gco2: Most that all trials together may emit; then the sweep ends. None: no budget.

    Raises:
        ConfigError: An argument is wrong; says which.
    """

    def __init__(
        self,
        metric: str,
        mode: str = "max",
        *,
        least_gain_per_kg: float = 0.0,
        window: int = 5,
        power_w: float | None = None,
        gco2_per_kwh: float | None = None,
        budget_gco2: float | None = None,
    ) -> None:
        if mode not in ("max", "min"):
            raise ConfigError(f"mode must be 'max' or 'min', got {mode!r}")
        if window < 1 or least_gain_per_kg < 0:
            raise ConfigError(f"window must be at least 1 and least_gain_per_kg 0 or above, got {window} and {least_gain_per_kg}")
        if (power_w is None) != (gco2_per_kwh is None):
            raise ConfigError("power_w and gco2_per_kwh go together: give both, or neither under CarbonAwareTuneScheduler")
        self._metric, self._sign, self._window = metric, 1.0 if mode == "max" else -1.0, window
        self._least_gain_per_kg, self._budget_gco2 = least_gain_per_kg, budget_gco2
        self._gco2_per_s = None if power_w is None or gco2_per_kwh is None else kwh(power_w, timedelta(seconds=1)) * gco2_per_kwh
        self._past: dict[str, deque[tuple[float, float]]] = {}
        self._spent_gco2: dict[str, float] = {}
        self._before: dict[str, Mapping[str, Any]] = {}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether the trial is to end at this result."""
        if self._metric not in result:
            return False
        seen = self._seen(trial_id, result)
        if seen is None:
            return False
        self._spent_gco2[trial_id] = seen[0]
        past = self._past.setdefault(trial_id, deque(maxlen=self._window + 1))
        past.append(seen)
        if len(past) <= self._window or not self._least_gain_per_kg:
            return False
        (before_gco2, before), (now_gco2, _) = past[0], past[-1]
        gain = max(score for _, score in list(past)[1:]) - before
        return gain * 1000.0 < self._least_gain_per_kg * (now_gco2 - before_gco2)

    def stop_all(self) -> bool:
        """Whether the budget is used up."""
        return self._budget_gco2 is not None and sum(self._spent_gco2.values()) >= self._budget_gco2

    def _seen(self, trial_id: str, result: Mapping[str, Any]) -> tuple[float, float] | None:
        """Grams and score of this result; of the one before where the columns are still to be written into this one."""
        if self._gco2_per_s is not None:
            return float(result.get("time_total_s", 0.0)) * self._gco2_per_s, self._sign * float(result[self._metric])
        before, self._before[trial_id] = self._before.get(trial_id), result
        if before is None or CARBON not in before:
            return None
        return float(before[CARBON]), self._sign * float(before[self._metric])


class ActiveTimeStopper(Stopper):  # type: ignore[misc]  # ray is untyped
    """Ends the sweep when its trials have run for so long; hours in which they are held do not count, as they do in `time_budget_s`.

    Args:
        budget: Running time of all trials together.

    Raises:
        ConfigError: The budget is no span above zero.
    """

    def __init__(self, budget: timedelta) -> None:
        if not isinstance(budget, timedelta) or budget <= timedelta(0):
            raise ConfigError(f"budget must be a timedelta above zero, got {budget!r}")
        self._budget_s = budget.total_seconds()
        self._total_s: dict[str, float] = {}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """No trial ends by itself."""
        self._total_s[trial_id] = float(result.get("time_total_s", 0.0))
        return False

    def stop_all(self) -> bool:
        """Whether the time is used up."""
        return sum(self._total_s.values()) >= self._budget_s
