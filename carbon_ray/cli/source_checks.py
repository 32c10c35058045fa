"""What `carbon-ray doctor` makes of the health of the forecast service's sources."""

from __future__ import annotations

from carbon_ray.actors.forecast_health import ForecastHealth
from carbon_ray.cli.checks import Check, Verdict
from carbon_ray.providers.breaker import Circuit

NAME = "Grid sources"
_ADVICE = "nothing, if the source comes back by itself; else correct `grid` in the cluster YAML. docs/grid.md says who stands in, and when"


def judged(health: ForecastHealth) -> Check:
    """Well where all zones come from the first source; a warning where another one stands in, or a zone was not renewed."""
    if not health.zones:
        return Check(name=NAME, verdict=Verdict.FAIL, found=health.problem or "there is no forecast yet", advice=_ADVICE)
    first = health.sources[0] if health.sources else None
    stand_ins = [source for source in health.sources[1:] if source.zones]
    found = [f"{source.name} stands in for {', '.join(source.zones)}" for source in stand_ins]
    if first is not None and first.circuit is not Circuit.CLOSED:
        until = f" until {first.open_until_at:%Y-%m-%dT%H:%M:%SZ}" if first.open_until_at is not None else ""
        found.append(f"{first.name} is left alone{until}: {first.problem}")
    found += [f"{zone.zone} is {zone.age_s / 3600:.1f} h old: {zone.problem}" for zone in health.zones if zone.problem]
    if not found and health.problem:
        found.append(health.problem)
    if found:
        return Check(name=NAME, verdict=Verdict.WARN, found=" ".join("; ".join(found).split()), advice=_ADVICE)
    providers = dict.fromkeys(zone.provider for zone in health.zones)
    return Check(name=NAME, verdict=Verdict.OK, found=f"{', '.join(providers)} for {', '.join(zone.zone for zone in health.zones)}")
