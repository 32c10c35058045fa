"""The clairvoyant bound: each job's least emissions with the future known and nothing in its way. No policy may beat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Region
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.deciding import AnyPolicy
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant
from carbon_ray.sim.jobs import JobSet, with_objective
from carbon_ray.sim.results import Run
from carbon_ray.sim.world import Control, Physics, World

_CARBON_ALONE = Objective(usd_per_kgco2=1.0, usd_per_h_delay=0.0, usd_weight=0.0)


def clairvoyant_bound(world: World, jobs: JobSet, *, slot_s: float) -> Run:
    """The exact optimum of every job by itself, with the same overheads, under the truth: by emissions alone, without mishaps,
    without other jobs, without hysteresis or guard.

    Exact on its slots: where jobs arrive, the intensity steps and policies act on the grid of `slot_s`, nothing emits less. A
    policy that acts between the slots may, by a little; choose slots as fine as it acts.

    Args:
        world: Where.
        jobs: Whose.
        slot_s: Length of a slot, seconds.
    """
    ideal = World(
        regions=_undisturbed(world.regions), truth=world.truth, physics=Physics(startup_s=world.physics.startup_s), is_shared=False
    )
    policy: AnyPolicy = Replan(slot_s=slot_s, hysteresis_fraction=0.0, backfire_fraction=0.0)
    return simulate(ideal, with_objective(jobs, _CARBON_ALONE), policy, Clairvoyant(world.truth), Control(tick_s=None))


def _undisturbed(regions: Mapping[str, Region]) -> dict[str, Region]:
    """The same regions, with spot nodes that nobody takes back."""
    return {
        name: replace(region, node_types=tuple(replace(one, interruptions_per_h=0.0) for one in region.node_types))
        for name, region in regions.items()
    }
