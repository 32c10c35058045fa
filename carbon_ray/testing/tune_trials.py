"""What the trials of a virtual Tune loop do: recorded learning curves, and the searcher that hands the trials out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray.train._internal.session import _FutureTrainingResult, _TrainingResult
from ray.tune import CheckpointConfig, PlacementGroupFactory
from ray.tune.experiment import Trial


class VirtualTrainable(Protocol):
    """What is trained."""

    def report(self, trial: Trial, iteration: int) -> Mapping[str, Any] | None:
        """What the trial reports at an iteration, 1 the first; None once it has come to its end."""
        ...

    def iteration_s(self, trial: Trial, iteration: int) -> float:
        """Seconds that the iteration takes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCurves:
    """Learning curves by a key of the configuration.

    Attributes:
        curves: For each curve the metric by iteration, as the trial reports it.
        seconds: For each curve the seconds of one iteration.
        metric: Name of the metric.
        key: Key of the configuration that says which curve a trial has.
    """

    curves: Mapping[Any, Sequence[float]]
    seconds: Mapping[Any, float] = field(default_factory=dict)
    metric: str = "score"
    key: str = "curve"
    default_s: float = 60.0

    def report(self, trial: Trial, iteration: int) -> Mapping[str, Any] | None:
        """The curve's value at the iteration."""
        curve = self.curves[trial.config[self.key]]
        return {self.metric: curve[iteration - 1]} if iteration <= len(curve) else None

    def iteration_s(self, trial: Trial, iteration: int) -> float:
        """The same for every iteration of a curve."""
        return self.seconds.get(trial.config[self.key], self.default_s)


class _Searcher:
    """What HyperBandForBOHB tells a searcher about."""

    def __init__(self) -> None:
        self.paused: set[str] = set()

    def on_pause(self, trial_id: str) -> None:
        """The base scheduler paused a trial."""
        self.paused.add(trial_id)

    def on_unpause(self, trial_id: str) -> None:
        """The base scheduler let it go on."""
        self.paused.discard(trial_id)


class ListedTrials:
    """A searcher that hands out configurations in their order.

    Args:
        configs: One a trial.
        max_live: Trials that it lets be live at once, as a `ConcurrencyLimiter` does; None: any number.
        first: Number of the first trial, from which the ids are made.
        stopping: Stopping criterion of the trials, as in `RunConfig(stop=...)`.
    """

    metric: str | Sequence[str] | None = None

    def __init__(
        self,
        configs: Iterable[Mapping[str, Any]],
        *,
        max_live: int | None = None,
        first: int = 0,
        stopping: Mapping[str, float] | None = None,
        checkpoint_config: CheckpointConfig | None = None,
    ) -> None:
        self._configs: Iterator[Mapping[str, Any]] = iter(list(configs))
        self._left = list(self._configs)
        self._next, self._max_live, self._stopping = first, max_live, dict(stopping or {})
        self._checkpoint_config = checkpoint_config
        self._live: set[str] = set()
        self._is_over = False
        self.searcher = _Searcher()
        self.heard: list[tuple[str, int]] = []
        self.total_samples = len(self._left)

    def next_trial(self) -> Trial | None:
        """The next trial; None if there is none, or none now."""
        if self.is_finished() or (self._max_live is not None and len(self._live) >= self._max_live):
            return None
        trial_id = f"{self._next:05d}"
        trial = virtual_trial(trial_id, self._left.pop(0), stopping=self._stopping, checkpoint_config=self._checkpoint_config)
        self._next += 1
        self._live.add(trial_id)
        return trial

    def is_finished(self) -> bool:
        """All have been handed out."""
        return self._is_over or not self._left

    def set_finished(self) -> None:
        """Hand out no more."""
        self._is_over = True

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Hear of a result."""
        self.heard.append((trial_id, int(result["training_iteration"])))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Hear of an end."""
        self._live.discard(trial_id)


def virtual_trial(
    trial_id: str,
    config: Mapping[str, Any],
    *,
    stopping: Mapping[str, float] | None = None,
    checkpoint_config: CheckpointConfig | None = None,
    cpus: float = 1.0,
) -> Trial:
    """One of Tune's own trial objects, with nothing behind it."""
    trial = Trial(
        "virtual",
        config=dict(config),
        trial_id=trial_id,
        experiment_tag=trial_id,
        stopping_criterion=dict(stopping or {}),
        checkpoint_config=checkpoint_config,
        stub=True,
    )
    trial.placement_group_factory = PlacementGroupFactory([{"CPU": cpus}])
    return trial


class SavedAtOnce(_FutureTrainingResult):  # type: ignore[misc]  # PBT looks for this class
    """A checkpoint that is there as soon as it is asked for."""

    def __init__(self, result: _TrainingResult | None) -> None:
        self.result = result

    def resolve(self, block: bool = True) -> _TrainingResult | None:
        """The checkpoint and what the trial had reported when it was made; None where the trial makes none."""
        return self.result
