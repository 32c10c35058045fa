"""Let's Wait Awhile: shift in time at home, as one block or slot by slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import cheapest_slots, first_lowest, whole_slots, window_sums
from carbon_ray.policies.outlook import Outlook, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAwhile(Punctual):
    """The lowest block of slots, or the lowest slots one by one, before the deadline, in the home region.

    Formula: with J slots of work and a waiting budget W; not interruptible, s = argmin over s = 0..W of
    p[s] + .. + p[s + J - 1]; interruptible, the J lowest slots of [0, J + W). Ties: earliest.

    Source: Wiesner, Behnke, Scheinert, Gontarska and Thamsen, "Let's Wait Awhile: How Temporal Workload Shifting Can Reduce
    Carbon Emissions in the Cloud", Middleware 2021, doi:10.1145/3464298.3493399.

    Attributes:
        interruptible: Slot by slot; False takes one block.
    """

    name: ClassVar[str] = "wait_awhile"
    interruptible: bool = True

    @property
    def interrupts(self) -> bool:
        """As the parameter says."""
        return self.interruptible

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if the slot that a start now would work in belongs to the choice; run on if a pause could not end before its next slot."""
        first_work = 0 if outlook.is_running else outlook.startup_slots
        ahead = outlook.gco2[first_work:, outlook.at]
        if self.interruptible:
            out_of_reach = outlook.startup_slots if outlook.is_running else 0
            is_now = bool(cheapest_slots(ahead, whole_slots(outlook.left))[: out_of_reach + 1].any())
        else:
            is_now = first_lowest(window_sums(ahead, outlook.left)) == 0
        return Run(region=outlook.at) if is_now else None
