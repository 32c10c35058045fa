"""Sources of intensity as people write them: one of them, what stands in for it, when it is left alone, and what is kept of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from carbon_ray.config.section import Section
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.breaker import BreakerRule
from carbon_ray.providers.cache import DOUBT_S
from carbon_ray.providers.pieces import FetchRule

LOCAL = ("embedded", "trace", "carbon_aware_file")
"""Sources on this machine: nothing of them is kept on disk a second time."""

_SECRET = re.compile(r"(?i)token|secret|passw|credential|auth|username|(^|_|-)(api)?key$")


def _secret_name(value: JsonValue) -> str | None:
    """The first name in a setting, at any depth, that promises a key."""
    if isinstance(value, dict):
        return next((name for name in value if _SECRET.search(name)), None) or next(filter(None, map(_secret_name, value.values())), None)
    return next(filter(None, map(_secret_name, value)), None) if isinstance(value, list) else None


class SourceSettings(Section):
    """One source."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody may have written a key here

    where: ClassVar[str] = ""

    provider: str = Field(default="embedded", description="Name in the entry-point group carbon_ray.providers: embedded, trace, ...")
    seed: int = Field(default=0, ge=0, description="Seed of the embedded profile's deviation")
    path: Path | None = Field(default=None, description="Trace file, CSV or Parquet (provider: trace)")
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further settings of the provider, see docs/providers.md; keys of services never stand here"
    )

    @model_validator(mode="after")
    def _path_goes_with_trace(self) -> Self:
        if (self.provider == "trace") != (self.path is not None):
            raise ValueError(f"{self.where}provider 'trace' and {self.where}path go together: give both, or neither")
        return self

    @model_validator(mode="after")
    def _options_hold_no_key(self) -> Self:
        elsewhere = {"kind", "zones", "seed", "surroundings"} | ({"path"} if self.provider == "trace" else set())
        if doubled := elsewhere & set(self.options):
            raise ValueError(
                f"{self.where}options must not hold {', '.join(sorted(doubled))}: grid.kind, seed, path and the regions say that"
            )
        if secret := _secret_name(self.options):
            raise ValueError(
                f"{self.where}options holds {secret!r}, which looks like a key; set it in the environment, a file of mode 0600 or the "
                f"keyring instead, see docs/providers.md"
            )
        return self


class FallbackSettings(SourceSettings):
    """A source that stands in for those before it."""

    provider: str = Field(description="Name in the entry-point group carbon_ray.providers; embedded is the last resort")


class BreakerSettings(Section):
    """When a failing source is left alone."""

    failures: int = Field(default=3, ge=1, description="Failures in a row after which it is left alone")
    open_s: float = Field(default=60.0, gt=0, description="Seconds for which it is left alone at first; one request then tries it")
    growth: float = Field(default=2.0, ge=1, description="Factor of that after each failed try")
    most_open_s: float = Field(default=1800.0, gt=0, description="Seconds for which it is left alone at most")

    @model_validator(mode="after")
    def _most_is_most(self) -> Self:
        if self.most_open_s < self.open_s:
            raise ValueError("breaker.most_open_s must not be below breaker.open_s")
        return self

    def rule(self) -> BreakerRule:
        """What the chain goes by."""
        return BreakerRule(failures=self.failures, open_s=self.open_s, growth=self.growth, most_open_s=self.most_open_s)


class CacheSettings(Section):
    """What is kept on disk of sources that are not on this machine."""

    enabled: bool = Field(default=True, description="Keep fetched history in the state directory")
    settle_h: float = Field(default=48.0, ge=0, description="Hours after which a fetched value is final and not asked for again")
    recheck_s: float = Field(default=1800.0, ge=0, description="Seconds for which a younger value is served without asking again")
    doubt_h: float = Field(
        default=DOUBT_S / S_PER_H, ge=0, description="Hours for which a source must insist on another past until it is believed"
    )

    def rule(self) -> FetchRule:
        """What the cache goes by."""
        return FetchRule(settle_s=self.settle_h * S_PER_H, recheck_s=self.recheck_s)
