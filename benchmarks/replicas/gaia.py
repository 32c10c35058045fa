"""GAIA (ASPLOS 2024) run again: its six policies, its slots of five seconds, its queues, on carbon_ray's own functions.

The study's scheduler does not know how long a job runs and takes the mean length of the job's queue in its place, and it looks at
starts on whole hours after the arrival only; apart from that its policies are those of `carbon_ray.policies.baselines`. The true
intensity is known, capacity is unlimited, pausing is free. Conventions: the authors' simulator, github.com/umassos/GAIA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.ecovisor import DAY_H, slots_run
from carbon_ray.policies.baselines.windows import IndexArray, cheapest_slots, first_best_rate, first_lowest, percentile, window_sums

SHORT_S = 7200
"""Jobs below this length queue as short; one of exactly this length waits as long, and counts in both means."""
SHORT_WAIT_H = 6
LONG_WAIT_H = 24
S_PER_H = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job in slots.

    Attributes:
        arrival: Slot of submission.
        length: Slots of work.
        cpus: CPUs, a watt each.
        wait: Slots that its queue may wait.
        expected: Length that the scheduler expects, slots.
    """

    arrival: int
    length: int
    cpus: float
    wait: int
    expected: int


def jobs_of(arrival_s: Sequence[float], length_s: Sequence[float], cpus: Sequence[float], *, slot_s: int = 5) -> list[Job]:
    """The jobs of a trace, those without a whole slot of work left out.

    Args:
        arrival_s: Seconds from the start of the trace.
        length_s: Seconds.
        cpus: CPUs of each.
        slot_s: Length of a slot, a divisor of an hour.
    """
    lengths = np.array(length_s, dtype=np.float64)
    is_short = lengths < SHORT_S
    expected_short = int((lengths[lengths <= SHORT_S] / slot_s).mean())
    expected_long = int((lengths[lengths >= SHORT_S] / slot_s).mean())
    per_hour = S_PER_H // slot_s
    return [
        Job(
            arrival=int(arrival / slot_s),
            length=int(length / slot_s),
            cpus=count,
            wait=(SHORT_WAIT_H if short else LONG_WAIT_H) * per_hour,
            expected=expected_short if short else expected_long,
        )
        for arrival, length, count, short in zip(arrival_s, length_s, cpus, is_short, strict=True)
        if int(length / slot_s)
    ]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trace:
    """Intensity of every slot.

    Attributes:
        kg_per_kw: Emissions of a kilowatt through the slot, kg; shape (T,).
        per_hour: Slots an hour.
    """

    kg_per_kw: FloatArray
    per_hour: int

    @classmethod
    def hourly(cls, gco2_per_kwh: FloatArray, *, slot_s: int = 5) -> Trace:
        """A trace of slots from an hourly one."""
        per_hour = S_PER_H // slot_s
        return cls(kg_per_kw=np.repeat(np.asarray(gco2_per_kwh, dtype=np.float64) / 1000, per_hour) / per_hour, per_hour=per_hour)


def _block(start: int, job: Job) -> IndexArray:
    return np.arange(job.arrival + start, job.arrival + start + job.length)


def no_wait(job: Job, trace: Trace) -> IndexArray:
    """Start on arrival."""
    return _block(0, job)


def lowest_slot(job: Job, trace: Trace) -> IndexArray:
    """Start in the lowest slot of the waiting time, its last slot included."""
    return _block(int(first_lowest(trace.kg_per_kw[job.arrival : job.arrival + job.wait + 1])), job)


def _hourly_starts(job: Job, trace: Trace) -> FloatArray:
    """Emissions of a job of the expected length for starts 0, 1 h, ... after the arrival."""
    end = job.arrival + job.wait + job.expected
    return window_sums(trace.kg_per_kw[job.arrival : end], job.expected)[:: trace.per_hour]


def lowest_window(job: Job, trace: Trace) -> IndexArray:
    """Start where a job of the expected length emits least."""
    return _block(int(first_lowest(_hourly_starts(job, trace))) * trace.per_hour, job)


def carbon_time(job: Job, trace: Trace) -> IndexArray:
    """Start where a job of the expected length saves most per slot until it is done."""
    sums = _hourly_starts(job, trace)
    until_done = np.arange(len(sums), dtype=np.float64) * trace.per_hour + job.expected
    return _block(first_best_rate(float(sums[0]), sums, until_done) * trace.per_hour, job)


def ecovisor(job: Job, trace: Trace) -> IndexArray:
    """Run below the 30th percentile of the day after the arrival, and always once the waiting time is spent."""
    ahead = trace.kg_per_kw[job.arrival : job.arrival + job.wait + job.length]
    day = trace.kg_per_kw[job.arrival : job.arrival + round(DAY_H * trace.per_hour)]
    return job.arrival + slots_run(ahead, percentile(day, 30.0), job.length, job.wait)


def wait_awhile(job: Job, trace: Trace) -> IndexArray:
    """Run in the lowest slots of the waiting time and the true length."""
    ahead = trace.kg_per_kw[job.arrival : job.arrival + job.wait + job.length]
    return job.arrival + np.flatnonzero(cheapest_slots(ahead, job.length))


POLICIES: dict[str, Callable[[Job, Trace], IndexArray]] = {
    "NoWait": no_wait,
    "Lowest-Slot": lowest_slot,
    "Lowest-Window": lowest_window,
    "Carbon-Time": carbon_time,
    "Ecovisor": ecovisor,
    "Wait-Awhile": wait_awhile,
}
"""Job and trace to the slots that it runs in, by the study's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a policy makes of all jobs.

    Attributes:
        gco2: Emissions, g, at one watt a CPU.
        mean_finish_delay_h: Hours that a job ends later than if run on arrival, mean.
    """

    gco2: float
    mean_finish_delay_h: float


def run(policy: Callable[[Job, Trace], IndexArray], jobs: Sequence[Job], trace: Trace) -> Totals:
    """Run every job by one policy.

    Raises:
        ValueError: A job does not end within the trace.
    """
    gco2 = delay = 0.0
    for job in jobs:
        slots = policy(job, trace)
        if len(slots) != job.length or slots[-1] >= len(trace.kg_per_kw):
            raise ValueError(f"the job that arrives in slot {job.arrival} does not end within the trace; give it a longer trace")
        gco2 += job.cpus * float(trace.kg_per_kw[slots].sum())
        delay += (int(slots[-1]) + 1 - job.arrival - job.length) / trace.per_hour
    return Totals(gco2=gco2, mean_finish_delay_h=delay / len(jobs))
