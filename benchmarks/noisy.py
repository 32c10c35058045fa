"""Forecasts of a chosen error: the truth, scaled by noise that lasts, so that regret can be drawn against the size of the error."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from benchmarks.traces import HourlyTable
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.backfire import PERSISTENCE_PER_H

LEAST_SHARE = 0.05
"""Of the truth that a forecast keeps, however large the noise: an intensity is above 0."""


class NoisyTruth:
    """The truth times 1 + sigma x noise, where the noise is what nobody could know at the hour of issue.

    Each zone has one autoregressive process z of unit variance over the hours. A forecast issued at hour i scales hour t by the part of
    z(t) that z(i - 1) does not tell: z(t) - p^(t - i + 1) z(i - 1). So the error begins small, grows to sigma within a day or two, and a
    newer forecast of the same hour corrects an older one, as real ones do. Every sigma scales the same noise: points of a curve are paired.

    Args:
        table: Truth.
        sigma: Standard deviation of the error far ahead, share of the truth.
        seed: Of the noise.
    """

    def __init__(self, table: HourlyTable, sigma: float, seed: int = 0) -> None:
        self._values, self._sigma, persistence = table.values_gco2_per_kwh, sigma, PERSISTENCE_PER_H
        fresh = np.random.default_rng(seed).standard_normal(self._values.shape)
        fresh[1:] *= np.sqrt(1.0 - persistence**2)
        self._noise: FloatArray = lfilter([1.0], [1.0, -persistence], fresh, axis=0)

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """Median and standard deviation of the error for the next hours, both (hours, zones), gCO2e per kWh.

        Args:
            issue: Hour of issue, at least 1.
            hours: How far ahead.
        """
        truth = self._values[issue : issue + hours]
        told = (PERSISTENCE_PER_H ** np.arange(1, len(truth) + 1))[:, None]
        unknown = self._noise[issue : issue + hours] - told * self._noise[issue - 1]
        median = truth * np.maximum(1.0 + self._sigma * unknown, LEAST_SHARE)
        return median, self._sigma * median * np.sqrt(1.0 - told**2)


def sigmas(text: str) -> tuple[float, ...]:
    """The numbers of `--noise`, such as 0,0.1,0.2; none of an empty text.

    Raises:
        ConfigError: One is no number of at least 0.
    """
    try:
        found = tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError:
        found = (-1.0,)
    if not all(0 <= sigma < np.inf for sigma in found):
        raise ConfigError(f"--noise takes numbers of at least 0 with commas between them, such as 0,0.1,0.2; got {text!r}")
    return found


def name_of(sigma: float) -> str:
    """As a forecaster in the tables."""
    return f"noise_{sigma:g}"
