"""The configuration as people write it: the section `provider.carbon` of a cluster YAML, validated."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from carbon_ray.config.capacity import CapacitySettings
from carbon_ray.config.forecasting import ForecastingSettings
from carbon_ray.config.section import Section
from carbon_ray.config.sites import SiteSettings
from carbon_ray.config.sources import BreakerSettings, CacheSettings, FallbackSettings, SourceSettings
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.region import Market
from carbon_ray.providers.embedded import EmbeddedProvider


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None or instant.utcoffset() != timedelta(0):
        raise ValueError("write an instant in UTC, such as 2022-05-02T16:00Z")
    return instant


UtcInstant = Annotated[datetime, AfterValidator(_aware)]


class GridSettings(SourceSettings):
    """Where intensity comes from: a source, and in their order those that stand in for it."""

    where: ClassVar[str] = "grid."

    kind: IntensityKind = Field(default=IntensityKind.AVERAGE_LIFECYCLE, description="What is counted; never mixed with another kind")
    fallbacks: tuple[FallbackSettings, ...] = Field(default=(), description="Sources of the same kind that stand in, in this order")
    patience_s: float = Field(
        default=3 * 3600.0, ge=0, description="Seconds after a source's last answer for which no other one stands in; forecasts stay"
    )
    stale_after_h: float = Field(default=72.0, ge=0, le=72, description="A source whose newest value is older than this has none")
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)

    @model_validator(mode="after")
    def _the_last_resort_counts_the_same(self) -> Self:
        if self.kind is not EmbeddedProvider.kind and any(one.provider == EmbeddedProvider.name for one in self.fallbacks):
            raise ValueError(
                f"grid.kind is {self.kind}, and the embedded profile counts {EmbeddedProvider.kind}: kinds never stand in for each other; "
                "remove it from grid.fallbacks"
            )
        names = [self.provider, *(one.provider for one in self.fallbacks)]
        if EmbeddedProvider.name in names[:-1]:
            raise ValueError("grid.fallbacks behind the embedded profile are never asked, because it always answers; put it last")
        return self


class ClockSettings(Section):
    """Which time the cluster lives in."""

    mode: Literal["system", "replay"] = Field(default="system", description="system: the world's; replay: another day at another speed")
    start_at: UtcInstant | None = Field(default=None, description="Replayed instant of the first submission (mode: replay)")
    speedup: float = Field(default=1.0, gt=0, description="Replayed seconds per second (mode: replay)")

    @model_validator(mode="after")
    def _replay_needs_a_start(self) -> Self:
        if (self.mode == "replay") != (self.start_at is not None):
            raise ValueError("clock.mode 'replay' and clock.start_at go together: give both, or neither")
        return self


class RegionSettings(SiteSettings):
    """One region: its grid zone and its buildings, written here or those of a cloud's region."""


class NodeTypeSettings(Section):
    """Price and power of one node type of `available_node_types`."""

    usd_per_h: float = Field(default=0.0, ge=0, description="Price of a node per hour, USD")
    tdp_w: float = Field(gt=0, description="Power of the whole node at full utilisation, W")
    idle_fraction: float = Field(default=0.2, ge=0, le=1, description="Share of tdp_w drawn when idle")
    power_source: str = Field(default="declared", description="Where the power figures come from; stored with every energy figure")
    market: Market = Field(default=Market.ON_DEMAND, description="reserved (used first, free at the margin), on_demand or spot")
    interruptions_per_h: float = Field(default=0.0, ge=0, description="Rate at which a spot node is taken back, per hour")
    startup_s: float = Field(
        default=0.0, ge=0, description="Seconds of the cluster's clock that a node takes to be ready: asked for as early"
    )

    @model_validator(mode="after")
    def _only_spot_is_taken_back(self) -> Self:
        if self.interruptions_per_h > 0 and self.market is not Market.SPOT:
            raise ValueError("interruptions_per_h above 0 goes with market spot alone: set market to spot, or leave it out")
        return self


class ControllerSettings(Section):
    """How often and how boldly the controller acts."""

    policy: str = Field(default="carbon_ray", description="Name in the entry-point group carbon_ray.policies")
    tick_s: float = Field(default=1.0, gt=0, description="Wall seconds between rounds")
    slot_s: float = Field(default=900.0, gt=0, description="Length of a planning slot, seconds of the cluster's clock")
    min_stay_s: float = Field(default=1800.0, ge=0, description="Seconds between changes of one workload, unless its deadline forces one")
    hysteresis_fraction: float = Field(
        default=0.02, ge=0, lt=1, description="Gain below which a running workload is left alone, share of what running a slot costs"
    )
    plan_valid_s: float = Field(default=30.0, gt=0, description="Wall seconds after which a capacity plan lapses and Ray is on its own")
    launch_timeout_s: float = Field(default=180.0, gt=0, description="Wall seconds without a node after which a region counts as full")
    block_s: float = Field(default=3600.0, gt=0, description="Seconds for which a full region is left out")
    orphan_after_s: float = Field(
        default=120.0, gt=0, description="Wall seconds without a word of a workload's driver or workers after which its nodes are let go"
    )
    max_forecast_age_s: float = Field(default=6 * 3600.0, gt=0, description="Age beyond which a forecast is refused")
    capacity: CapacitySettings = Field(default_factory=CapacitySettings)


class CarbonConfig(Section):
    """Everything carbon_ray needs to know about a cluster."""

    grid: GridSettings = Field(default_factory=GridSettings)
    clock: ClockSettings = Field(default_factory=ClockSettings)
    forecaster: str = Field(default="ewma", description="Model: ewma, lightgbm, linear or persistence; see docs/forecasting.md")
    forecasting: ForecastingSettings = Field(default_factory=ForecastingSettings)
    history_days: int = Field(default=21, ge=2, le=800, description="Days of history that the forecaster sees; lightgbm sees 150 at least")
    horizon_h: float = Field(default=192.0, ge=1, description="Hours forecast ahead, at least; longer deadlines extend it")
    regions: dict[str, RegionSettings] = Field(min_length=1, description="By name, as in the label ray.io/availability-region")
    node_types: dict[str, NodeTypeSettings] = Field(min_length=1, description="By name, as in available_node_types")
    controller: ControllerSettings = Field(default_factory=ControllerSettings)
    state_dir: Path | None = Field(default=None, description="Ledger and forecast state; default: ~/.carbon_ray/<cluster> on the head")

    @model_validator(mode="after")
    def _weather_is_of_the_present(self) -> Self:
        if self.forecasting.weather is not None and self.clock.mode != "system":
            raise ValueError("forecasting.weather needs clock.mode 'system': on a replayed day there is no forecast of that day's weather")
        return self
