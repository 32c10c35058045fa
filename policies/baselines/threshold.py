"""Two thresholds, so that what runs is not stopped by every small rise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import percentile, slots_of
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Punctual):
    """Start at or below a low percentile of the hours ahead, stop above a high one; in between, go on as it is.

    Formula: with Q_l, Q_h the percentiles of p over the next H hours (what is left of the window where that is shorter),
    suspended: run if p[0] <= Q_l; running: stop if p[0] > Q_h.

    Source: none in particular; the two-point controller that operators build first.

    Attributes:
        low_percentile: l, 0 to 100.
        high_percentile: h, from l to 100.
        ahead_h: H.
    """

    name: ClassVar[str] = "threshold"
    low_percentile: float = 30.0
    high_percentile: float = 60.0
    ahead_h: float = 24.0

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile <= self.high_percentile <= 100 or not self.ahead_h > 0:
            raise ValueError(
                f"need 0 <= low_percentile <= high_percentile <= 100 and ahead_h > 0, got "
                f"{self.low_percentile}, {self.high_percentile} and {self.ahead_h}"
            )

    @property
    def interrupts(self) -> bool:
        """True."""
        return True

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if now is on the right side of the threshold that applies."""
        ahead = outlook.gco2[: slots_of(self.ahead_h, outlook.slot_h), outlook.at]
        limit = percentile(ahead, self.high_percentile if outlook.is_running else self.low_percentile)
        return Run(region=outlook.at) if ahead[0] <= limit else None
