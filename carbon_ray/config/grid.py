"""From the grid section of the configuration to the data sources that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from carbon_ray.config.forecasting import WeatherSettings
from carbon_ray.config.settings import GridSettings
from carbon_ray.config.sources import LOCAL, SourceSettings
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.cache import CachedProvider
from carbon_ray.providers.chain import Link, ProviderChain
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.history_store import HistoryStore
from carbon_ray.providers.registry import provider_named, provider_parameters
from carbon_ray.providers.services.open_meteo import OpenMeteo, OpenMeteoRuns


def grid_provider(settings: GridSettings, zones: tuple[str, ...]) -> HistoryProvider:
    """The configured source without those that stand in for it, checked to know the zones and to count what is wanted.

    Raises:
        ConfigError: The source is unknown, its settings do not fit, or it counts another kind of intensity.
        UnknownZoneError: It does not know one of the zones.
        TraceFormatError: The trace file is malformed.
        ProviderError: A service had to be asked for its zones, and could not be.
    """
    provider = _made(settings, settings.kind, zones)
    if provider.kind is not settings.kind:
        raise ConfigError(f"the source {provider.name} counts {provider.kind}, not {settings.kind}; change grid.kind or grid.provider")
    known = provider.zones()
    for zone in zones:
        if zone not in known:
            raise UnknownZoneError(zone, known)
    return provider


def grid_chain(settings: GridSettings, *, cache_dir: Path, now: Callable[[], datetime] = wall_now) -> ProviderChain:
    """The configured sources in their order. None is opened before it is asked, so that a broken one does not stop the others.

    Args:
        settings: The grid section.
        cache_dir: Where history of remote sources is kept, if the settings say so.
        now: The present of the sources.
    """
    links = [
        Link(
            name=one.provider,
            make=partial(_made, one, settings.kind, None),  # a source that stands in may lack some of the zones
            is_made_anew=one.provider in LOCAL,
            keep=_keeper(one, settings, cache_dir, now),
        )
        for one in (settings, *settings.fallbacks)
    ]
    return ProviderChain(
        links,
        kind=settings.kind,
        now=now,
        patience_s=settings.patience_s,
        breaker=settings.breaker.rule(),
        stale_after_s=settings.stale_after_h * S_PER_H,
    )


def weather_sources(settings: WeatherSettings) -> tuple[OpenMeteo, OpenMeteoRuns | None]:
    """The configured source of weather forecasts, and that of past ones.

    Raises:
        ConfigError: Its settings do not fit, or its key is missing.
    """
    given: dict[str, Any] = {"areas": settings.areas, "plan": settings.plan, "network": settings.network or None}
    past = OpenMeteoRuns(**given) if settings.has_past and settings.base_url is None else None
    return OpenMeteo(**given, base_url=settings.base_url), past


def _made(source: SourceSettings, kind: IntensityKind, zones: tuple[str, ...] | None) -> HistoryProvider:
    takes = provider_parameters(source.provider)
    given: dict[str, object] = dict(source.options)
    given |= {name: value for name, value in (("kind", kind), ("zones", zones)) if name in takes}
    if source.path is not None:
        given["path"] = source.path
    elif source.provider == EmbeddedProvider.name:
        given["seed"] = source.seed
    return provider_named(source.provider, **given)


def _keeper(
    source: SourceSettings, settings: GridSettings, cache_dir: Path, now: Callable[[], datetime]
) -> Callable[[HistoryProvider], CachedProvider] | None:
    """What puts a cache before a source; None for one that needs none."""
    if source.provider in LOCAL or not settings.cache.enabled:
        return None
    store, rule = HistoryStore(cache_dir, _key(source), settings.kind), settings.cache.rule()
    return lambda guarded: CachedProvider(guarded, store, rule, now=now, doubt_s=settings.cache.doubt_h * S_PER_H)


def _key(source: SourceSettings) -> str:
    """Tells sources apart that answer differently because they are set up differently."""
    if not source.options:
        return source.provider
    text = json.dumps(source.options, sort_keys=True, default=str)
    return f"{source.provider}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
