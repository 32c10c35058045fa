"""Let's Wait Awhile (Middleware 2021), machine-learning scenario, run again on carbon_ray's own functions.

Conventions of the published code that differ from a plain reading of the paper: the window has one slot more than length and
slack together (its end is included), also for the baseline, which so starts at once or a slot later; the interruptible strategy
runs every slot as low as the last one chosen. Forecasts are the truth plus white noise, drawn once for the whole year and seed.
All seeds of all error levels are columns of one array, so that every job is decided once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.windows import cheapest_slots, first_lowest, window_sums

SLOT_MIN = 30

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs in slots of half an hour.

    Attributes:
        submit: Slot of submission.
        length: Slots of work.
        deadline: Slot before whose start it must have ended, by name of the deadline rule.
    """

    submit: IntArray
    length: IntArray
    deadline: dict[str, IntArray]

    @classmethod
    def of_minutes(cls, submit_min: Sequence[int], length_min: Sequence[int], deadline_min: dict[str, Sequence[int]]) -> Jobs:
        """From minutes since the start of the series."""
        return cls(
            submit=np.array(submit_min, dtype=np.int64) // SLOT_MIN,
            length=np.array(length_min, dtype=np.int64) // SLOT_MIN,
            deadline={name: np.array(minutes, dtype=np.int64) // SLOT_MIN for name, minutes in deadline_min.items()},
        )


def forecasts(ci_gco2_per_kwh: FloatArray, error: float, seeds: Sequence[int]) -> FloatArray:
    """Truth plus noise with a standard deviation of `error` times the mean, a column a seed, shape (T, len(seeds))."""
    scale = error * float(ci_gco2_per_kwh.mean())
    noise = [np.random.default_rng(seed).normal(0.0, scale, len(ci_gco2_per_kwh)) for seed in seeds]
    return ci_gco2_per_kwh[:, None] + np.stack(noise, axis=1)


def baseline(ci_gco2_per_kwh: FloatArray, jobs: Jobs) -> float:
    """Sum of the intensity over the slots used with no slack but the one slot of the window's end."""
    truth, total = ci_gco2_per_kwh[:, None], 0.0
    for submit, length in zip(jobs.submit, jobs.length, strict=True):
        sums = window_sums(truth[submit : submit + length + 1], length)
        total += float(sums[first_lowest(sums)[0], 0])
    return total


def sums_used(ci_gco2_per_kwh: FloatArray, predicted: FloatArray, jobs: Jobs, rule: str) -> dict[str, FloatArray]:
    """Sum of the true intensity over the slots used, for each column of the forecasts, by strategy.

    Args:
        ci_gco2_per_kwh: Truth, shape (T,).
        predicted: Forecasts, shape (T, S).
        jobs: What is run.
        rule: Name of the deadline rule.

    Returns:
        "non_interruptible" and "interruptible", shape (S,) each.
    """
    integral = np.concatenate([[0.0], np.cumsum(ci_gco2_per_kwh)])
    block, spread = np.zeros(predicted.shape[1]), np.zeros(predicted.shape[1])
    for submit, length, deadline in zip(jobs.submit, jobs.length, jobs.deadline[rule], strict=True):
        window = slice(submit, deadline + 1)
        start = submit + first_lowest(window_sums(predicted[window], length))
        block += integral[start + length] - integral[start]
        chosen = cheapest_slots(predicted[window], int(length), with_ties=True)
        spread += ci_gco2_per_kwh[window] @ chosen
    return {"non_interruptible": block, "interruptible": spread}


def savings_percent(
    ci_gco2_per_kwh: FloatArray, jobs: Jobs, errors: Sequence[float], seeds: Sequence[int]
) -> dict[tuple[str, str, float], float]:
    """Saving against the baseline, mean over seeds, by (deadline rule, strategy, error).

    Args:
        ci_gco2_per_kwh: Truth in slots of half an hour, shape (T,).
        jobs: What is run.
        errors: Standard deviations of the noise relative to the mean; where it is 0 the seeds do not matter.
        seeds: Of the noise.
    """
    drawn = [forecasts(ci_gco2_per_kwh, error, seeds if error else seeds[:1]) for error in errors]
    edges = np.cumsum([0, *(columns.shape[1] for columns in drawn)])
    predicted, reference = np.concatenate(drawn, axis=1), baseline(ci_gco2_per_kwh, jobs)
    savings = {}
    for rule in jobs.deadline:
        for strategy, used in sums_used(ci_gco2_per_kwh, predicted, jobs, rule).items():
            for error, first, last in zip(errors, edges[:-1], edges[1:], strict=True):
                savings[rule, strategy, error] = 100 * (1 - float(used[first:last].mean()) / reference)
    return savings
