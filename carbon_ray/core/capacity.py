"""What each node type may do: the plan that Ray's autoscaler is steered by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from carbon_ray.core.clock import require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePlan:
    """Limits of one node type.

    Attributes:
        min_nodes: Ray keeps at least so many.
        max_nodes: Ray makes no more than that; never below the count of busy nodes, because Ray stops them undrained.
        priority: Ray's tie-breaker between types that fit equally well; higher is preferred.
        drain: Ray node ids (hex) to be drained.
        reason: One line for a person.
    """

    min_nodes: int
    max_nodes: int
    priority: int = 0
    drain: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.min_nodes <= self.max_nodes:
            raise ValueError(f"need 0 <= min_nodes <= max_nodes, got {self.min_nodes} and {self.max_nodes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """Limits of all node types that carbon_ray has an opinion on. Types not named are left to Ray.

    Attributes:
        version: Grows with every change of content.
        issued_at: Wall instant of publication, aware UTC.
        valid_until: Wall instant after which it means nothing and Ray behaves as without carbon_ray, aware UTC.
        types: By node type name.
    """

    version: int
    issued_at: datetime
    valid_until: datetime
    types: Mapping[str, TypePlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.issued_at, "issued_at")
        require_utc(self.valid_until, "valid_until")

    def is_valid(self, wall_at: datetime) -> bool:
        """True while the plan may be obeyed."""
        return wall_at < self.valid_until
