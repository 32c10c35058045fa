"""carbon_ray's own policy for sweeps: the bulk runs in the cheapest hours that still meet the deadline, the promising in dearer ones too.

A sweep is planned as one elastic workload (`supply`) at every tick on the newest forecast; its first slot says how many trials run
now. Which ones is a matter of promise (`promise`): the chance that a trial beats the best score sets the price of carbon up to which
it runs, and one that has next to none is ended instead of kept waiting. Where waiting gains nothing, the base scheduler is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.baselines.pcaps import LOOK_AHEAD_H, pcaps_threshold
from carbon_ray.policies.sweeps import limits, wording
from carbon_ray.policies.sweeps.placing import Places, places_of
from carbon_ray.policies.sweeps.promise import Promise, fresh_promise, promises_of
from carbon_ray.policies.sweeps.state import SweepDecision, SweepView, TrialState, TrialView
from carbon_ray.policies.sweeps.supply import Fill, Supply, fill, supply_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplannedSweep:
    """The default policy of sweeps.

    Attributes:
        slot_s: Length of a planning slot, seconds; also the time after which it asks to be asked again.
        patience_h: Hours that a sweep without a deadline may take beyond running at once.
        safety_margin_s: Planned to be done so long before the deadline, seconds.
        least_saving_fraction: Share of the emissions still to come that waiting must be expected to save; below it, everything runs.
        hysteresis_fraction: Running trials are held only when now is dearer than the dearest planned hour by this share.
        importance_gamma: How steeply the price up to which a trial runs grows with its promise: near 0 in proportion, above 5 only the
            most promising run in dirty hours.
        hopeless_ratio: A trial is ended when its chance per hour is below this share of a new trial's, times the swing of the prices
            (marginal over least planned price, less 1). 0: none is ended.
        move_h: Energy of resuming in another region, in hours of running.
    """

    slot_s: float = 900.0
    patience_h: float = 48.0
    safety_margin_s: float = 1800.0
    least_saving_fraction: float = 0.05
    hysteresis_fraction: float = 0.02
    importance_gamma: float = 6.0
    hopeless_ratio: float = 0.0
    move_h: float = 0.1

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """See `SweepPolicy`.

        Raises:
            UnknownZoneError: The snapshot lacks the zone of a region.
            ForecastHorizonError: A forecast does not hold so much as the next slot.
        """
        ...
