"""Reading the forecast actor: a snapshot is fetched once per edition, and cached reads call nobody.

The actor puts each snapshot into Ray's object store and its edition, a short text, into the key-value store of the GCS. A client
looks at the edition at most every `check_every_s`, which costs the actor nothing, and asks the actor for the snapshot only when it
is another one. While the actor is away, what was read last is served; its age can be seen in it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError

from carbon_ray.actors.calling import FORECASTS, RETRY_FOR_S, ActorClient
from carbon_ray.actors.forecast_health import ForecastHealth, RefreshLoad
from carbon_ray.cluster import kv
from carbon_ray.core.errors import ClusterError, ControllerUnavailable, ForecastError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries

log = logging.getLogger(__name__)

EDITION_KEY = "forecast_edition"

CHECK_EVERY_S = 1.0
_ANSWER_S = 1.0
"""Wall seconds that a reader who has a snapshot waits for a newer one."""
_FETCH_S = 30.0
_RETRY_EVERY_S = 0.2


def edition_of(snapshot: ForecastSnapshot) -> str:
    """Version and instant as a text: an actor that has lost its state counts versions from 1 again, but at another time."""
    return f"{snapshot.version} {snapshot.issued_at.isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Where a snapshot is.

    Attributes:
        edition: Which one it is.
        refs: The one reference to it in the object store; wrapped, so that Ray hands on the reference and not the snapshot.
    """

    edition: str
    refs: tuple[Any]


class ForecastClient:
    """Reads the forecast actor.

    Args:
        retry_for_s: Wall seconds to wait for an actor that is away, where there is nothing to serve.
        check_every_s: Wall seconds between looks at the edition; 0 to look at every read.
    """

    def __init__(self, retry_for_s: float = RETRY_FOR_S, check_every_s: float = CHECK_EVERY_S) -> None:
        self._actor, self._retry_for_s, self._check_every_s = ActorClient(FORECASTS, retry_for_s), retry_for_s, check_every_s
        self._impatient = ActorClient(FORECASTS, 0.0, _ANSWER_S)
        self._snapshot: ForecastSnapshot | None = None
        self._edition = ""
        self._check_at_s = 0.0
        self._looking = threading.Lock()

    def snapshot(self) -> ForecastSnapshot:
        """The newest snapshot, as of the last look at the edition.

        Raises:
            ForecastError: There is none yet.
            ControllerUnavailable: There is no forecast actor, and nothing was read from it before.
        """
        snapshot = self._snapshot
        if snapshot is not None and time.monotonic() < self._check_at_s:
            return snapshot
        with self._looking:
            if self._snapshot is None:
                return self._take(self._actor, "published")
            if time.monotonic() >= self._check_at_s:  # else another thread has just looked
                self._look()
            return self._snapshot

    def edition(self) -> str | None:
        """The newest edition, looked up in the key-value store; None before the first.

        Raises:
            ClusterError: This process is not connected, or the cluster's head does not answer.
        """
        return kv.get(EDITION_KEY)

    def reach(self, until_at: datetime) -> ForecastSnapshot:
        """A snapshot that reaches `until_at`; the actor is asked only where the newest one does not.

        Raises:
            ForecastError: There is none that reaches so far.
        """
        snapshot = self.snapshot()
        if all(one.end_at >= until_at for one in snapshot.forecasts.values()):
            return snapshot
        with self._looking:
            return self._take(self._actor, "reach", until_at)

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window.

        Raises:
            OutsideDataError: Part of the window has not come true yet.
            ProviderError: It lies before what is kept, and its source cannot be asked now.
        """
        series: IntensitySeries = self._actor.call("actual", zone, start_at, end_at)
        return series

    def health(self) -> ForecastHealth:
        """How the service does."""
        health: ForecastHealth = self._actor.call("health")
        return health

    def load(self) -> RefreshLoad:
        """What its refreshing thread has to do."""
        load: RefreshLoad = self._actor.call("load")
        return load

    def process_id(self) -> int:
        """Process of the actor, on the head."""
        return int(self._actor.call("process_id"))

    def _look(self) -> None:
        """See whether there is another edition; whatever goes wrong, what was read stays."""
        self._check_at_s = time.monotonic() + self._check_every_s
        try:
            if self.edition() not in (None, self._edition):
                self._take(self._impatient, "published", fetch_s=_ANSWER_S)
        except (ClusterError, ForecastError) as error:
            log.info("no newer forecasts: %s", error)

    def _take(self, actor: ActorClient, method: str, *arguments: object, fetch_s: float = _FETCH_S) -> ForecastSnapshot:
        """Call a method that answers with a publication, and read the snapshot that it tells of."""
        pause, until_s = threading.Event(), time.monotonic() + max(fetch_s, self._retry_for_s if actor is self._actor else 0.0)
        while True:
            publication: Publication = actor.call(method, *arguments)
            try:
                snapshot: ForecastSnapshot = ray.get(publication.refs[0], timeout=fetch_s)
            except (ObjectLostError, GetTimeoutError) as error:  # the actor died after it had answered; its successor publishes anew
                if time.monotonic() > until_s:
                    raise ControllerUnavailable(
                        f"the forecasts of this cluster cannot be read from its object store ({type(error).__name__})"
                    ) from None
                pause.wait(_RETRY_EVERY_S)
                continue
            self._snapshot, self._edition = snapshot, publication.edition
            self._check_at_s = time.monotonic() + self._check_every_s
            return snapshot
