"""Doing, inside one Ray cluster: node providers, the autoscaler's plan, drains.

`LocalProvider` is what `provider.module: carbon_ray.cluster.LocalProvider` of a cluster YAML names. It is loaded on first
use, so that the small processes that only end other processes do not pay for importing Ray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carbon_ray.cluster.local_provider import LocalProvider

__all__ = ["LocalProvider"]


def __getattr__(name: str) -> Any:
    if name == "LocalProvider":
        from carbon_ray.cluster.local_provider import LocalProvider

        return LocalProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
