"""The counterfactual in closed form: the same work started at submission, at home, without a pause or a mishap."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Workload
from carbon_ray.sim.nodes import Holding


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """Nodes held at home through the start-up, then through the work.

    Attributes:
        holding: The nodes.
        start_s: Since when they would have been held, seconds from the origin.
        running_s: When the first step would have been made.
        finished_s: When the work would have been done.
    """

    holding: Holding
    start_s: float
    running_s: float
    finished_s: float

    @classmethod
    def of(cls, workload: Workload, holding: Holding, submitted_s: float, startup_s: float) -> RunNow:
        """That of a workload, with the start-up time that nodes really take."""
        running_s = submitted_s + startup_s
        finished_s = round(running_s + workload.work_h * S_PER_H, 6)
        return cls(holding=holding, start_s=submitted_s, running_s=running_s, finished_s=finished_s)

    @property
    def kwh(self) -> float:
        """Energy at the site."""
        starting_h, running_h = (self.running_s - self.start_s) / S_PER_H, (self.finished_s - self.running_s) / S_PER_H
        return self.holding.idle_kw * starting_h + self.holding.running_kw * running_h

    @property
    def usd(self) -> float:
        """Money for the nodes."""
        return self.holding.usd_per_h * (self.finished_s - self.start_s) / S_PER_H

    def gco2_until(self, now_s: float) -> float:
        """Emissions until an instant after the submission, g.

        Raises:
            OutsideDataError: What came true is not known so far.
        """
        truth, running_s = self.holding.truth, min(self.running_s, now_s)
        starting = self.holding.idle_kw * truth.over(self.start_s, running_s)
        return starting + self.holding.running_kw * truth.over(running_s, min(self.finished_s, max(now_s, running_s)))
