"""The one error tree, named by what the caller does next. Every error pickles, because all of them cross actors.

    CarbonRayError
      ConfigError                     fix the configuration
        UnknownZoneError              fix the zone name              .zone, .known
        UnknownRegionError            fix the region name            .region, .known
        TraceFormatError              fix the trace file             .path, .problem
      WorkloadRejected                change the request
        DeadlinePassed                choose a later deadline        .deadline_at, .now
        DeadlineTooShort              choose a later deadline        .deadline_at, .earliest_finish_at
          DeadlineCrowded             ... because of what was admitted before
        BudgetTooSmall                raise the budget               .budget, .least, .unit
        NoCapacityError               ask for less, or allow more regions
      ProviderError                   .provider, .zone
        ProviderUnavailable           retry, then fall back
        ProviderAuthError             fix the key
        ProviderAccessError           the plan does not cover it: another provider, never retry
        ProviderQuotaError            wait until .retry_at
        ProviderRequestError          we asked wrongly: never retry
        ProviderNoDataError           they have nothing for that: fall back
        ProviderResponseError         they broke the contract; .excerpt (redacted)
      OutsideDataError (also ValueError)
        ForecastHorizonError          asked beyond the forecast
      ForecastError
        StaleForecastError            .issued_at, .max_age_s
        ForecastModelError            train the model again          .source, .problem
      LedgerError                     the books contradict each other or are not complete; the message says where
      DecisionRefused                 a guard said no; news, not a failure
        CooldownActive, SnapshotOutdated, NodeBusy
      ClusterError
        ControllerUnavailable         start the controller, or name the cluster's address
        ClusterStartError             read the log it names
      TrainingError                   the training code itself failed
        CheckpointCorrupt             an older checkpoint is tried first
      UnitMismatchError (also ValueError)

An error with fields passes them to `super().__init__` and formats them in `__str__`: a formatted string in `args` would
not survive pickling.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches


class CarbonRayError(Exception):
    """Every error that carbon_ray raises on purpose."""


class ConfigError(CarbonRayError):
    """The configuration is wrong; the message says which field and what to write."""


def _suggest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.4)
    if close:
        return f"did you mean {', '.join(close)}?"
    shown = ", ".join(names[:12])
    return f"known: {shown}{', ...' if len(names) > 12 else ''}" if names else "none is known"


class UnknownZoneError(ConfigError):
    """No data source knows the zone."""

    def __init__(self, zone: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(zone, known)
        self.zone, self.known = zone, known

    def __str__(self) -> str:
        return f"unknown grid zone {self.zone!r}; {_suggest(self.zone, self.known)}"


class UnknownRegionError(ConfigError):
    """The cluster has no such region."""

    def __init__(self, region: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(region, known)
        self.region, self.known = region, known

    def __str__(self) -> str:
        return f"unknown region {self.region!r}; {_suggest(self.region, self.known)}"


class TraceFormatError(ConfigError):
    """A trace file breaks the format; nothing of it is used."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"trace {self.path}: {self.problem}"


class WorkloadRejected(CarbonRayError):
    """The workload cannot be accepted as asked; the message says what would be accepted."""


class DeadlinePassed(WorkloadRejected):
    """The deadline lies in the past."""

    def __init__(self, deadline_at: datetime, now: datetime) -> None:
        super().__init__(deadline_at, now)
        self.deadline_at, self.now = deadline_at, now

    def __str__(self) -> str:
        return f"the deadline {self.deadline_at:%Y-%m-%dT%H:%MZ} is not after now ({self.now:%Y-%m-%dT%H:%MZ}); choose a later deadline"


class DeadlineTooShort(WorkloadRejected):
    """Even run at once, the work would end after the deadline."""

    def __init__(self, deadline_at: datetime, earliest_finish_at: datetime) -> None:
        super().__init__(deadline_at, earliest_finish_at)
        self.deadline_at, self.earliest_finish_at = deadline_at, earliest_finish_at

    def __str__(self) -> str:
        return (
            f"the deadline {self.deadline_at:%Y-%m-%dT%H:%MZ} cannot be met: run at once, the work ends at "
            f"{self.earliest_finish_at:%Y-%m-%dT%H:%MZ} (start-up and safety margin included); choose a deadline at or after that"
        )


class DeadlineCrowded(DeadlineTooShort):
    """Alone the work would be in time; on the nodes that admitted workloads leave it would not."""

    def __str__(self) -> str:
        return (
            f"the deadline {self.deadline_at:%Y-%m-%dT%H:%MZ} cannot be met beside the workloads admitted before: on the nodes that they "
            f"leave, the work ends at {self.earliest_finish_at:%Y-%m-%dT%H:%MZ}; choose a deadline at or after that, allow more regions, "
            f"or ask for fewer workers"
        )


class BudgetTooSmall(WorkloadRejected):
    """No plan that meets the deadline is expected to keep the budget."""

    def __init__(self, name: str, budget: float, least: float, unit: str) -> None:
        super().__init__(name, budget, least, unit)
        self.name, self.budget, self.least, self.unit = name, budget, least, unit

    def __str__(self) -> str:
        return (
            f"{self.name} of {self.budget:.6g} {self.unit} cannot be kept: of all plans that meet the deadline and every other limit, the "
            f"least is expected to come to {self.least:.6g} {self.unit}; raise the budget to that, choose a later deadline, or allow "
            f"more regions"
        )


class NoCapacityError(WorkloadRejected):
    """No allowed region can ever hold the workload's workers."""


class ProviderError(CarbonRayError):
    """A data source failed."""

    def __init__(self, provider: str, zone: str, problem: str) -> None:
        super().__init__(provider, zone, problem)
        self.provider, self.zone, self.problem = provider, zone, problem

    def __str__(self) -> str:
        return f"{self.provider}, zone {self.zone}: {self.problem}"


class ProviderUnavailable(ProviderError):
    """The source does not answer: retry, then fall back."""


class ProviderAuthError(ProviderError):
    """The source does not take the key, or there is none: fix the key."""


class ProviderAccessError(ProviderError):
    """The key is good, but its plan does not cover what was asked: use another provider, never retry."""


class ProviderQuotaError(ProviderError):
    """The source asks to wait, or its quota is used up: ask again at `retry_at`, aware UTC."""

    def __init__(self, provider: str, zone: str, problem: str, retry_at: datetime) -> None:
        CarbonRayError.__init__(self, provider, zone, problem, retry_at)
        self.provider, self.zone, self.problem, self.retry_at = provider, zone, problem, retry_at

    def __str__(self) -> str:
        return f"{super().__str__()}; ask again at {self.retry_at:%Y-%m-%dT%H:%MZ}"


class ProviderRequestError(ProviderError):
    """The source says that the question is wrong: never retry, fix what is asked."""


class ProviderNoDataError(ProviderError):
    """The source has nothing for that zone or time: fall back."""


class ProviderResponseError(ProviderError):
    """The source broke its contract: do not retry. `excerpt` is the beginning of what it sent, without secrets."""

    def __init__(self, provider: str, zone: str, problem: str, excerpt: str = "") -> None:
        CarbonRayError.__init__(self, provider, zone, problem, excerpt)
        self.provider, self.zone, self.problem, self.excerpt = provider, zone, problem, excerpt

    def __str__(self) -> str:
        return f"{super().__str__()}{f'; it sent: {self.excerpt}' if self.excerpt else ''}"


class OutsideDataError(CarbonRayError, ValueError):
    """An instant outside the data was asked for; nothing is ever extended in silence."""


class ForecastHorizonError(OutsideDataError):
    """The forecast does not reach that far."""


class ForecastError(CarbonRayError):
    """No usable forecast."""


class StaleForecastError(ForecastError):
    """The newest forecast is older than allowed."""

    def __init__(self, issued_at: datetime, max_age_s: float) -> None:
        super().__init__(issued_at, max_age_s)
        self.issued_at, self.max_age_s = issued_at, max_age_s

    def __str__(self) -> str:
        return f"the newest forecast was issued at {self.issued_at:%Y-%m-%dT%H:%MZ}, older than the {self.max_age_s:.0f} s allowed"


class ForecastModelError(ForecastError):
    """A stored model cannot be used; a new one has to be trained."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"forecast model {self.source} {self.problem}; train it again"


class LedgerError(CarbonRayError):
    """Records of the books contradict each other, or are not complete enough for what was asked."""


class DecisionRefused(CarbonRayError):
    """A guard said no to a decision on fresh state: news, not a failure."""


class CooldownActive(DecisionRefused):
    """The workload changed too short a time ago."""


class SnapshotOutdated(DecisionRefused):
    """The state that the decision was made on is gone."""


class NodeBusy(DecisionRefused):
    """The node to be drained has work on it again."""


class ClusterError(CarbonRayError):
    """The Ray cluster is not as it must be."""


class ControllerUnavailable(ClusterError):
    """No carbon_ray controller answers on this cluster."""


class ClusterStartError(ClusterError):
    """The cluster did not come up."""


class TrainingError(CarbonRayError):
    """The training code failed, not the cluster."""


class CheckpointCorrupt(TrainingError):
    """A checkpoint cannot be read."""


class UnitMismatchError(CarbonRayError, ValueError):
    """Two numbers that may not be put together: other kind, zone or unit."""
