"""Sources of intensity as people write them: one of them, what stands in for it, when it is left alone, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from carbon_ray.config.section import Section
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.breaker import BreakerRule
from carbon_ray.providers.cache import DOUBT_S
from carbon_ray.providers.pieces import FetchRule

LOCAL = ("embedded", "trace")
"""Sources on this machine: nothing of them is kept on disk a second time."""

_SECRET = ("key", "token", "password", "secret", "credential")


class SourceSettings(Section):
    """One source."""

    where: ClassVar[str] = ""

    provider: str = Field(default="embedded", description="Name in the entry-point group carbon_ray.providers: embedded, trace, ...")
    seed: int = Field(default=0, ge=0, description="Seed of the embedded profile's deviation")
    path: Path | None = Field(default=None, description="Trace file, CSV or Parquet (provider: trace)")
    options: dict[str, Any] = Field(default_factory=dict, description="Further settings of the provider, by name; never a key or token")

    @model_validator(mode="after")
    def _path_goes_with_trace(self) -> Self:
        if (self.provider == "trace") != (self.path is not None):
            raise ValueError(f"{self.where}provider 'trace' and {self.where}path go together: give both, or neither")
        return self

    @field_validator("options")
    @classmethod
    def _holds_no_secret(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if any(word in name.casefold() for word in _SECRET):
                raise ValueError(f"{name} looks like a secret, and those are not read from files like this one; see the provider's page")
        return options


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
