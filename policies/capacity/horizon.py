"""Node counts over time: who holds how many nodes of which type from when to when, and the most at once in a stretch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Nodes of one type that one workload shall have over a stretch.

    Attributes:
        workload_id: Whose.
        node_type: Name.
        nodes: How many.
        start_at: From when on, aware UTC.
        end_at: Until when; aware UTC, half-open.
        is_told: The workload was told to run on them now; False for what its plan has for later.
        reason: One line for a person.
    """

    workload_id: str
    node_type: str
    nodes: int
    start_at: datetime
    end_at: datetime
    is_told: bool = True
    reason: str = ""


@dataclass(slots=True)
class _Steps:
    """Piecewise constant count of one type: `counts[i]` holds from `edges[i]` on."""

    edges: list[datetime] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def add(self, start_at: datetime, end_at: datetime, nodes: int) -> None:
        first, last = self._split(start_at), self._split(end_at)
        for index in range(first, last):
            self.counts[index] += nodes

    def _split(self, at: datetime) -> int:
        index = bisect_left(self.edges, at)
        if index == len(self.edges) or self.edges[index] != at:
            self.edges.insert(index, at)
            self.counts.insert(index, self.counts[index - 1] if index else 0)
        return index

    def most(self, start_at: datetime, end_at: datetime) -> int:
        first = bisect_right(self.edges, start_at) - 1
        last = max(bisect_left(self.edges, end_at), first + 1)
        return max(self.counts[max(first, 0) : last], default=0) if last > 0 else 0


class Horizon:
    """How many nodes of each type are claimed when.

    Args:
        claims: Whose.
    """

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self._by_type: defaultdict[str, _Steps] = defaultdict(_Steps)
        for claim in claims:
            self.add(claim)

    def add(self, claim: Claim) -> None:
        """Count one more claim."""
        self._by_type[claim.node_type].add(claim.start_at, claim.end_at, claim.nodes)

    def at(self, node_type: str, instant: datetime) -> int:
        """Nodes of a type that are claimed at an instant."""
        return self._by_type[node_type].most(instant, instant) if node_type in self._by_type else 0

    def most(self, node_type: str, start_at: datetime, end_at: datetime) -> int:
        """Most nodes of a type that are claimed at once in `[start_at, end_at)`, or at `start_at` where that is empty."""
        return self._by_type[node_type].most(start_at, end_at) if node_type in self._by_type else 0

    def intervals(self, node_type: str) -> Mapping[datetime, int]:
        """The count of a type from each instant at which it changes, in order of time; 0 before the first and from the last on."""
        steps = self._by_type[node_type] if node_type in self._by_type else _Steps()
        kept = [index for index, count in enumerate(steps.counts) if index == 0 or count != steps.counts[index - 1]]
        return {steps.edges[index]: steps.counts[index] for index in kept}
