"""The books of a sweep: what each trial has drawn and emitted, kept event by event and rebuilt from the journal.

Energy is a fact and written once. Grams are energy at a price: the forecast's median while an interval of the grid lasts, the
intensity that came true once it is known. An interval's price changes once at most, and totals follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.units import kwh
from carbon_ray.tune.journal import instant_of, text_of


class Interval(NamedTuple):
    """One interval of a zone's intensity.

    Attributes:
        zone: Grid zone.
        start_at: Its start, aware UTC.
        end_at: Its end, aware UTC.
        gco2_per_kwh: Intensity as it is known now.
        source: Where that comes from.
    """

    zone: str
    start_at: datetime
    end_at: datetime
    gco2_per_kwh: float
    source: str


class Prices(Protocol):
    """Knows the grid."""

    def interval(self, zone: str, at: datetime) -> Interval:
        """The interval that an instant lies in.

        Raises:
            CarbonRayError: Nothing is known of that time.
        """
        ...

    def settled(self, interval: Interval) -> Interval | None:
        """The interval as it came true; None while that is not known."""
        ...


class Appendable(Protocol):
    """Takes lines."""

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one line."""
        ...


Key = tuple[str, datetime]
"""Zone and start of an interval."""


@dataclass(slots=True)
class Account:
    """One trial.

    Attributes:
        energy_kwh: Drawn at the site, PUE included.
        settled_gco2: Emissions at prices that came true, g.
        open_kwh: Energy in intervals whose price has not come true yet.
        region: Where it runs or ran last.
        zone, pue, power_w: Of what it runs on.
        until_at: Up to when a running trial is accounted for; None while it does not run.
        iteration: Results that it had reported by then.
        running_s: Seconds that it held its place.
        held_s: Seconds that it was held by carbon_ray, up to its last release.
        held_since_at: When it was held; None while it is not.
    """

    energy_kwh: float = 0.0
    settled_gco2: float = 0.0
    open_kwh: dict[Key, float] = field(default_factory=dict)
    region: str = ""
    zone: str = ""
    pue: float = 1.0
    power_w: float = 0.0
    until_at: datetime | None = None
    iteration: int = 0
    running_s: float = 0.0
    held_s: float = 0.0
    held_since_at: datetime | None = None


class SweepLedger:
    """Keeps the accounts of all trials.

    Args:
        prices: Knows the grid.
        journal: Takes a line for every fact; None to keep none.
    """

    def __init__(self, prices: Prices, journal: Appendable | None = None) -> None:
        self.prices, self.journal = prices, journal
        self.accounts: dict[str, Account] = {}
        self.total_kwh = 0.0
        self._total_gco2 = 0.0
        self._price: dict[Key, Interval] = {}
        self._is_settled: set[Key] = set()
        self._open: dict[Key, set[str]] = {}
        self._last: dict[str, Interval] = {}
        self._running: dict[str, None] = {}  # of thousands of accounts few are of trials that run

    @property
    def total_gco2(self) -> float:
        """Emissions of the sweep, g."""
        return self._total_gco2

    def account(self, trial_id: str) -> Account:
        """A trial's account."""
        if trial_id not in self.accounts:
            self.accounts[trial_id] = Account()
        return self.accounts[trial_id]

    def gco2(self, trial_id: str) -> float:
        """What a trial has emitted, g."""
        account = self.accounts.get(trial_id)
        if account is None:
            return 0.0
        return account.settled_gco2 + sum(energy * self._price[key].gco2_per_kwh for key, energy in account.open_kwh.items())

    def booked(self, zone: str, at: datetime) -> Interval | None:
        """The hour of an instant as it is booked; None where nothing was booked in it, or not by hours."""
        interval = self._price.get((zone, at.replace(minute=0, second=0, microsecond=0)))
        return interval if interval is not None and at < interval.end_at else None

    def intensity(self, zone: str, at: datetime) -> float:
        """Intensity at an instant as it is booked, g per kWh."""
        return self._price[(zone, self._interval(zone, at).start_at)].gco2_per_kwh

    def held_s(self, trial_id: str, now: datetime) -> float:
        """For how long a trial has been held, s."""
        account = self.accounts.get(trial_id)
        if account is None:
            return 0.0
        return account.held_s + ((now - account.held_since_at).total_seconds() if account.held_since_at else 0.0)

    def begin(self, trial_id: str, now: datetime, *, region: str, zone: str, pue: float, power_w: float) -> None:
        """A trial takes its place. A hold ends with it."""
        account = self.account(trial_id)
        if account.until_at is not None:
            return
        self.release(trial_id, now)
        account.region, account.zone, account.pue, account.power_w, account.until_at = region, zone, pue, power_w, now
        self._running[trial_id] = None
        self._write(begin=trial_id, at=text_of(now), region=region, zone=zone, pue=pue, power_w=power_w)

    def accrue(self, trial_id: str, now: datetime, iteration: int | None = None) -> None:
        """Account for a running trial up to now; does nothing for one that does not run."""
        account = self.accounts.get(trial_id)
        if account is None or account.until_at is None:
            return
        if iteration is not None:
            account.iteration = iteration
        while account.until_at < now:
            interval = self._interval(account.zone, account.until_at)
            end_at = min(now, interval.end_at)
            energy_kwh = kwh(account.power_w * account.pue, end_at - account.until_at)
            self._book(trial_id, account, interval, energy_kwh, account.until_at, end_at)
            self._write(
                run=trial_id,
                iteration=account.iteration,
                start_at=text_of(account.until_at),
                end_at=text_of(end_at),
                energy_kwh=energy_kwh,
                region=account.region,
                zone=account.zone,
                interval_at=text_of(interval.start_at),
                interval_end_at=text_of(interval.end_at),
                gco2_per_kwh=interval.gco2_per_kwh,
                source=interval.source,
            )
            account.until_at = end_at

    def end(self, trial_id: str, now: datetime) -> None:
        """A trial gives up its place."""
        account = self.accounts.get(trial_id)
        if account is None or account.until_at is None:
            return
        self.accrue(trial_id, now)
        account.until_at = None
        del self._running[trial_id]
        self._write(end=trial_id, at=text_of(now))

    def hold(self, trial_id: str, now: datetime) -> None:
        """A trial is held from now on."""
        account = self.account(trial_id)
        if account.held_since_at is None:
            account.held_since_at = now
            self._write(hold=trial_id, at=text_of(now))

    def release(self, trial_id: str, now: datetime) -> None:
        """A trial is held no more."""
        account = self.account(trial_id)
        if account.held_since_at is not None:
            account.held_s += max(0.0, (now - account.held_since_at).total_seconds())
            account.held_since_at = None
            self._write(release=trial_id, at=text_of(now), held_s=account.held_s)

    def settle(self, now: datetime) -> int:
        """Take over the prices that have come true; the number of intervals that were settled."""
        count = 0
        for key in [key for key in self._open if self._price[key].end_at <= now]:
            true = self.prices.settled(self._price[key])
            if true is None:
                continue
            self._settle(key, true)
            self._write(
                price=key[0], start_at=text_of(key[1]), end_at=text_of(true.end_at), gco2_per_kwh=true.gco2_per_kwh, source=true.source
            )
            count += 1
        return count

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Rebuild the accounts from a journal. Trials that it leaves running are running: end them at the last sign of life."""
        for line in lines:
            if "begin" in line:
                account = self.account(line["begin"])
                account.region, account.zone, account.pue, account.power_w = (line[name] for name in ("region", "zone", "pue", "power_w"))
                account.until_at, account.held_since_at = instant_of(line["at"]), None
                self._running[line["begin"]] = None
            elif "run" in line:
                self._replay_run(line)
            elif "end" in line:
                self.account(line["end"]).until_at = None
                self._running.pop(line["end"], None)
            elif "hold" in line:
                self.account(line["hold"]).held_since_at = instant_of(line["at"])
            elif "release" in line:
                account = self.account(line["release"])
                account.held_s, account.held_since_at = line["held_s"], None
            elif "price" in line:
                key = (line["price"], instant_of(line["start_at"]))
                self._settle(key, Interval(*key, instant_of(line["end_at"]), line["gco2_per_kwh"], line["source"]))

    def running(self) -> list[str]:
        """Trials that hold a place."""
        return list(self._running)

    def _replay_run(self, line: Mapping[str, Any]) -> None:
        account, end_at = self.account(line["run"]), instant_of(line["end_at"])
        account.iteration, account.region, account.zone = line["iteration"], line["region"], line["zone"]
        key = (line["zone"], instant_of(line["interval_at"]))
        interval = self._price.setdefault(key, Interval(*key, instant_of(line["interval_end_at"]), line["gco2_per_kwh"], line["source"]))
        self._book(line["run"], account, interval, line["energy_kwh"], instant_of(line["start_at"]), end_at)
        account.until_at = end_at
        self._running[line["run"]] = None

    def _interval(self, zone: str, at: datetime) -> Interval:
        """The interval at an instant, at the price that it was first booked at; the last price known goes on where none is known."""
        last = self._last.get(zone)
        if last is not None and last.start_at <= at < last.end_at:
            return last
        try:
            interval = self.prices.interval(zone, at)
        except CarbonRayError:
            if last is None:  # energy is booked all the same, and priced as soon as the hour's intensity is known
                start_at = at.replace(minute=0, second=0, microsecond=0)
                interval = Interval(zone, start_at, start_at + timedelta(hours=1), 0.0, "not known yet")
            else:
                span = last.end_at - last.start_at
                start_at = last.end_at + ((at - last.end_at) // span) * span
                interval = Interval(zone, start_at, start_at + span, last.gco2_per_kwh, f"{last.source}, carried on")
        self._last[zone] = self._price.setdefault((zone, interval.start_at), interval)
        return self._last[zone]

    def _book(self, trial_id: str, account: Account, interval: Interval, energy_kwh: float, start_at: datetime, end_at: datetime) -> None:
        key = (interval.zone, interval.start_at)
        gco2 = energy_kwh * self._price[key].gco2_per_kwh
        account.energy_kwh += energy_kwh
        account.running_s += (end_at - start_at).total_seconds()
        self.total_kwh += energy_kwh
        self._total_gco2 += gco2
        if key in self._is_settled:
            account.settled_gco2 += gco2
        else:
            account.open_kwh[key] = account.open_kwh.get(key, 0.0) + energy_kwh
            self._open.setdefault(key, set()).add(trial_id)

    def _settle(self, key: Key, true: Interval) -> None:
        before = self._price.get(key)
        self._price[key] = true
        self._is_settled.add(key)
        if self._last.get(key[0]) is before and before is not None:
            self._last[key[0]] = true
        for trial_id in self._open.pop(key, set()):
            account = self.accounts[trial_id]
            energy_kwh = account.open_kwh.pop(key)
            account.settled_gco2 += energy_kwh * true.gco2_per_kwh
            self._total_gco2 += energy_kwh * (true.gco2_per_kwh - (before.gco2_per_kwh if before else 0.0))

    def _write(self, **line: Any) -> None:
        if self.journal is not None:
            self.journal.append(line)
