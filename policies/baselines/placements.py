"""The published rules by name: one policy each for the entry-point group `carbon_ray.policies`.

Every policy is its rule with the rule's own parameters as fields, plus the length of a slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from carbon_ray.core.decision import Decision
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.baselines.at_once import StaticCleanest
from carbon_ray.policies.baselines.best_window import BestWindow
from carbon_ray.policies.baselines.carbon_scaler import CarbonScaler
from carbon_ray.policies.baselines.cheapest import Cheapest
from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.ecovisor import Ecovisor
from carbon_ray.policies.baselines.gaia import CarbonTime, LowestSlot, LowestWindow
from carbon_ray.policies.baselines.pcaps import Cap, Pcaps
from carbon_ray.policies.baselines.policy import decide_by
from carbon_ray.policies.baselines.threshold import Threshold
from carbon_ray.policies.baselines.wait_awhile import WaitAwhile
from carbon_ray.policies.sites import sites_for

SLOT_S = 900.0
"""Length of a slot where none is given, as in carbon_ray's own policy."""


class Placing(Punctual):
    """What turns a rule into a policy: subclasses are the rule's dataclass with a slot length.

    Attributes:
        slot_s: Length of a slot, seconds.
    """

    __slots__ = ()
    slot_s: float

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """See `PlacementPolicy.decide`."""
        return decide_by(self, self.name, workload, progress, around, now=now, slot_s=self.slot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCleanestPolicy:
    """Run at once in the region with the lowest mean intensity: `StaticCleanest` by region names.

    Attributes:
        annual_mean_gco2_per_kwh: Mean intensity by region name; empty takes the forecast's means.
        slot_s: Length of a slot, seconds.
    """

    annual_mean_gco2_per_kwh: Mapping[str, float] = field(default_factory=dict)
    slot_s: float = SLOT_S

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """See `PlacementPolicy.decide`.

        Raises:
            ConfigError: The table lacks a region that the workload may use.
        """
        means = None
        if self.annual_mean_gco2_per_kwh:
            names = [site.region.name for site in sites_for(workload, around.regions)]
            if missing := [name for name in names if name not in self.annual_mean_gco2_per_kwh]:
                raise ConfigError(f"annual_mean_gco2_per_kwh lacks {', '.join(missing)}; give the mean of every allowed region, or of none")
            means = tuple(self.annual_mean_gco2_per_kwh[name] for name in names)
        rule = StaticCleanest(annual_mean=means)
        return decide_by(rule, rule.name, workload, progress, around, now=now, slot_s=self.slot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAwhilePolicy(WaitAwhile, Placing):
    """Wait at home for the lowest slots, one by one: `WaitAwhile`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAwhileBlockPolicy(WaitAwhile, Placing):
    """Wait at home for the lowest block of slots: `WaitAwhile` that does not interrupt."""

    name: ClassVar[str] = "wait_awhile_block"
    interruptible: bool = False
    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class BestWindowPolicy(BestWindow, Placing):
    """Choose the best region and window once, then neither pause nor move: `BestWindow`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonTimePolicy(CarbonTime, Placing):
    """Start where the carbon saved per hour until the work is done is highest: `CarbonTime`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestWindowPolicy(LowestWindow, Placing):
    """Start where the whole work emits least within the slack: `LowestWindow`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestSlotPolicy(LowestSlot, Placing):
    """Start in the cleanest slot within the slack: `LowestSlot`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class EcovisorPolicy(Ecovisor, Placing):
    """Run in clean hours and pause in dirty ones, until the patience is spent: `Ecovisor`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonScalerPolicy(CarbonScaler, Placing):
    """Give the next worker to the slot where it does most work per gram: `CarbonScaler`.

    A rigid workload is one level, for which it is Let's Wait Awhile slot by slot.
    """

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CapPolicy(Cap, Placing):
    """Keep to a quota of workers that falls as the intensity rises: `Cap`; a rigid workload is one worker."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PcapsPolicy(Pcaps, Placing):
    """Run if the intensity is at most what the importance of the work is worth: `Pcaps`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CheapestPolicy(Cheapest, Placing):
    """Take the region and window of the lowest price, blind to carbon: `Cheapest`."""

    slot_s: float = SLOT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPolicy(Threshold, Placing):
    """Start below a low percentile of the hours ahead and stop above a high one: `Threshold`."""

    slot_s: float = SLOT_S
