"""Regions, or node types, whose nodes do not come: left out for a while. Kept in the ledger's notes, so that a restart knows them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.books.ledger import Ledger
from carbon_ray.core import codec
from carbon_ray.core.errors import CarbonRayError

log = logging.getLogger(__name__)

NOTE = "full_regions"
"""Key of the ledger's note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRegion:
    """A region that is left out.

    Attributes:
        until_at: When it is tried again, cluster's clock.
        reason: One line for a person.
    """

    until_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    regions: Mapping[str, FullRegion]


class FullRegions:
    """The regions that are left out now.

    Args:
        ledger: Where they are noted.
        block_s: Seconds of the cluster's clock for which a region is left out.
        note: Key of the ledger's note; node types are kept like regions, under another key.
    """

    def __init__(self, ledger: Ledger, block_s: float, *, note: str = NOTE) -> None:
        self._ledger, self._block, self._key = ledger, timedelta(seconds=block_s), note
        self._regions = self._recall()

    def _recall(self) -> dict[str, FullRegion]:
        text = self._ledger.get_meta(self._key)
        try:
            return dict(codec.loads(_Note, text).regions) if text else {}
        except (TypeError, ValueError, CarbonRayError) as error:
            log.warning("the note of full regions is not usable (%s); all regions count as open", error)
            return {}

    def _note(self) -> None:
        self._ledger.put_meta(self._key, codec.dumps(_Note(regions=self._regions)))

    @property
    def until_at(self) -> Mapping[str, datetime]:
        """By region: when it is tried again."""
        return {name: region.until_at for name, region in self._regions.items()}

    @property
    def reasons(self) -> Mapping[str, str]:
        """By region: why it is left out."""
        return {name: region.reason for name, region in self._regions.items()}

    def __contains__(self, region: str) -> bool:
        return region in self._regions

    def reopen(self, now: datetime) -> None:
        """Forget the regions whose time is over."""
        still = {name: region for name, region in self._regions.items() if now < region.until_at}
        if still != self._regions:
            self._regions = still
            self._note()

    def leave_out(self, region: str, reason: str, now: datetime) -> None:
        """Leave a region out from `now` on."""
        self._regions[region] = FullRegion(until_at=now + self._block, reason=reason)
        self._note()
        log.warning("%s; left out until %s", reason, self._regions[region].until_at)
