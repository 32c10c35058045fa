"""What a sweep cost and what it brought: carbon by trial, budget, score per kilogram, the Pareto front, and the sweep run at once instead.

Everything is read from the experiment directory, so that it can be had long after the sweep, or of one that is under way.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune import ResultGrid

from carbon_ray.core.errors import ConfigError, ProviderNoDataError
from carbon_ray.core.units import kg
from carbon_ray.tune.journal import INFO, JOURNAL, read_json, read_lines, replace_file
from carbon_ray.tune.ledger import Interval, SweepLedger
from carbon_ray.tune.plots import pareto_svg


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCost:
    """One trial.

    Attributes:
        trial_id: Its name in Tune; one that Tune does not know any more has no score.
        iterations: Results that it reported.
        best_score: Best of them as it was reported; None where it reported none.
        energy_kwh: At the site, PUE included.
        carbon_gco2: Emissions, g.
        running_s: Seconds of the clock that it held its place.
        held_s: Seconds that it was held.
        is_on_front: No other trial has a score at least as good for less carbon.
    """

    trial_id: str
    iterations: int
    best_score: float | None
    energy_kwh: float
    carbon_gco2: float
    running_s: float
    held_s: float
    is_on_front: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSummary:
    """A sweep.

    Attributes:
        trials: By their carbon, the most first.
        metric: What is scored; None where that is not known.
        mode: "max" or "min".
        energy_kwh: Of all trials, PUE included.
        carbon_gco2: Of all trials, g.
        budget_gco2: As given; None where none was.
        budget_used_fraction: Share of it that was emitted; None where none was given.
        best_score: Of any trial.
        best_score_per_kg: The best score by kilogram of the whole sweep; None where the score is to be small, or nothing was emitted.
        run_at_once_gco2: The same running seconds at once, in their order, at full concurrency in the first region; None where the grid
            of those hours is not known.
        saving_fraction: What was saved against that; negative where more was emitted.
        source: Where intensities come from.
        power: Where the power comes from, by region.
    """

    trials: tuple[TrialCost, ...]
    metric: str | None
    mode: str
    energy_kwh: float
    carbon_gco2: float
    budget_gco2: float | None
    budget_used_fraction: float | None
    best_score: float | None
    best_score_per_kg: float | None
    run_at_once_gco2: float | None
    saving_fraction: float | None
    source: str
    power: Mapping[str, str]

    @property
    def pareto_front(self) -> tuple[TrialCost, ...]:
        """Trials that no other one beats in both, from the least carbon to the most."""
        return tuple(sorted((one for one in self.trials if one.is_on_front), key=lambda one: one.carbon_gco2))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values, the front by names."""
        return {**asdict(self), "power": dict(self.power), "pareto_front": [one.trial_id for one in self.pareto_front]}

    def write(self, directory: Path | str) -> tuple[Path, Path]:
        """Write `carbon_summary.json` and `carbon_pareto.svg`; their paths."""
        numbers, picture = Path(directory) / "carbon_summary.json", Path(directory) / "carbon_pareto.svg"
        replace_file(numbers, json.dumps(self.as_json(), indent=1).encode())
        replace_file(picture, pareto_svg(self.trials, self.metric or "score", self.source).encode())
        return numbers, picture


def summary(sweep: ResultGrid | Path | str) -> SweepSummary:
    """The summary of a sweep, from its result grid or its experiment directory.

    Raises:
        ConfigError: It is no sweep under `CarbonAwareTuneScheduler`, or its directory is not on this machine.
    """
    path = Path(sweep.experiment_path if isinstance(sweep, ResultGrid) else sweep)
    info = read_json(path / INFO)
    if info is None:
        raise ConfigError(
            f"{path} has no {INFO}: it is no directory of a sweep under CarbonAwareTuneScheduler, or not on this machine (fetch it first)"
        )
    ledger = SweepLedger(_NoPrices())
    ledger.replay(read_lines(path / JOURNAL))
    metric, mode = info.get("metric"), info.get("mode", "max")
    scores = _scores_of_grid(sweep, metric, mode) if isinstance(sweep, ResultGrid) else _scores_in(path, metric, mode)
    trials = [
        TrialCost(
            trial_id=trial_id,
            iterations=account.iteration,
            best_score=scores.get(trial_id),
            energy_kwh=account.energy_kwh,
            carbon_gco2=ledger.gco2(trial_id),
            running_s=account.running_s,
            held_s=account.held_s,
        )
        for trial_id, account in ledger.accounts.items()
    ]
    best = _best([one.best_score for one in trials if one.best_score is not None], mode)
    budget, at_once = info.get("budget_gco2"), info.get("run_at_once_gco2")
    total = ledger.total_gco2
    return SweepSummary(
        trials=tuple(sorted(on_front(trials, mode), key=lambda one: -one.carbon_gco2)),
        metric=metric,
        mode=mode,
        energy_kwh=ledger.total_kwh,
        carbon_gco2=total,
        budget_gco2=budget,
        budget_used_fraction=total / budget if budget else None,
        best_score=best,
        best_score_per_kg=best / kg(total) if best is not None and mode == "max" and total > 0 else None,
        run_at_once_gco2=at_once,
        saving_fraction=1 - total / at_once if at_once else None,
        source=info.get("source", ""),
        power={region["name"]: region["power"] for region in info.get("regions", [])},
    )


def on_front(trials: Sequence[TrialCost], mode: str) -> list[TrialCost]:
    """The trials, marked where no other one has a score at least as good for less carbon, or a better one for as much."""
    sign = 1.0 if mode == "max" else -1.0
    scored = [one for one in trials if one.best_score is not None]
    order = sorted(scored, key=lambda one: (one.carbon_gco2, -sign * (one.best_score or 0.0)))
    front, best = set(), float("-inf")
    for one in order:
        if sign * (one.best_score or 0.0) > best:
            best = sign * (one.best_score or 0.0)
            front.add(one.trial_id)
    return [replace(one, is_on_front=one.trial_id in front) for one in trials]


def _best(scores: Sequence[float], mode: str) -> float | None:
    if not scores:
        return None
    return max(scores) if mode == "max" else min(scores)


def _scores_of_grid(grid: ResultGrid, metric: str | None, mode: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    for result in grid:
        metrics = result.metrics or {}
        frame = result.metrics_dataframe
        values = [] if metric is None else ([metrics.get(metric)] if frame is None or metric not in frame else frame[metric].tolist())
        best = _best([float(value) for value in values if value is not None and value == value], mode)
        if best is not None and "trial_id" in metrics:
            scores[metrics["trial_id"]] = best
    return scores


def _scores_in(path: Path, metric: str | None, mode: str) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for file in path.glob("*/progress.csv"):
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if metric is not None and row.get(metric):
                    scores.setdefault(row["trial_id"], []).append(float(row[metric]))
    return {trial_id: best for trial_id, values in scores.items() if (best := _best(values, mode)) is not None}


class _NoPrices:
    """A journal carries its prices."""

    def interval(self, zone: str, at: object) -> Interval:
        raise ProviderNoDataError("journal", zone, "a summary books nothing")

    def settled(self, interval: Interval) -> Interval | None:
        return None
