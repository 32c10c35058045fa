"""What is worth what: one price per thing, so that every trade can be explained in dollars."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.units import kg


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Prices that turn carbon and delay into USD; money counts as it is.

    Attributes:
        usd_per_kgco2: Price of a kilogram of CO2e.
        usd_per_h_delay: Price of each hour until the work is done.
        usd_weight: Weight of the nodes' price, 1 = dollars as they are, 0 = somebody else pays.
    """

    usd_per_kgco2: float = 0.2
    usd_per_h_delay: float = 0.0
    usd_weight: float = 1.0

    def __post_init__(self) -> None:
        if min(self.usd_per_kgco2, self.usd_per_h_delay, self.usd_weight) < 0:
            raise ValueError("prices must not be negative")

    def cost_usd(self, *, gco2: float, usd: float, delay_h: float = 0.0) -> float:
        """The objective in USD of emissions in g, money in USD and hours until done."""
        return self.usd_per_kgco2 * kg(gco2) + self.usd_weight * usd + self.usd_per_h_delay * delay_h


PRESETS: dict[str, Objective] = {
    # Carbon alone decides; 1 USD/kg makes the reasons readable, and an hour's wait has to save a gram, so that nothing waits for nothing.
    "carbon": Objective(usd_per_kgco2=1.0, usd_per_h_delay=0.001, usd_weight=0.0),
    # 190 USD/t: central value for 2020 emissions of the US EPA's report on the social cost of greenhouse gases (2023).
    "balanced": Objective(usd_per_kgco2=0.19, usd_per_h_delay=0.01, usd_weight=1.0),
    "cost": Objective(usd_per_kgco2=0.0, usd_per_h_delay=0.0, usd_weight=1.0),
    # An hour costs more than any carbon a node can save in it, so work runs at once, in the best region for that.
    "deadline": Objective(usd_per_kgco2=0.19, usd_per_h_delay=100.0, usd_weight=1.0),
}
"""Named objectives."""


def objective_named(name: str) -> Objective:
    """The preset of that name.

    Raises:
        ConfigError: There is no such preset.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(f"unknown objective {name!r}; use one of {', '.join(PRESETS)} or an Objective(...)") from None
