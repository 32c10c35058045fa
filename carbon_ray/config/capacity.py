"""The section `controller.capacity` of `provider.carbon`: when nodes come, stay and go."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from carbon_ray.config.section import Section
from carbon_ray.policies.capacity import CapacityPolicy, DisruptionBudget, QuietHours, SpotRule
from carbon_ray.policies.capacity.budget import Quiet

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class SpotSettings(Section):
    """When workloads may have spot nodes."""

    confidence_fraction: float = Field(
        default=0.95, gt=0, lt=1, description="Least chance that a workload's slack absorbs every interruption that comes"
    )

    def rule(self) -> SpotRule:
        """The rule as the policy knows it."""
        return SpotRule(confidence_fraction=self.confidence_fraction)


class QuietSettings(Section):
    """Hours of the day, in UTC, in which nothing is disturbed but what a deadline forces."""

    start_h: float = Field(ge=0, le=24, description="Hour at which they begin, UTC")
    end_h: float = Field(ge=0, le=24, description="Hour at which they end; below start_h they last over midnight")
    days: list[Day] = Field(default_factory=list, description="Days on which they begin; every day by default")
    protects: Quiet = Field(default=Quiet.BUSY, description="busy: running workloads; all: idle nodes too")

    @model_validator(mode="after")
    def _hours_differ(self) -> Self:
        if self.start_h == self.end_h:
            raise ValueError("quiet hours need a start_h and an end_h that differ; write 0 and 24 for the whole day")
        return self

    def hours(self) -> QuietHours:
        """The hours as the policy knows them."""
        days = tuple(_DAYS.index(day) for day in self.days)
        return QuietHours(start_h=self.start_h, end_h=self.end_h, days=days, protects=self.protects)


class CapacitySettings(Section):
    """When nodes come, stay and go."""

    idle_grace_s: float = Field(default=1.0, ge=0, description="Wall seconds that a node must have been idle before it is drained")
    drain_s: float = Field(default=0.0, ge=0, description="Seconds of the cluster's clock that a drain takes")
    cooldown_s: float = Field(default=300.0, ge=0, description="Seconds of the cluster's clock after a node's coming in which none goes")
    patience_s: float = Field(default=900.0, ge=0, description="Wall seconds for which idle nodes are kept for Ray's pending requests")
    most_drains: int = Field(default=1, ge=0, description="Most nodes that drain at a time; 0: carbon_ray drains none")
    most_region_fraction: float = Field(default=1.0, gt=0, le=1, description="Most of a region's nodes that drain at a time, rounded up")
    quiet: list[QuietSettings] = Field(default_factory=list, description="Hours in which nothing is disturbed")
    spot: SpotSettings = Field(default_factory=SpotSettings)

    def policy(self, *, valid_s: float) -> CapacityPolicy:
        """The policy with these settings, for plans that lapse after `valid_s` wall seconds."""
        return CapacityPolicy(
            valid_s=valid_s,
            idle_grace_s=self.idle_grace_s,
            drain_s=self.drain_s,
            cooldown_s=self.cooldown_s,
            patience_s=self.patience_s,
            budget=DisruptionBudget(
                nodes=self.most_drains,
                region_fraction=self.most_region_fraction,
                quiet=tuple(one.hours() for one in self.quiet),
            ),
        )
