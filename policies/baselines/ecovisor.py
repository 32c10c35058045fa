"""Ecovisor's threshold: run in clean hours, pause in dirty ones, until the patience is spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import IndexArray, percentile, slots_of
from carbon_ray.policies.outlook import Outlook, Run

DAY_H = 24.0
"""Hours from submission that the percentile is taken over. Source: GAIA's Ecovisor policy, ASPLOS 2024 artefact."""


def slots_run(values: FloatArray, threshold: float, count: int, patience: int) -> IndexArray:
    """The first `count` slots that are run: those below the threshold, and every one once `patience` slots were waited.

    Args:
        values: Emissions or intensity, shape (T,).
        threshold: Slots strictly below are run.
        count: Slots of work; fewer are returned where the data ends before.
        patience: Slots that may be waited.
    """
    is_clean = values < threshold
    waited_before: IndexArray = np.cumsum(~is_clean) - (~is_clean).astype(np.intp)
    run: IndexArray = np.flatnonzero(is_clean | (waited_before >= patience))[:count]
    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecovisor(Punctual):
    """Run in slots strictly below a percentile of the first day after submission; without a pause once the patience is spent.

    Formula: run at t if p[t] < percentile_q(p of the 24 h from submission), or if W slots were spent waiting.

    Where the past is not known, the 24 h from now stand in for those from submission.

    Source: Souza et al., "Ecovisor: A Virtual Energy System for Carbon-Efficient Applications", ASPLOS 2023,
    doi:10.1145/3575693.3575709, as the policy of that name in GAIA (`LowestSlot`) sets it: q = 30.

    Attributes:
        percentile: q, 0 to 100.
        wait_slots: W; None waits for as long as the deadline allows.
    """

    name: ClassVar[str] = "ecovisor"
    percentile: float = 30.0
    wait_slots: int | None = None

    @property
    def interrupts(self) -> bool:
        """True."""
        return True

    def wish(self, outlook: Outlook) -> Run | None:
        """Run if now is clean, or enough was waited."""
        day = outlook.gco2[:, outlook.at]
        if outlook.past_gco2 is not None:
            day = np.concatenate([outlook.past_gco2[:, outlook.at], day])
        threshold = percentile(day[: slots_of(DAY_H, outlook.slot_h)], self.percentile)
        patience = len(outlook.gco2) if self.wait_slots is None else self.wait_slots - outlook.waited
        is_now = len(slots_run(outlook.gco2[:1, outlook.at], threshold, 1, patience)) == 1
        return Run(region=outlook.at) if is_now else None
