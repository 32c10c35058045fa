"""Published rules for when and where to run: what carbon_ray is compared with, and can be told to follow."""

from carbon_ray.policies.baselines.at_once import RunNowRule, StaticCleanest
from carbon_ray.policies.baselines.best_window import BestWindow
from carbon_ray.policies.baselines.carbon_scaler import CarbonScaler
from carbon_ray.policies.baselines.cheapest import Cheapest
from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.ecovisor import Ecovisor
from carbon_ray.policies.baselines.gaia import CarbonTime, LowestSlot, LowestWindow
from carbon_ray.policies.baselines.pcaps import Cap, Pcaps
from carbon_ray.policies.baselines.rolling import Rolled, after, roll
from carbon_ray.policies.baselines.threshold import Threshold
from carbon_ray.policies.baselines.wait_awhile import WaitAwhile

RULES: tuple[type[Punctual], ...] = (
    RunNowRule,
    StaticCleanest,
    WaitAwhile,
    BestWindow,
    CarbonTime,
    LowestWindow,
    LowestSlot,
    Ecovisor,
    CarbonScaler,
    Cap,
    Pcaps,
    Cheapest,
    Threshold,
)
"""Every rule; each can be made without arguments."""

__all__ = [
    "RULES",
    "BestWindow",
    "Cap",
    "CarbonScaler",
    "CarbonTime",
    "Cheapest",
    "Ecovisor",
    "LowestSlot",
    "LowestWindow",
    "Pcaps",
    "Punctual",
    "Rolled",
    "RunNowRule",
    "StaticCleanest",
    "Threshold",
    "WaitAwhile",
    "after",
    "roll",
]
