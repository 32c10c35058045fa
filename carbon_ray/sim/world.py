"""What a simulation is set in: regions, the intensity that comes true, the time that things take, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, require_one_kind
from carbon_ray.core.region import Region
from carbon_ray.policies.capacity import SpotRule
from carbon_ray.policies.guards import Guards


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """How long things take, beyond what each workload's overheads say of it.

    Attributes:
        startup_s: Time from nodes to the first step of a segment, seconds; None for what the workload itself expects.
        checkpoint_s: Time in which nodes are held to write a checkpoint at a stop, seconds.
        checkpoint_every_s: Time between checkpoints while running, seconds: what a loss of nodes can cost at most. They cost
            no energy of their own: every policy writes the same ones.
        bandwidth_bytes_per_s: At which checkpoints travel between regions.
        launch_timeout_s: Time without nodes after which a region counts as full, seconds; as the controller's setting.
        block_s: Time for which a full region is left out, seconds; as the controller's setting.
    """

    startup_s: float | None = None
    checkpoint_s: float = 0.0
    checkpoint_every_s: float = math.inf
    bandwidth_bytes_per_s: float = math.inf
    launch_timeout_s: float = 180.0
    block_s: float = 3600.0

    def __post_init__(self) -> None:
        if min(self.startup_s or 0.0, self.checkpoint_s) < 0:
            raise ConfigError("startup_s and checkpoint_s must not be negative")
        if min(self.checkpoint_every_s, self.bandwidth_bytes_per_s, self.launch_timeout_s, self.block_s) <= 0:
            raise ConfigError("checkpoint_every_s, bandwidth_bytes_per_s, launch_timeout_s and block_s must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """What goes wrong, drawn from seeded streams that no decision can shift.

    Attributes:
        stockouts_per_day: Probability that in a region a stock-out begins on a day, 0..1; while it lasts no segment starts there.
        stockout_mean_h: Mean of its exponential length, hours.
        losses_per_node_h: Rate at which nodes of any kind are lost while held, per node and hour; one lost node ends the segment. That
            of spot nodes is in addition, and their node type's own.
        spot_stockouts_per_day: Probability that in a region spot nodes run out on a day, 0..1, for as long as a stock-out.
        seed: Another number gives other mishaps.
    """

    stockouts_per_day: float = 0.0
    stockout_mean_h: float = 2.0
    losses_per_node_h: float = 0.0
    spot_stockouts_per_day: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.stockouts_per_day <= 1 or not 0 <= self.spot_stockouts_per_day <= 1:
            raise ConfigError(
                "stockouts_per_day and spot_stockouts_per_day are probabilities within 0..1, got "
                f"{self.stockouts_per_day} and {self.spot_stockouts_per_day}"
            )
        if not 0 < self.stockout_mean_h < math.inf or not 0 <= self.losses_per_node_h < math.inf or self.seed < 0:
            raise ConfigError("stockout_mean_h must be above 0, losses_per_node_h and seed not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Regions and what comes true in them.

    Attributes:
        regions: By name; the node types' `max_nodes` are the capacity.
        truth: Intensity that comes true, by zone, all of one kind; forecasters see of it what is past.
        physics: How long things take.
        mishaps: What goes wrong.
        is_shared: Jobs take nodes from one another; False = each has the regions to itself.

    Raises:
        UnknownZoneError: A region's zone has no series.
        UnitMismatchError: The series are of several kinds.
    """

    regions: Mapping[str, Region]
    truth: Mapping[str, IntensitySeries]
    physics: Physics = field(default_factory=Physics)
    mishaps: Mishaps = field(default_factory=Mishaps)
    is_shared: bool = True

    def __post_init__(self) -> None:
        for region in self.regions.values():
            if region.zone not in self.truth:
                raise UnknownZoneError(region.zone, tuple(self.truth))
        require_one_kind([series.kind for series in self.truth.values()])

    @property
    def kind(self) -> IntensityKind:
        """What all intensities count."""
        return next(iter(self.truth.values())).kind

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of the regions, sorted."""
        return tuple(sorted({region.zone for region in self.regions.values()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """How often is decided, and what holds decisions back.

    Between two ticks a workload follows the plan that it was given last. An arrival, a refusal and a region found full are
    answered at once, as by a controller whose rounds are seconds apart.

    Attributes:
        tick_s: Seconds between the rounds in which every live workload is decided anew; None = only at submission, and when
            the plan came to nothing.
        guards: What admits decisions.
        spot: When a job may have spot nodes.
        disruptions_per_tick: Most running workloads that one round stops or moves. A controller disturbs one a round, with rounds
            seconds apart, so None, any number, stands for a tick of many rounds.
    """

    tick_s: float | None = 3600.0
    guards: Guards = field(default_factory=Guards)
    spot: SpotRule = field(default_factory=SpotRule)
    disruptions_per_tick: int | None = None

    def __post_init__(self) -> None:
        if self.tick_s is not None and not 0 < self.tick_s < math.inf:
            raise ConfigError(f"tick_s must be above 0 and finite, got {self.tick_s}")
        if self.disruptions_per_tick is not None and self.disruptions_per_tick < 1:
            raise ConfigError(f"disruptions_per_tick must be at least 1, got {self.disruptions_per_tick}")
