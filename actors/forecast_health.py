"""How the forecast service does, as plain values: for metrics, for `carbon-ray doctor`, and for a person on a bad day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carbon_ray.providers.chain import SourceHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneHealth:
    """One zone's forecast.

    Attributes:
        zone: Which.
        issued_at: When its forecast was made; older than the snapshot's version where its sources fail. Aware UTC.
        age_s: Seconds since then, on the cluster's clock.
        history_end_at: End of the newest value that it was made of; None where that is not known any more.
        provider: Where the history came from.
        is_embedded: True if that is the typical profile.
        problem: Why it was not made anew; empty where it was.
    """

    zone: str
    issued_at: datetime
    age_s: float
    history_end_at: datetime | None
    provider: str
    is_embedded: bool
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHealth:
    """How training does.

    Attributes:
        trained_at: When the model in use was trained, on the cluster's clock; None without one.
        age_s: Seconds since then; None without one.
        zones: Zones that it was trained on.
        is_training: A training is under way.
        problem: Why the last one failed; empty after a success.
    """

    trained_at: datetime | None
    age_s: float | None
    zones: tuple[str, ...]
    is_training: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastHealth:
    """The service at one instant of the cluster's clock.

    Attributes:
        version: Of the newest snapshot; 0 before the first.
        issued_at: When the oldest of its forecasts was made; None before the first.
        age_s: Seconds since then; None before the first.
        failures: Refreshes in a row that renewed nothing.
        problem: What is wrong; empty where nothing is.
        zones: In the order of the snapshot.
        sources: In the order in which they serve; empty where the service has one that tells nothing of itself.
        training: Of the model; None for a forecaster that needs none.
    """

    version: int
    issued_at: datetime | None
    age_s: float | None
    failures: int
    problem: str
    zones: tuple[ZoneHealth, ...]
    sources: tuple[SourceHealth, ...]
    training: TrainingHealth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshLoad:
    """What the refreshing thread has to do.

    Attributes:
        running_s: Seconds for which the present round runs; None between rounds.
        last_s: Seconds that the last round took; None before the first.
        rounds: Rounds done.
        waiting: Requests that wait for a round.
        refused: Requests that were sent away because too many waited.
    """

    running_s: float | None
    last_s: float | None
    rounds: int
    waiting: int
    refused: int
