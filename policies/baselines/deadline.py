"""The hard deadline, once for all rules: what a rule wishes is followed as long as the work can still end in time.

A rule says what it would like (`wish`); `Punctual.act` adds what no rule may do otherwise. A slot may pass without work only
if, a start-up included, the rest fits into the slots after it. A start that is under way is finished, and a rule that does not
interrupt goes on where it runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from carbon_ray.policies.baselines.windows import TIE, whole_slots
from carbon_ray.policies.outlook import Outlook, Run


def spare_slots(outlook: Outlook, most_workers: int = 1) -> int:
    """Slots that can pass before a start from nothing would come too late; below zero even a start now does.

    Args:
        outlook: What lies ahead.
        most_workers: Workers that may be used at once, at least 1.
    """
    rate = max(outlook.throughput[:most_workers])
    return len(outlook.gco2) - outlook.startup_slots - whole_slots(outlook.left / rate)


def must_run(outlook: Outlook, most_workers: int = 1) -> bool:
    """True where doing nothing in the first slot would lose the deadline, or where it is lost already."""
    return spare_slots(outlook, most_workers) < 1


def in_time(outlook: Outlook, wish: Run | None, most_workers: int = 1) -> Run | None:
    """The wish, or the run that the deadline demands in its place.

    Args:
        outlook: What lies ahead.
        wish: What the rule would do. No start elsewhere where `spare_slots` is below zero.
        most_workers: Workers that may be used at once, at least 1.
    """
    if wish is not None and not (outlook.is_running and wish.region == outlook.at) and not np.isfinite(outlook.gco2[0, wish.region]):
        wish = None  # nothing can be started there now
    workers = 1 if wish is None else min(wish.workers, most_workers)
    if not must_run(outlook, most_workers):
        return None if wish is None else Run(region=wish.region, workers=workers)
    region = _nearest_open(outlook) if wish is None else wish.region
    return Run(region=region, workers=_enough(outlook, workers, most_workers))


def _nearest_open(outlook: Outlook) -> int:
    """Where it is, unless nothing can be started there; then the region that emits least now."""
    now = outlook.gco2[0]
    stays = outlook.is_running or np.isfinite(now[outlook.at]) or not np.isfinite(now).any()
    return outlook.at if stays else int(np.argmin(now))


def _enough(outlook: Outlook, workers: int, most_workers: int) -> int:
    """The least count from `workers` on with which the rest still fits; the fastest where none does."""
    rates = outlook.throughput[:most_workers]
    fastest = rates.index(max(rates)) + 1
    if outlook.startup_slots:  # more workers later may mean another start, for which there is no time
        return fastest
    after = len(outlook.gco2) - 1
    fits = (count for count in range(workers, len(rates) + 1) if whole_slots((outlook.left - rates[count - 1]) / max(rates)) <= after + TIE)
    return next(fits, fastest)


class Punctual(ABC):
    """A rule that meets the deadline whatever its wishes. Subclasses are frozen dataclasses whose fields are the parameters.

    Attributes:
        name: As in the documentation and in the entry-point group `carbon_ray.policies`.
    """

    __slots__ = ()
    name: ClassVar[str]

    @property
    def interrupts(self) -> bool:
        """Whether it may stop what runs."""
        return False

    @property
    def most_workers(self) -> int:
        """Workers that it uses at most."""
        return 1

    @abstractmethod
    def wish(self, outlook: Outlook) -> Run | None:
        """What the rule would do in the first slot if it had not to think of the deadline.

        Not asked where a start from nothing would come too late, nor, if the rule does not interrupt, while the work runs.
        """

    def act(self, outlook: Outlook) -> Run | None:
        """What to do in the first slot of the outlook. See `Rule.act`."""
        most_workers = min(self.most_workers, len(outlook.throughput))
        goes_on = outlook.is_running and (outlook.starting_slots > 0 or not self.interrupts)
        if goes_on or spare_slots(outlook, most_workers) < 0:
            wish: Run | None = Run(region=outlook.at, workers=1)
        else:
            wish = self.wish(outlook)
        return in_time(outlook, wish, most_workers)
