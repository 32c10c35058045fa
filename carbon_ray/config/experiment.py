"""The experiment file of `carbon-ray simulate`: policies x forecasters x job sets in one world, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from carbon_ray.config.capacity import SpotSettings
from carbon_ray.config.section import Section
from carbon_ray.config.settings import GridSettings, UtcInstant
from carbon_ray.config.sites import SiteSettings
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.objective import PRESETS, Objective, objective_named
from carbon_ray.core.region import Market, NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads
from carbon_ray.forecasting.registry import FORECASTERS
from carbon_ray.policies.guards import Guards
from carbon_ray.sim.jobs import (
    JobSet,
    Row,
    SlackRule,
    Template,
    every,
    fixed_slack,
    job_set,
    machine_learning_rows,
    random_rows,
    slack_times_length,
)
from carbon_ray.sim.world import Control, Mishaps, Physics

CLAIRVOYANT = "clairvoyant"
_MB, _GB = 1e6, 1e9


class OfferSection(Section):
    """More nodes of a region, like its others but for the terms."""

    nodes: int = Field(default=1_000_000, ge=1, description="Nodes there are on these terms")
    usd_per_h: float = Field(default=0.0, ge=0, description="Price of a node per hour, USD")


class SpotOfferSection(OfferSection):
    """Spot nodes of a region."""

    interruptions_per_h: float = Field(default=0.05, ge=0, description="Rate at which a node is taken back, per hour")


class RegionSection(SiteSettings):
    """One region: its grid, its buildings and its nodes, one worker each."""

    nodes: int = Field(default=1_000_000, ge=1, description="Nodes there are; the default is more than any job set asks for")
    usd_per_h: float = Field(default=0.0, ge=0, description="Price of a node per hour, USD")
    tdp_w: float = Field(default=1000.0, gt=0, description="Power of a node at full utilisation, W")
    idle_fraction: float = Field(default=0.2, ge=0, le=1, description="Share of tdp_w drawn when idle")
    reserved: OfferSection | None = Field(default=None, description="Reserved nodes beside those on demand")
    spot: SpotOfferSection | None = Field(default=None, description="Spot nodes beside those on demand")

    def region(self, name: str) -> Region:
        """The region as policies see it."""
        power = PowerModel(tdp_w=self.tdp_w, idle_fraction=self.idle_fraction, source="declared in the experiment")
        node_type = NodeType(name=name, resources={"CPU": 1.0}, max_nodes=self.nodes, usd_per_h=self.usd_per_h, power=power)
        more = [
            replace(node_type, name=f"{name}-{market}", market=market, max_nodes=offer.nodes, usd_per_h=offer.usd_per_h)
            for market, offer in ((Market.RESERVED, self.reserved), (Market.SPOT, self.spot))
            if offer is not None
        ]
        if self.spot is not None:
            more[-1] = replace(more[-1], interruptions_per_h=self.spot.interruptions_per_h)
        return Region(name=name, zone=self.grid_zone, pue=self.site_pue, node_types=(node_type, *more))


class OverheadsSection(Section):
    """What suspending, resuming and moving cost; the defaults are those of the published comparison."""

    checkpoint_h: float = Field(default=0.05, ge=0, description="Energy of writing a checkpoint, running hours")
    restore_h: float = Field(default=0.10, ge=0, description="Energy of a resume, running hours")
    migrate_h: float = Field(default=0.5, ge=0, description="Extra energy of a start in another region, running hours")
    startup_s: float = Field(default=0.0, ge=0, description="Seconds from nodes to the first step, held at idle power")
    egress_usd: float = Field(default=0.0, ge=0, description="Price of moving a checkpoint to another region, USD")
    checkpoint_s: float = Field(default=0.0, ge=0, description="Seconds in which nodes are held to write a checkpoint")
    checkpoint_every_s: float | None = Field(default=None, gt=0, description="Seconds between checkpoints while running; none by default")
    checkpoint_gb: float = Field(default=0.0, ge=0, description="Size of a checkpoint, GB")
    bandwidth_mb_per_s: float | None = Field(default=None, gt=0, description="Between regions, MB per second; unlimited by default")
    launch_timeout_s: float = Field(default=180.0, gt=0, description="Seconds without a node after which a region counts as full")
    block_s: float = Field(default=3600.0, gt=0, description="Seconds for which a full region is left out")

    def overheads(self) -> Overheads:
        """What plans reckon with."""
        return Overheads(
            checkpoint_h=self.checkpoint_h,
            restore_h=self.restore_h,
            migrate_h=self.migrate_h,
            startup_s=self.startup_s,
            egress_usd=self.egress_usd,
            checkpoint_every_s=self.checkpoint_every_s,
        )

    def physics(self) -> Physics:
        """What takes time in the simulated world."""
        given: dict[str, float] = {}
        if self.checkpoint_every_s is not None:
            given["checkpoint_every_s"] = self.checkpoint_every_s
        if self.bandwidth_mb_per_s is not None:
            given["bandwidth_bytes_per_s"] = self.bandwidth_mb_per_s * _MB
        return Physics(checkpoint_s=self.checkpoint_s, launch_timeout_s=self.launch_timeout_s, block_s=self.block_s, **given)


class MishapsSection(Section):
    """What goes wrong; nothing by default."""

    stockouts_per_day: float = Field(default=0.0, ge=0, le=1, description="Probability that a stock-out begins on a day in a region")
    stockout_mean_h: float = Field(default=2.0, gt=0, description="Mean length of a stock-out, hours")
    losses_per_node_h: float = Field(default=0.0, ge=0, description="Nodes of any kind lost, per node and hour; spot has its own rate")
    spot_stockouts_per_day: float = Field(default=0.0, ge=0, le=1, description="Probability that spot nodes run out on a day in a region")

    @property
    def is_none(self) -> bool:
        """True if nothing goes wrong."""
        return self.stockouts_per_day == 0 and self.losses_per_node_h == 0 and self.spot_stockouts_per_day == 0


class PolicySection(Section):
    """One policy, and how often it decides."""

    name: str = Field(min_length=1, description="Name in the entry-point group carbon_ray.policies")
    label: str | None = Field(default=None, min_length=1, description="As tables show it; the name by default")
    parameters: dict[str, float | bool | int] = Field(default_factory=dict, description="The policy's own fields")
    plan_once: bool = Field(default=False, description="Decide at submission alone and follow the plan")
    forecasters: list[str] | None = Field(default=None, min_length=1, description="Only with these; all of the experiment's by default")

    @property
    def shown(self) -> str:
        """As tables show it."""
        return self.label or (f"{self.name}, plan once" if self.plan_once else self.name)


class _SetSection(Section):
    name: str = Field(min_length=1, description="As tables show it")
    slack_h: float | None = Field(default=None, ge=0, description="Hours that a job may end later than run-now")
    slack_times_length: float | None = Field(default=None, ge=0, description="The same as a multiple of the job's length")
    homes: list[str] | None = Field(default=None, min_length=1, description="Home regions, taken in turn; all regions by default")
    block_days: int = Field(default=1, ge=1, description="Days drawn together for intervals; 7 where jobs wait for days")

    @model_validator(mode="after")
    def _one_slack_rule(self) -> Self:
        if (self.slack_h is None) == (self.slack_times_length is None):
            raise ValueError("slack_h and slack_times_length: give just one of them")
        return self

    @property
    def slack(self) -> SlackRule:
        """The slack rule."""
        return fixed_slack(self.slack_h) if self.slack_h is not None else slack_times_length(self.slack_times_length or 0.0)


class EverySet(_SetSection):
    """One job for every home at regular intervals."""

    kind: Literal["every"]
    length_h: float = Field(gt=0, description="Running hours of each job")
    step_h: float = Field(default=37.0, gt=0, description="Hours between starts; 37 visits every hour of the day")
    count: int = Field(default=20, ge=1, description="Starts for each home")


class RandomSet(_SetSection):
    """Jobs at random minutes."""

    kind: Literal["random"]
    count: int = Field(default=100, ge=1, description="Number of jobs")
    days: float = Field(default=14.0, gt=0, description="Days over which they arrive")
    lengths_h: list[Annotated[float, Field(gt=0)]] = Field(min_length=1, description="Lengths, each as likely as the others")


class TraceSet(_SetSection):
    """Jobs from a file with the columns arrival_time, length and cpus."""

    kind: Literal["trace"]
    path: Path = Field(description="CSV file, gzipped or not; relative to the experiment file")
    time_unit: Literal["s", "h"] = Field(description="Unit of arrival_time and length: s for pai_1k, h for samples of pai-100k")
    limit: int | None = Field(default=None, ge=1, description="First so many jobs; all by default")
    workers_per_cpu: float = Field(default=0.0, ge=0, description="Workers (nodes) for each CPU of a job; 0 = one node each")


class MachineLearningSet(_SetSection):
    """3,387 training jobs of 4 to 90 hours, submitted on working days of a year."""

    kind: Literal["machine_learning"]
    limit: int | None = Field(default=None, ge=1, description="First so many jobs; all by default")


AnySet = Annotated[EverySet | RandomSet | TraceSet | MachineLearningSet, Field(discriminator="kind")]


class Experiment(Section):
    """What `carbon-ray simulate` runs."""

    name: str = Field(min_length=1, description="Title of tables and page")
    start_at: UtcInstant = Field(description="Hour 0 of every job set; the grid source must know some weeks before it")
    grid: GridSettings = Field(default_factory=GridSettings)
    history_days: int = Field(default=21, ge=1, le=800, description="Days of history that forecasters see")
    issue_s: float = Field(default=3600.0, gt=0, description="Seconds between forecasts")
    regions: dict[str, RegionSection] = Field(min_length=1, description="By name")
    objective: str = Field(default="carbon", description="Preset of prices: carbon, balanced, cost or deadline")
    overheads: OverheadsSection = Field(default_factory=OverheadsSection)
    mishaps: MishapsSection = Field(default_factory=MishapsSection)
    tick_s: float = Field(default=3600.0, gt=0, description="Seconds between the rounds in which every job is decided anew")
    slot_s: float = Field(default=3600.0, gt=0, description="Planning slot of policies and bound, seconds")
    min_stay_s: float = Field(default=900.0, ge=0, description="Seconds between changes of one job, unless its deadline forces one")
    spot: SpotSettings = Field(default_factory=SpotSettings)
    disruptions_per_tick: int | None = Field(
        default=None, ge=1, description="Most running jobs that a tick disturbs; any number by default"
    )
    policies: list[PolicySection] = Field(min_length=1)
    forecasters: list[str] = Field(default=["ewma"], min_length=1, description="Models by name, and `clairvoyant` for the truth itself")
    job_sets: list[AnySet] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1, description="Of weather, random jobs and mishaps")
    compare_with: str | None = Field(default=None, description="Label of the policy that all others are compared with, pair by pair")

    @field_validator("policies", mode="before")
    @classmethod
    def _names_will_do(cls, given: Any) -> Any:
        return [{"name": one} if isinstance(one, str) else one for one in given] if isinstance(given, list) else given

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        _require_unique("policies: label", [policy.shown for policy in self.policies])
        _require_unique("job_sets: name", [one.name for one in self.job_sets])
        _require_unique("seeds:", self.seeds)
        _require_known("objective", [self.objective], PRESETS)
        models = {*FORECASTERS, CLAIRVOYANT}
        _require_known("forecasters", self.forecasters, models)
        for policy in self.policies:
            _require_known(f"policies: {policy.shown}: forecasters", policy.forecasters or [], models)
        for jobs in self.job_sets:
            _require_known(f"job_sets: {jobs.name}: homes", jobs.homes or [], self.regions)
        if self.compare_with is not None:
            _require_known("compare_with", [self.compare_with], {policy.shown for policy in self.policies})
        is_spot = any(region.spot is not None and region.spot.interruptions_per_h > 0 for region in self.regions.values())
        is_mishap = is_spot or not self.mishaps.is_none
        is_drawn = self.grid.provider != "trace" or is_mishap or any(one.kind == "random" for one in self.job_sets)
        if len(self.seeds) > 1 and not is_drawn:
            raise ValueError("seeds: nothing is drawn here, so several seeds would count the same jobs several times; give one seed")
        return self

    @property
    def zones(self) -> tuple[str, ...]:
        """The regions' grid zones, sorted."""
        return tuple(sorted({region.grid_zone for region in self.regions.values()}))

    @property
    def prices(self) -> Objective:
        """The objective of all jobs."""
        return objective_named(self.objective)

    def mishaps_of(self, seed: int) -> Mishaps:
        """What goes wrong under a seed."""
        return Mishaps(**self.mishaps.model_dump(), seed=seed)

    def control_of(self, policy: PolicySection) -> Control:
        """How often a policy decides."""
        guards = Guards(min_stay_s=self.min_stay_s)
        tick_s = None if policy.plan_once else self.tick_s
        return Control(tick_s=tick_s, guards=guards, spot=self.spot.rule(), disruptions_per_tick=self.disruptions_per_tick)

    def jobs_of(self, section: AnySet, seed: int, traced: list[Row] | None = None) -> JobSet:
        """A job set.

        Args:
            section: Which.
            seed: Of random jobs.
            traced: Rows of its file (kind `trace`).

        Raises:
            ConfigError: A row of the trace is wrong, or there is none.
        """
        template = Template(
            start_at=self.start_at,
            regions=tuple(self.regions),
            homes=tuple(section.homes or ()),
            slack=section.slack,
            objective=self.prices,
            overheads=self.overheads.overheads(),
            workers_per_cpu=section.workers_per_cpu if isinstance(section, TraceSet) else 0.0,
            checkpoint_bytes=self.overheads.checkpoint_gb * _GB,
        )
        if isinstance(section, EverySet):
            return every(
                section.name, template, length_h=section.length_h, step_h=section.step_h, count=section.count, block_days=section.block_days
            )
        if isinstance(section, RandomSet):
            rows = random_rows(seed, count=section.count, days=section.days, lengths_h=section.lengths_h)
        elif isinstance(section, MachineLearningSet):
            rows = machine_learning_rows(year=self.start_at.year)[: section.limit]
        else:
            rows = sorted(traced or [], key=lambda row: row.arrival_h)[: section.limit]
        return job_set(section.name, rows, template, block_days=section.block_days)


def _require_unique(what: str, names: list[Any]) -> None:
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(twice)} is there more than once; give each its own")


def _require_known(what: str, names: list[str], known: Mapping[str, Any] | set[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{what}: {', '.join(unknown)} is not known; use {', '.join(sorted(known))}")


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment file; paths in it are taken relative to it.

    Raises:
        ConfigError: The file cannot be read or is wrong; says where and what to write.
    """
    file = Path(path)
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the experiment {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path}: a mapping is needed; see examples/simulate.yaml")
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(f"{_place(one['loc'])}{one['msg'].removeprefix('Value error, ')}" for one in error.errors())
        raise ConfigError(f"{path}: {problems}") from None
    return _beside(experiment, file.parent)


def _place(location: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, location))}: " if location else ""


def _beside(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with every path found from the folder of its file."""
    grid = experiment.grid if experiment.grid.path is None else experiment.grid.model_copy(update={"path": folder / experiment.grid.path})
    sets = [one.model_copy(update={"path": folder / one.path}) if isinstance(one, TraceSet) else one for one in experiment.job_sets]
    return experiment.model_copy(update={"grid": grid, "job_sets": sets})


MARGIN = timedelta(days=3)
"""Intensity that is wanted after the last deadline: late work still has to be priced."""
