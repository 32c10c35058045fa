"""Running an experiment file: its grid data, its job sets, every policy with every forecaster, and the figures of all of them."""

from __future__ import annotations

import csv
import dataclasses
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from carbon_ray.config.experiment import CLAIRVOYANT, MARGIN, AnySet, Experiment, PolicySection, TraceSet
from carbon_ray.config.grid import grid_provider
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.policies.base import PlacementPolicy
from carbon_ray.policies.registry import policy_named
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.trace import TraceProvider
from carbon_ray.sim.bound import clairvoyant_bound
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant, ForecastSource, IssuedForecasts
from carbon_ray.sim.jobs import Row, rows_of
from carbon_ray.sim.results import Run
from carbon_ray.sim.statistics import holm
from carbon_ray.sim.summary import Difference, Summary, compare, summarise
from carbon_ray.sim.world import World

HOURS_PER_UNIT = {"s": 1 / 3600, "h": 1.0}
_DAY_S = 86400.0

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """One policy with one forecaster on one job set.

    Attributes:
        policy: Label.
        forecaster: Name of the model.
        is_clairvoyant: It was told the truth.
        summary: Its figures.
        difference: Against the policy of `compare_with` with the same forecaster; None for that one itself, or without one.
        p_adjusted: The difference's p value, adjusted for all tests of the experiment.
    """

    policy: str
    forecaster: str
    is_clairvoyant: bool
    summary: Summary
    difference: Difference | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResult:
    """Everything of one job set.

    Attributes:
        name: Of the set.
        bound: Figures of the clairvoyant bound.
        rows: In the order of the file.
    """

    name: str
    bound: Summary
    rows: tuple[PolicyResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """What an experiment came to: simulated, whatever the intensity was.

    Attributes:
        name: Of the experiment.
        kind: What the intensity counts.
        provenance: Where it came from, by zone.
        sets: By job set.
    """

    name: str
    kind: IntensityKind
    provenance: Mapping[str, Provenance]
    sets: tuple[SetResult, ...]

    @property
    def is_embedded(self) -> bool:
        """True if any intensity was a typical profile, not an observation."""
        return any(one.is_embedded for one in self.provenance.values())


def run_experiment(experiment: Experiment, told: Told = lambda _: None) -> ExperimentResult:
    """Run everything that the file asks for.

    Args:
        experiment: What.
        told: Is told in a few words what is being run.

    Raises:
        ConfigError: A policy, a job trace or a data source is not as the file says.
        ProviderNoDataError, OutsideDataError: The grid source does not cover the experiment.
    """
    for settings in experiment.policies:
        _policy(settings, experiment.slot_s)  # before anything long is begun
    worlds, sets = [], []
    for seed in experiment.seeds:
        of_seed = [experiment.jobs_of(section, seed, _traced(section)) for section in experiment.job_sets]
        end_at = max(job.workload.deadline_at for jobs in of_seed for job in jobs.jobs) + MARGIN
        worlds.append(_world(experiment, seed, end_at))
        sets.append(of_seed)
    results = []
    for number, section in enumerate(experiment.job_sets):
        jobs = [of_seed[number] for of_seed in sets]
        told(f"{section.name}: clairvoyant bound")
        bounds = [clairvoyant_bound(world, one, slot_s=experiment.slot_s) for world, one in zip(worlds, jobs, strict=True)]
        cells: dict[tuple[str, str], list[Run]] = {}
        for settings in experiment.policies:
            for forecaster in settings.forecasters or experiment.forecasters:
                told(f"{section.name}: {settings.shown} with {forecaster}")
                cells[settings.shown, forecaster] = [
                    simulate(
                        world,
                        one,
                        _policy(settings, experiment.slot_s),
                        _source(experiment, forecaster, world),
                        experiment.control_of(settings),
                    )
                    for world, one in zip(worlds, jobs, strict=True)
                ]
        results.append(_set_result(experiment, section, bounds, cells))
    truth = worlds[0].truth
    return ExperimentResult(
        name=experiment.name,
        kind=worlds[0].kind,
        provenance={zone: series.provenance for zone, series in truth.items()},
        sets=tuple(_with_adjusted(results)),
    )


def _set_result(
    experiment: Experiment, section: AnySet, bounds: Sequence[Run], cells: Mapping[tuple[str, str], Sequence[Run]]
) -> SetResult:
    block_days, rows = section.block_days, []
    for (policy, forecaster), runs in cells.items():
        other = cells.get((experiment.compare_with or "", forecaster))
        difference = None if other is None or policy == experiment.compare_with else compare(runs, other, block_days=block_days)
        rows.append(
            PolicyResult(
                policy=policy,
                forecaster=forecaster,
                is_clairvoyant=runs[0].is_clairvoyant,
                summary=summarise(runs, bounds, block_days=block_days),
                difference=difference,
            )
        )
    return SetResult(name=section.name, bound=summarise(bounds, bounds, block_days=block_days), rows=tuple(rows))


def _with_adjusted(sets: Sequence[SetResult]) -> list[SetResult]:
    """Holm over every test of the experiment."""
    tests = [row.difference.p for one in sets for row in one.rows if row.difference is not None]
    adjusted = iter(holm(tests))
    return [
        dataclasses.replace(
            one,
            rows=tuple(row if row.difference is None else dataclasses.replace(row, p_adjusted=next(adjusted)) for row in one.rows),
        )
        for one in sets
    ]


def _policy(section: PolicySection, slot_s: float) -> PlacementPolicy:
    given = {"slot_s": slot_s, **section.parameters}
    policy = policy_named(section.name, **given)
    fields = {field.name for field in dataclasses.fields(policy)}  # type: ignore[arg-type]  # every policy is a dataclass
    if unknown := [name for name in section.parameters if name not in fields]:
        raise ConfigError(f"policy {section.name} has no parameter {', '.join(unknown)}; it has {', '.join(sorted(fields))}")
    return policy


def _traced(section: AnySet) -> list[Row] | None:
    if not isinstance(section, TraceSet):
        return None
    return read_job_trace(section.path, hours_per_unit=HOURS_PER_UNIT[section.time_unit])


def read_job_trace(path: Path, *, hours_per_unit: float) -> list[Row]:
    """Rows of a CSV job trace, gzipped or not.

    Raises:
        ConfigError: It cannot be read, or a row is wrong.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the job trace {path}: {error.strerror or error}") from None
    except (EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"the job trace {path} is no CSV text: {error}") from None
    try:
        return rows_of(list(csv.DictReader(text.splitlines())), hours_per_unit=hours_per_unit)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _world(experiment: Experiment, seed: int, end_at: datetime) -> World:
    grid = experiment.grid.model_copy(update={"seed": experiment.grid.seed + seed})
    provider = grid_provider(grid, experiment.zones)
    begin_at = experiment.start_at - timedelta(days=experiment.history_days)
    return World(
        regions={name: section.region(name) for name, section in experiment.regions.items()},
        truth={zone: _history(provider, zone, begin_at, end_at) for zone in experiment.zones},
        physics=experiment.overheads.physics(),
        mishaps=experiment.mishaps_of(seed),
    )


def _history(provider: HistoryProvider, zone: str, begin_at: datetime, end_at: datetime) -> IntensitySeries:
    """What there is of the window: a trace may begin later and end a little earlier than wanted."""
    if isinstance(provider, TraceProvider):
        first_at, last_at = provider.span(zone)
        begin_at, end_at = max(begin_at, first_at), min(end_at, last_at)
        if not begin_at < end_at:
            raise ConfigError(
                f"zone {zone}: the trace covers {first_at:%Y-%m-%dT%H:%MZ} to {last_at:%Y-%m-%dT%H:%MZ}, nothing of the "
                "experiment; change start_at"
            )
    return provider.history(zone, begin_at, end_at)


def _source(experiment: Experiment, forecaster: str, world: World) -> ForecastSource:
    if forecaster == CLAIRVOYANT:
        return Clairvoyant(world.truth)
    return IssuedForecasts(
        world.truth, forecaster_named(forecaster), issue_s=experiment.issue_s, history_s=experiment.history_days * _DAY_S
    )
