"""What a sweep goes by: its regions, its clock and its forecasts, from what the user gave and from the cluster that it runs on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from carbon_ray.actors.handles import CONTROLLER, FORECASTS, NAMESPACE, ControllerClient, ForecastClient
from carbon_ray.core.clock import Clock, SystemClock
from carbon_ray.core.errors import ClusterError, ConfigError, UnknownRegionError
from carbon_ray.core.region import Region
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.tune.grid import Forecasts, Grid

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""Wall seconds that Tune's loop may stand still for an actor that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a sweep goes by.

    Attributes:
        regions: Where trials may run; the first is where they run if nothing else is said.
        clock: The sweep's time.
        grid: Forecasts and prices.
    """

    regions: tuple[Region, ...]
    clock: Clock
    grid: Grid

    @property
    def by_name(self) -> dict[str, Region]:
        """Regions by name."""
        return {region.name: region for region in self.regions}


def find_world(regions: Sequence[Region | str] | None, forecasts: Forecasts | None, clock: Clock | None) -> World:
    """The world of a sweep: what was given wins, then the cluster's configuration, then the embedded profile.

    Raises:
        ConfigError: It is not said which grid feeds the nodes, and no carbon_ray cluster says so.
        UnknownRegionError: A region is named that neither the cluster nor the embedded profile knows.
    """
    known, cluster_clock, cluster_forecasts = _cluster()
    forecasts = forecasts or cluster_forecasts
    clock = clock or cluster_clock or SystemClock()
    chosen = _regions(regions, known, forecasts)
    return World(regions=chosen, clock=clock, grid=Grid(forecasts, tuple({region.zone: None for region in chosen}), clock))


def _regions(regions: Sequence[Region | str] | None, known: Mapping[str, Region], forecasts: Forecasts | None) -> tuple[Region, ...]:
    if isinstance(regions, str):
        raise ConfigError(f"regions must be a list, got the text {regions!r}; write regions=[{regions!r}]")
    if regions is not None and not regions:
        raise ConfigError("regions is empty; name at least one region or grid zone, or leave it out on a carbon_ray cluster")
    if regions is None:
        if known:
            return tuple(known.values())
        zones = tuple(forecasts.snapshot().forecasts) if forecasts is not None else ()
        if len(zones) != 1:
            raise ConfigError(
                "which grid feeds these nodes? This is no carbon_ray cluster, which would know: give regions, such as regions=['DE'] "
                "(zones of the embedded profile: `carbon-ray regions`) or regions=[Region(name=..., zone=..., pue=...)]"
            )
        return (Region(name=zones[0], zone=zones[0], pue=1.0),)
    return tuple(one if isinstance(one, Region) else _named(one, known, forecasts) for one in regions)


def _named(name: str, known: Mapping[str, Region], forecasts: Forecasts | None) -> Region:
    if name in known:
        return known[name]
    zones = EmbeddedProvider().zones()
    if name not in zones and not (forecasts is not None and name in forecasts.snapshot().forecasts):
        raise UnknownRegionError(name, (*known, *zones))
    return Region(name=name, zone=name, pue=1.0)


def _cluster() -> tuple[Mapping[str, Region], Clock | None, Forecasts | None]:
    """Regions, clock and forecasts of the carbon_ray cluster that this process is connected to; nothing where it is none."""
    if not ray.is_initialized():
        return {}, None, None
    forecasts = ForecastClient(retry_for_s=_PATIENCE_S) if _is_there(FORECASTS) else None
    if not _is_there(CONTROLLER):
        return {}, None, forecasts
    controller = ControllerClient(retry_for_s=_PATIENCE_S)
    try:
        controller.begin()
        return controller.config().regions, controller.clock(), forecasts
    except ClusterError as error:
        log.warning("the cluster's controller does not answer (%s)", error)
        return {}, None, forecasts


def _is_there(name: str) -> bool:
    try:
        ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return False
    return True
