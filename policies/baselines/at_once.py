"""Rules that never wait: at home, or in the region that is cleanest on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import first_lowest
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNowRule(Punctual):
    """Start at submission in the home region and run on: what every saving is measured against.

    Formula: r = home, s = 0.

    Source: the carbon-agnostic reference of all studies below (`docs/policies/run_now.md`).
    """

    name: ClassVar[str] = "run_now"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run where it is, which is home before the first start."""
        return Run(region=outlook.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCleanest(Punctual):
    """Run at once in the region with the lowest mean, whatever the hour; one migration at the start, none later.

    Formula: r = argmin over r of mean(r), s = 0. Ties go to the lowest region index.

    Source: "migration to the cleanest region" of Sukprasert et al., "On the Limitations of Carbon-Aware Temporal and Spatial
    Workload Shifting in the Cloud", EuroSys 2024, doi:10.1145/3627703.3650079. With the mean of the year that is being evaluated
    it is a choice in hindsight.

    Attributes:
        annual_mean: Mean intensity of each region in the order of the outlook, any one unit. None takes the outlook's means.
    """

    name: ClassVar[str] = "static_cleanest"
    annual_mean: tuple[float, ...] | None = None

    def wish(self, outlook: Outlook) -> Run | None:
        """Run in the cleanest region; work that has started stays where it is.

        Raises:
            ValueError: The table has not one mean a region.
        """
        if outlook.is_started:
            return Run(region=outlook.at)
        means = outlook.gco2.mean(axis=0) if self.annual_mean is None else np.array(self.annual_mean)
        if means.shape != outlook.gco2.shape[1:]:
            raise ValueError(f"annual_mean needs one value a region, {outlook.gco2.shape[1]}, got {len(means)}")
        return Run(region=int(first_lowest(means)))
