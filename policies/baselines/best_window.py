"""Place and time chosen once: the strongest rule without live migration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import first_lowest, window_sums
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class BestWindow(Punctual):
    """The region and block of slots with the lowest emissions, the staging of the data included; no pause, no later move.

    Formula: (s, r) = argmin of p[s][r] + .. + p[s + J - 1][r] + o p[s][r] away(r), with o the staging in slots and away(r) = 1
    outside the region that the data is in. Ties: earliest, then lowest region.

    Source: temporal and spatial shifting combined, Sukprasert et al., "On the Limitations of Carbon-Aware Temporal and Spatial
    Workload Shifting in the Cloud", EuroSys 2024, doi:10.1145/3627703.3650079; the charge for staging is carbon_ray's.
    """

    name: ClassVar[str] = "best_window"

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if the best window begins now."""
        sums = window_sums(outlook.gco2[outlook.startup_slots :], outlook.left)
        is_away = np.arange(sums.shape[1]) != outlook.at
        if outlook.staging:
            sums = sums + np.where(is_away, outlook.staging * outlook.gco2[: len(sums)], 0.0)
        start, region = divmod(int(first_lowest(sums.ravel())), sums.shape[1])
        return Run(region=region) if start == 0 else None
