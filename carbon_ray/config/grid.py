"""From the grid section of the configuration to the data source that it names."""

from __future__ import annotations

from carbon_ray.config.settings import GridSettings
from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.registry import provider_named, provider_parameters


def grid_provider(settings: GridSettings, zones: tuple[str, ...]) -> HistoryProvider:
    """The configured source, checked to know the zones and to count what is wanted.

    Raises:
        ConfigError: The source is unknown, its settings do not fit, or it counts another kind of intensity.
        UnknownZoneError: It does not know one of the zones.
        TraceFormatError: The trace file is malformed.
        ProviderError: A service had to be asked for its zones, and could not be.
    """
    takes = provider_parameters(settings.provider)
    given: dict[str, object] = dict(settings.options)
    given |= {name: value for name, value in (("kind", settings.kind), ("zones", zones)) if name in takes}
    if settings.path is not None:
        given["path"] = settings.path
    elif settings.provider == "embedded":
        given["seed"] = settings.seed
    provider = provider_named(settings.provider, **given)
    if provider.kind is not settings.kind:
        raise ConfigError(f"the source {provider.name} counts {provider.kind}, not {settings.kind}; change grid.kind or grid.provider")
    known = provider.zones()
    for zone in zones:
        if zone not in known:
            raise UnknownZoneError(zone, known)
    return provider
