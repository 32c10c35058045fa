"""The books of a running sweep and their files: opens and closes accounts, settles prices, and saves what a restore needs."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial

from carbon_ray.core.region import Region
from carbon_ray.core.units import kwh
from carbon_ray.tune import columns as names
from carbon_ray.tune import journal
from carbon_ray.tune.at_once import run_at_once_gco2
from carbon_ray.tune.base_scheduler import BaseScheduler
from carbon_ray.tune.book import SweepBook
from carbon_ray.tune.internals import region_asked_for
from carbon_ray.tune.ledger import Interval, SweepLedger
from carbon_ray.tune.power import Power, places, trial_power
from carbon_ray.tune.saving import SavedSweep, dumped
from carbon_ray.tune.world import World

log = logging.getLogger(__name__)

ALIVE_EVERY_WALL_S = 2.0
"""Wall seconds between signs of life: a killed driver's running trials are accounted for up to the last."""
SETTLE_EVERY_WALL_S = 5.0
"""Wall seconds between looks at which prices have come true."""


class SweepAccounting:
    """Keeps the books of one sweep.

    Attributes:
        ledger: The accounts.
        directory: Where the files are; None where none are kept.
        decisions: Takes a line for every decision; None where no files are kept.

    Args:
        world: Regions, clock and grid.
        given_w: What the user says that a trial draws, W.
        first: The first trial, which tells what trials need.
        directory: Experiment directory; None to keep no files.
        fetch: Brings a file of a remote experiment directory.
    """

    def __init__(self, world: World, given_w: float | None, first: Trial, directory: Path | None, fetch: Callable[[str], None]) -> None:
        self._world, self._given_w = world, given_w
        self._resources = dict(first.placement_group_factory.required_resources)
        self._regions = world.by_name
        self._home = world.regions[0]
        self.directory = directory
        self._journal = journal.Lines(directory / journal.JOURNAL) if directory is not None else None
        self.decisions = journal.Lines(directory / journal.DECISIONS) if directory is not None else None
        self.ledger = SweepLedger(world.grid, self._journal)
        self._leaving: dict[str, Trial] = {}
        self._next_alive_s = self._next_settle_s = 0.0
        self._power: dict[str, Power] = {}
        self._info: dict[str, Any] = {}
        self._started_at: datetime | None = None
        self._concurrency = 1
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for name in (journal.JOURNAL, journal.DECISIONS, journal.ALIVE, journal.STATE):
                fetch(name)

    @property
    def power_w(self) -> float:
        """What one running trial draws in the first region, W at the node."""
        return self.power_in(self._home).power_w

    def power_in(self, region: Region) -> Power:
        """What one running trial draws in a region."""
        if region.name not in self._power:
            self._power[region.name] = trial_power(region, self._resources, self._given_w)
        return self._power[region.name]

    def room(self) -> tuple[Mapping[str, int], int]:
        """Trials that each region holds at once where that is known, and that the cluster holds as a whole."""
        known = {region.name: count for region in self._world.regions if (count := places(region, self._resources)) is not None}
        if len(known) == len(self._world.regions):
            return known, max(1, sum(known.values()))
        if not ray.is_initialized():
            return known, 1
        total = ray.cluster_resources()
        fits = [int(total.get(name, 0.0) / amount + 1e-9) for name, amount in self._resources.items() if amount > 0]
        return known, max(1, min(fits, default=1))

    def region_of(self, trial: Trial) -> str:
        """Where a trial runs, ran last, or asks to run; empty before that is known."""
        account = self.ledger.accounts.get(trial.trial_id)
        if account is not None and account.until_at is not None:
            return account.region
        if trial.status == Trial.PENDING and (asked := region_asked_for(trial)):
            return asked
        return account.region if account is not None else ""

    def note_started(self, trial: Trial, now: datetime) -> None:
        """A trial has its place."""
        region = self._regions.get(region_asked_for(trial), self._home)
        power = self.power_in(region)
        self.ledger.begin(trial.trial_id, now, region=region.name, zone=region.zone, pue=region.pue, power_w=power.power_w)

    def accrue(self, trial: Trial, iteration: int, now: datetime) -> None:
        """A trial has reported."""
        self.ledger.accrue(trial.trial_id, now, iteration)

    def accrue_running(self, now: datetime) -> None:
        """Bring the accounts of all running trials up to now."""
        for trial_id in self.ledger.running():
            self.ledger.accrue(trial_id, now)

    def note_leaving(self, trial: Trial) -> None:
        """A trial will give up its place as soon as it is saved."""
        self._leaving[trial.trial_id] = trial

    def note_gone(self, trial: Trial, now: datetime) -> None:
        """A trial has given up its place."""
        self._leaving.pop(trial.trial_id, None)
        self.ledger.end(trial.trial_id, now)
        if trial.run_metadata.last_result and names.CARBON not in trial.run_metadata.last_result:
            # It went on from a checkpoint, whose metrics its worker wrote without our columns, and ended before it reported again.
            trial.run_metadata.last_result = {**trial.run_metadata.last_result, **self.columns(trial.trial_id, now)}

    def columns(self, trial_id: str, now: datetime) -> dict[str, float | str]:
        """The columns of a trial's result."""
        account = self.ledger.account(trial_id)
        intensity = self.ledger.intensity(account.zone or self._home.zone, now)
        return {
            names.ENERGY: account.energy_kwh,
            names.CARBON: self.ledger.gco2(trial_id),
            names.INTENSITY: intensity,
            names.INTENSITY_SHORT: intensity,
            names.HELD: self.ledger.held_s(trial_id, now),
            names.SOURCE: self._world.grid.source,
        }

    def one_iteration_gco2(self, iteration_s: float) -> float:
        """What one iteration of one trial emits at the first region's present intensity, g."""
        drawn_kwh = kwh(self.power_w * self._home.pue, timedelta(seconds=iteration_s))
        return drawn_kwh * self.ledger.intensity(self._home.zone, self._world.clock.now())

    def next_iterations_gco2(self, iteration_s: float) -> float:
        """What the next iteration of every running trial emits, g."""
        return self.one_iteration_gco2(iteration_s) * len(self.ledger.running())

    def tick(self, now: datetime, held: Collection[str]) -> None:
        """A step of Tune's loop is over."""
        for trial_id, trial in list(self._leaving.items()):
            if trial.status != Trial.RUNNING:
                del self._leaving[trial_id]
                self.ledger.end(trial_id, now)
                if trial_id in held:
                    self.ledger.hold(trial_id, now)
        wall_s = time.monotonic()
        if wall_s >= self._next_settle_s:
            self._next_settle_s = wall_s + SETTLE_EVERY_WALL_S
            self.ledger.settle(now)
        if self.directory is not None and wall_s >= self._next_alive_s:
            self._next_alive_s = wall_s + ALIVE_EVERY_WALL_S
            journal.write_json(self.directory / journal.ALIVE, {"at": journal.text_of(now)})

    def close(self, now: datetime) -> None:
        """The sweep is over."""
        for trial_id in self.ledger.running():
            self.ledger.end(trial_id, now)
        self.ledger.settle(now)
        self.write_info(now)
        self.close_files()

    def close_files(self) -> None:
        """Let the files go; a later line opens them again."""
        for lines in (self._journal, self.decisions):
            if lines is not None:
                lines.close()

    def note_sweep(self, info: Mapping[str, Any], started_at: datetime, concurrency: int) -> None:
        """Note what the summary needs to know of the sweep."""
        self._info, self._started_at, self._concurrency = dict(info), started_at, concurrency
        self.write_info(started_at)

    def run_at_once_gco2(self, now: datetime) -> float | None:
        """What the running so far would have emitted at once, g; None where the grid of those hours is not known."""
        if self._started_at is None:
            return None
        running_s = [account.running_s for account in self.ledger.accounts.values()]
        home = self._home
        return run_at_once_gco2(
            running_s,
            self._concurrency,
            self._started_at,
            zone=home.zone,
            pue=home.pue,
            power_w=self.power_w,
            interval_at=self._interval_at,
        )

    def _interval_at(self, zone: str, at: datetime) -> Interval:
        """As it is booked where something ran then; else as it came true, or is forecast."""
        booked = self.ledger.booked(zone, at)
        if booked is not None:
            return booked
        hour_at = at.replace(minute=0, second=0, microsecond=0)
        hour = Interval(zone, hour_at, hour_at + timedelta(hours=1), 0.0, "")
        return self._world.grid.settled(hour) or self._world.grid.interval(zone, at)

    def write_info(self, now: datetime) -> None:
        """Write what the summary needs to know of the sweep."""
        if self.directory is not None:
            regions = [
                {"name": one.name, "zone": one.zone, "pue": one.pue, "power": self.power_in(one).source} for one in self._world.regions
            ]
            journal.write_json(
                self.directory / journal.INFO,
                {
                    **self._info,
                    "regions": regions,
                    "source": self._world.grid.source,
                    "run_at_once_gco2": self.run_at_once_gco2(now),
                    "written_at": journal.text_of(now),
                },
            )

    def save(self, book: SweepBook, base: BaseScheduler) -> None:
        """Save what a restore needs, at the instant at which Tune has saved its own state."""
        if self.directory is None:
            return
        try:
            state = SavedSweep(
                base=dumped(base.scheduler),
                seen=dict(base.seen),
                done=frozenset(base.done),
                stopped=dict(base.stopped),
                held=frozenset(book.held),
                paused=frozenset(one.trial_id for one in book.live.values() if one.handle.status == Trial.PAUSED) - set(book.held),
                past=book.past(),
            )
            journal.replace_file(self.directory / journal.STATE, pickle.dumps(state))
        except Exception as error:  # whatever a base scheduler holds that does not pickle
            log.warning("the base scheduler's state cannot be saved (%s: %s); a restored sweep begins it anew", type(error).__name__, error)

    def saved(self) -> SavedSweep | None:
        """What was saved last; None where there is nothing, or nothing that can be read."""
        path = self.directory / journal.STATE if self.directory is not None else None
        if path is None or not path.exists():
            return None
        try:
            state: SavedSweep = pickle.loads(path.read_bytes())
        except Exception as error:  # of another version of carbon_ray or Python
            log.warning("%s cannot be read (%s: %s): the base scheduler begins anew", path, type(error).__name__, error)
            return None
        return state

    def replay(self) -> datetime | None:
        """Rebuild the accounts from the journal; the last sign of life of the driver that wrote it, None where there is none."""
        if self.directory is None:
            return None
        self.ledger.replay(journal.read_lines(self.directory / journal.JOURNAL))
        alive = journal.read_json(self.directory / journal.ALIVE)
        return journal.instant_of(alive["at"]) if alive is not None else None
