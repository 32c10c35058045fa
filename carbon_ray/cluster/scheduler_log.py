"""What Ray's autoscaler decided, when and why: a bounded log in the cluster's key-value store, written by the monitor alone."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from carbon_ray.cluster import kv
from carbon_ray.core.clock import require_utc
from carbon_ray.core.codec import from_jsonable, to_jsonable

LOG_KEY = "scheduler_log"
MAX_ACTIONS = 500
"""Actions kept; at about 300 bytes each the value stays well below a megabyte."""


class ActionKind(StrEnum):
    """What the autoscaler does to nodes."""

    LAUNCH = "launch"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerAction:
    """One launch or termination that the autoscaler decided.

    Attributes:
        at: Wall instant, aware UTC.
        kind: Launch or terminate.
        node_type: Name in the cluster YAML.
        count: Number of nodes.
        ray_node_id: Hex; empty for launches, and for nodes that end before they ran Ray.
        cause: `PLAN_MINIMUM` or `DEMAND` for launches; Ray's own cause for terminations (`IDLE`, `MAX_NUM_NODE_PER_TYPE`, ...).
        reason: The plan's reason for the node type; Ray's own words where no plan was in force for it.
        plan_version: Version of the plan in force for the node type; None where there was none.
    """

    at: datetime
    kind: ActionKind
    node_type: str
    count: int
    ray_node_id: str
    cause: str
    reason: str
    plan_version: int | None

    def __post_init__(self) -> None:
        require_utc(self.at, "at")


def read_scheduler_log() -> tuple[SchedulerAction, ...]:
    """The last actions, oldest first; empty where the hook is not installed or has had nothing to do.

    Raises:
        ClusterError: The process is not connected to a cluster, or the store does not answer.
    """
    return parse_log(kv.get(LOG_KEY))


def parse_log(text: str | None) -> tuple[SchedulerAction, ...]:
    """The actions in a stored log; entries of another version of carbon_ray are left out."""
    if text is None:
        return ()
    try:
        entries = json.loads(text)
    except ValueError:
        return ()
    actions = []
    for entry in entries if isinstance(entries, list) else ():
        try:
            actions.append(from_jsonable(SchedulerAction, entry))
        except (TypeError, ValueError):
            continue
    return tuple(actions)


class SchedulerLog:
    """Appends to the log. One process only: a second writer would lose the first one's entries.

    Attributes:
        read: Reads the stored text.
        write: Stores it.
    """

    def __init__(
        self,
        read: Callable[[], str | None] = lambda: kv.get(LOG_KEY),
        write: Callable[[str], None] = lambda text: kv.put(LOG_KEY, text),
    ) -> None:
        self.read, self.write = read, write
        self._actions: deque[SchedulerAction] | None = None

    def append(self, actions: Iterable[SchedulerAction]) -> None:
        """Add actions in order; the oldest ones beyond `MAX_ACTIONS` are dropped."""
        if self._actions is None:  # a restarted monitor goes on where the former one ended
            self._actions = deque(parse_log(self.read()), maxlen=MAX_ACTIONS)
        self._actions.extend(actions)
        self.write(json.dumps([to_jsonable(action) for action in self._actions], separators=(",", ":")))
