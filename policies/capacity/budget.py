"""How much may be disturbed at a time, and when nothing may."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Quiet(StrEnum):
    """What quiet hours protect."""

    BUSY = "busy"
    """Running workloads; idle nodes still go."""
    ALL = "all"
    """Running workloads and idle nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Hours of the day, in UTC, in which nothing is disturbed but what a deadline forces.

    Attributes:
        start_h: Hour at which they begin, 0..24.
        end_h: Hour at which they end; below `start_h` they last over midnight.
        days: Days of the week on which they begin, 0 = Monday; empty for every day.
        protects: What is left alone.
    """

    start_h: float
    end_h: float
    days: tuple[int, ...] = ()
    protects: Quiet = Quiet.BUSY

    def __post_init__(self) -> None:
        if not (0 <= self.start_h <= 24 and 0 <= self.end_h <= 24) or self.start_h == self.end_h:
            raise ValueError(f"quiet hours need two different hours within 0..24, got {self.start_h} and {self.end_h}")
        if any(not 0 <= day <= 6 for day in self.days):
            raise ValueError(f"days of the week are 0 (Monday) to 6 (Sunday), got {self.days}")

    def holds(self, now: datetime) -> bool:
        """True during them."""
        hour = now.hour + now.minute / 60 + now.second / 3600
        if self.start_h < self.end_h:
            return self.start_h <= hour < self.end_h and self._is_on(now.weekday())
        return (hour >= self.start_h and self._is_on(now.weekday())) or (hour < self.end_h and self._is_on((now.weekday() - 1) % 7))

    def _is_on(self, weekday: int) -> bool:
        return not self.days or weekday in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionBudget:
    """Limits on what is disturbed at a time.

    Attributes:
        nodes: Most nodes of the cluster that drain at a time.
        region_fraction: Most of a region's nodes that drain at a time, as a share rounded up, so that one always may; above 0, up to 1.
        quiet: Hours in which nothing is disturbed.
    """

    nodes: int = 1
    region_fraction: float = 1.0
    quiet: tuple[QuietHours, ...] = ()

    def __post_init__(self) -> None:
        if self.nodes < 0 or not 0 < self.region_fraction <= 1:
            raise ValueError(f"nodes must be 0 or above and region_fraction within 0..1, got {self.nodes} and {self.region_fraction}")

    def may_disturb_workloads(self, now: datetime) -> bool:
        """True if running workloads may be suspended or moved now for another reason than their deadline."""
        return not any(one.holds(now) for one in self.quiet)

    def may_drain(self, now: datetime) -> bool:
        """True if idle nodes may go now."""
        return self.nodes > 0 and not any(one.holds(now) and one.protects is Quiet.ALL for one in self.quiet)

    def left(self, draining: int, now: datetime) -> int:
        """How many nodes of the cluster may begin to drain, with so many draining."""
        return max(0, self.nodes - draining) if self.may_drain(now) else 0

    def left_in_region(self, nodes: Iterable[bool]) -> int:
        """How many nodes of one region may begin to drain, given of each of its nodes whether it drains."""
        all_of_it = list(nodes)
        return max(0, math.ceil(self.region_fraction * len(all_of_it) - 1e-9) - sum(all_of_it))
