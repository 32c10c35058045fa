"""The rule that looks at dollars alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import first_lowest, window_sums
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheapest(Punctual):
    """The region and window of the lowest price, blind to carbon; with constant prices that is the cheapest region, at once.

    Formula: (s, r) = argmin of the sum of usd[s .. s + J - 1][r] over all starts that end in time. Ties: earliest, then lowest region.

    Source: none in particular; what an owner does who is billed for nodes and not for carbon.
    """

    name: ClassVar[str] = "cheapest"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if the cheapest window begins now; work that has started stays in its region."""
        paid = outlook.startup_slots + outlook.left  # nodes are paid for while they start
        usable = np.where(np.isfinite(outlook.gco2), outlook.usd, np.inf)
        if outlook.is_started:
            return Run(region=outlook.at) if first_lowest(window_sums(usable[:, outlook.at], paid)) == 0 else None
        start, region = divmod(int(first_lowest(window_sums(usable, paid).ravel())), usable.shape[1])
        return Run(region=region) if start == 0 else None
