"""The start-time rules of GAIA: Lowest-Slot, Lowest-Window, Carbon-Time. All run at home, without a pause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.policies.baselines.deadline import Punctual, spare_slots
from carbon_ray.policies.baselines.windows import first_best_rate, first_lowest, window_sums
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestSlot(Punctual):
    """Start in the cleanest slot within the waiting budget, for work whose length nobody knows.

    Formula: s = argmin of p[s] over s = 0..W. Ties: earliest.

    Source: Hanafy, Liang, Bashir, Souza, Irwin and Shenoy, "Going Green for Less Green: Optimizing the Cost of Reducing Cloud
    Carbon Emissions", ASPLOS 2024; artefact doi:10.5281/zenodo.10795479.
    """

    name: ClassVar[str] = "lowest_slot"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if no first slot of work is cleaner than that of a start now."""
        first = outlook.startup_slots
        candidates = outlook.gco2[first : first + spare_slots(outlook) + 1, outlook.at]
        return Run(region=outlook.at) if first_lowest(candidates) == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestWindow(Punctual):
    """Start where the whole work emits least within the waiting budget.

    Formula: s = argmin of S(s) = p[s] + .. + p[s + J - 1] over s = 0..W. Ties: earliest.

    Source: as `LowestSlot`. GAIA sums over the mean length of the queue; here the length is known.
    """

    name: ClassVar[str] = "lowest_window"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if the lowest window begins now."""
        sums = window_sums(outlook.gco2[outlook.startup_slots :, outlook.at], outlook.left)
        return Run(region=outlook.at) if first_lowest(sums) == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonTime(Punctual):
    """Start where the carbon saved per hour until the work is done is highest.

    Formula: s = argmax of (S(0) - S(s)) / (s + J) over s = 0..W, s counted from submission, S as in `LowestWindow`. Ties: earliest.

    The reference S(0) is that of submission and must not move with the clock: measured against a start now, every cleaner window
    ahead would look like a gain, and the rule would turn into Lowest-Window. Where the past is not known, the mean window ahead
    stands in for it.

    Source: as `LowestSlot`.
    """

    name: ClassVar[str] = "carbon_time"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if the best start is now."""
        ahead, length = outlook.gco2[outlook.startup_slots :, outlook.at], outlook.left
        sums = window_sums(ahead, length)
        reference = np.nan
        if outlook.elapsed == 0:
            reference = sums[0]
        elif outlook.past_gco2 is not None:
            since = np.concatenate([outlook.past_gco2[:, outlook.at], outlook.gco2[:, outlook.at]])
            reference = window_sums(since[outlook.startup_slots :], length)[0]
        until_done = outlook.elapsed + outlook.startup_slots + length + np.arange(len(sums), dtype=np.float64)
        return Run(region=outlook.at) if first_best_rate(float(reference), sums, until_done) == 0 else None
