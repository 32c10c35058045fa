"""Providers by name: the entry-point group `carbon_ray.providers`, open to other packages."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import Any

from carbon_ray.core.errors import ConfigError
from carbon_ray.providers.base import HistoryProvider

GROUP = "carbon_ray.providers"
"""Entry-point group; each entry names a callable that takes the settings as keywords and returns a HistoryProvider."""


def provider_names() -> tuple[str, ...]:
    """Names of all installed providers, sorted."""
    return tuple(sorted(entry_points(group=GROUP).names))


def provider_parameters(name: str) -> tuple[str, ...]:
    """Names of the settings that the provider takes, in its own order.

    Raises:
        ConfigError: There is no such provider, or it cannot be imported.
    """
    return tuple(inspect.signature(_factory(name)).parameters)


def provider_named(name: str, **settings: Any) -> HistoryProvider:
    """Make the provider of that name.

    Args:
        name: Name of an entry point of the group `carbon_ray.providers`.
        **settings: Handed to the provider as keyword arguments.

    Raises:
        ConfigError: There is no such provider, it cannot be imported, or the settings do not fit it.
    """
    factory = _factory(name)
    try:
        inspect.signature(factory).bind(**settings)
    except TypeError as error:
        raise ConfigError(f"provider {name!r}: {error}; it takes {inspect.signature(factory)}") from None
    provider = factory(**settings)
    if not isinstance(provider, HistoryProvider):
        whence = entry_points(group=GROUP)[name].value
        raise ConfigError(f"provider {name!r} ({whence}) has not all of name, kind, zones() and history(); repair its package")
    return provider


def _factory(name: str) -> Any:
    if name not in (known := provider_names()):
        raise ConfigError(f"unknown provider {name!r}; use one of {', '.join(known) or 'none: install the carbon-ray package first'}")
    entry = entry_points(group=GROUP)[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"provider {name!r} cannot be imported from {entry.value}: {error}; repair or remove its package") from error
