"""The decisions benchmark: its hourly engine chooses what the controller's policy chooses, and its command works on any trace."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import decisions
from benchmarks.hourly import Job, Overheads, Replanning, advance, problem_of, simulate
from benchmarks.issued import AnyForecaster, Clairvoyant, EwmaMedians, LinearForecasts
from benchmarks.traces import HourlyTable
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import FloatArray, IntensityKind, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads as WorkloadOverheads
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.forecasting.linear import Linear
from carbon_ray.forecasting.naive import Ewma
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.programme import IDLE, Initial, solve
from carbon_ray.policies.replan import Replan

T0 = datetime(2021, 1, 1, tzinfo=UTC)
ZONES = ("A", "B", "C")
COSTS = Overheads()


def table_of(days: int, seed: int = 5) -> HourlyTable:
    """A daily pattern, and weather that lasts."""
    random, hours = np.random.default_rng(seed), np.arange(days * 24)
    columns = []
    for zone in range(len(ZONES)):
        weather = np.zeros(len(hours))
        for hour in range(1, len(hours)):
            weather[hour] = 0.97 * weather[hour - 1] + random.normal(0, 15)
        columns.append(np.maximum(300 + 40 * zone + 90 * np.cos(2 * np.pi * (hours + 5 * zone) / 24) + weather, 5.0))
    return HourlyTable(zones=ZONES, start_at=T0, values_gco2_per_kwh=np.stack(columns, axis=1), kind=IntensityKind.AVERAGE_LIFECYCLE)


class Blurred:
    """The truth with noise that grows with the hours ahead, and says so."""

    def __init__(self, table: HourlyTable) -> None:
        self._table = table

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        truth = self._table.values_gco2_per_kwh[issue : issue + hours]
        spread = np.linspace(2.0, 60.0, 60)[:hours, None] * np.ones(truth.shape[1])
        noise = np.random.default_rng(issue).normal(size=(60, truth.shape[1]))[:hours]
        return np.maximum(truth + noise * spread, 1.0), spread


def through_the_policy(table: HourlyTable, forecasts: Blurred, job: Job, hour: int, run_now_gco2: float, policy: Replan) -> int:
    """The same choice as a workload of one kilowatt under the policy that the controller runs."""
    median, spread = forecasts.at(hour, job.end - hour)
    now = T0 + timedelta(hours=hour)
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="test")
    regions = {
        zone: Region(
            name=zone, zone=zone, pue=1.0, node_types=(NodeType(name=zone, resources={"GPU": 1}, max_nodes=1, usd_per_h=0.0, power=power),)
        )
        for zone in ZONES
    }
    exact = {
        zone: Forecast(
            zone=zone,
            kind=table.kind,
            issued_at=now,
            start_at=now,
            step_s=3600.0,
            quantiles_gco2_per_kwh={
                0.1: median[:, index],
                0.5: median[:, index],
                0.9: median[:, index] + spread[:, index] * LEVELS_APART,
            },
            forecaster="test",
            provenance=Provenance(provider="test"),
        )
        for index, zone in enumerate(ZONES)
    }
    workload = Workload(
        workload_id="job",
        work_h=job.run_hours,
        workers=1,
        resources_per_worker={"GPU": 1},
        home_region=ZONES[job.home],
        regions=ZONES,
        submitted_at=T0 + timedelta(hours=job.start),
        deadline_at=T0 + timedelta(hours=job.end),
        objective=Objective(usd_per_kgco2=1000.0),
        overheads=WorkloadOverheads(checkpoint_h=COSTS.write, restore_h=COSTS.restore, migrate_h=COSTS.move),
        utilisation_fraction=1.0,
    )
    progress = Progress(
        remaining_h=job.left,
        region=ZONES[job.at],
        is_running=job.is_running,
        is_started=job.is_started,
        emitted_gco2=job.emitted,
        run_now_gco2=run_now_gco2,
        last_gco2_per_kwh=float(table.values_gco2_per_kwh[hour - 1, job.at]) if job.is_running else None,
    )
    around = Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=now, forecasts=exact))
    _, decision = policy.decide(workload, progress, around, now=now)
    return IDLE if decision.target is None else ZONES.index(decision.target.region)


def test_the_engine_chooses_what_the_controllers_policy_chooses() -> None:
    table = table_of(8)
    truth, forecasts, policy = table.values_gco2_per_kwh, Blurred(table), Replan(slot_s=3600.0)
    decider = Replanning(
        truth=truth,
        forecasts=forecasts,
        overheads=COSTS,
        hysteresis_fraction=policy.hysteresis_fraction,
        backfire_fraction=policy.backfire_fraction,
    )
    seen = set()
    for start in (3, 40, 77):
        jobs = [Job(home=home, start=start, run_hours=5, end=start + 25, left=5, at=home) for home in range(3)]
        for hour in range(start, start + 25):
            alive = [job for job in jobs if job.left]
            for job, choice in zip(alive, decider.choose(hour, alive) if alive else [], strict=True):
                run_now = float(truth[start : min(hour, start + 5), job.home].sum())
                assert choice == through_the_policy(table, forecasts, job, hour, run_now, policy), (start, hour, job)
                seen.add((job.is_running, choice == IDLE, choice == job.at))
                advance(job, choice, hour, truth, COSTS)
        assert all(job.left == 0 for job in jobs)
    assert len(seen) >= 4, "starts, waits, and running on were all met"


def test_the_clairvoyant_reaches_the_programmes_optimum_and_nobody_beats_it() -> None:
    table = table_of(12)
    truth = table.values_gco2_per_kwh
    starts = (24, 100, 150)
    best = simulate(truth, starts, 6, 24, COSTS, Replanning(truth=truth, forecasts=Clairvoyant(table)))
    for row, start in enumerate(starts):
        for home in range(3):
            optimum = solve(problem_of(truth[start : start + 30], 6, COSTS), Initial(region=home, origin=home)).cost
            assert best.gco2[row, home] == pytest.approx(optimum, rel=1e-9)
    blurred = simulate(truth, starts, 6, 24, COSTS, Replanning(truth=truth, forecasts=Blurred(table), backfire_fraction=0.8))
    assert (blurred.gco2 >= best.gco2 - 1e-6).all()
    assert not blurred.missed.any()


@pytest.mark.parametrize("issue", [15 * 24, 15 * 24 + 7])
def test_bulk_ewma_is_the_forecasters(issue: int) -> None:
    table = table_of(20)
    ours, _ = EwmaMedians(table).at(issue, 50)
    theirs, _ = AnyForecaster(table, Ewma(), 60 * 24).at(issue, 50)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_bulk_linear_is_the_forecasters() -> None:
    table = table_of(330)
    until = 310 * 24
    bulk = LinearForecasts(table, 48, until)
    assert "7440 hours" in bulk.training
    one_by_one = AnyForecaster(table, Linear(train_until_at=T0 + timedelta(hours=until)), 400 * 24)
    for issue in (until, until + 31, 329 * 24):
        (ours, spread), (theirs, their_spread) = bulk.at(issue, 48), one_by_one.at(issue, 48)
        assert ours == pytest.approx(theirs, rel=1e-6)
        assert spread == pytest.approx(their_spread, rel=0.3)  # theirs keeps the quantiles on their sides of the median


def test_with_too_little_training_models_are_fitted_anew_from_the_past_alone() -> None:
    table, other = table_of(130), table_of(130)
    other.values_gco2_per_kwh[100 * 24 :] = 1.0
    ours, theirs = LinearForecasts(table, 24, 0), LinearForecasts(other, 24, 0)
    assert "every four weeks" in ours.training
    for issue in (30 * 24, 70 * 24, 100 * 24):
        assert (ours.at(issue, 24)[0] == theirs.at(issue, 24)[0]).all()


def write_trace(path: Path, table: HourlyTable) -> None:
    lines = ["zone,time_utc,gco2_per_kwh,kind"]
    for index, zone in enumerate(table.zones):
        for hour, value in enumerate(table.values_gco2_per_kwh[:, index]):
            lines.append(f"{zone},{T0 + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ},{value:.3f},average_lifecycle")
    path.write_text("\n".join(lines) + "\n")


def test_the_command_writes_every_row(tmp_path: Path) -> None:
    write_trace(tmp_path / "t.csv", table_of(45))
    out = tmp_path / "out.json"
    command = f"--traces {tmp_path}/t.csv --zones B,A --year 2021 --run-hours 3 --slack-hours 9 --step-hours 101 --json {out}"
    assert decisions.main([*command.split(), "--forecaster", "persistence"]) == 0
    result = json.loads(out.read_text())
    rows = {(row["policy"], row["forecaster"]): row for row in result["rows"]}
    assert {"clairvoyant", "run_now", "carbon_ray", "wait_awhile", "best_window", "ecovisor"} <= {policy for policy, _ in rows}
    assert ("carbon_ray", "ewma") in rows
    assert rows["carbon_ray", "ewma"]["gap_closed_fraction"] == 0.0
    assert rows["clairvoyant", "truth"]["captured_fraction"] == 1.0
    assert rows["run_now", "persistence"]["saving_fraction"] == 0.0
    best = rows["clairvoyant", "truth"]["saving_fraction"]
    for row in rows.values():
        assert row["deadline_misses"] == 0
        assert row["jobs"] == 2 * len(range(15 * 24, 45 * 24 - 12, 101))
        assert row["saving_fraction"] <= best + 1e-9
        assert row["ci95_low"] <= row["saving_fraction"] <= row["ci95_high"] or row["policy"] == "run_now"
    assert result["what"].startswith("simulated")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--year 2020", "choose another --year"),
        ("--zones A,XX", "XX"),
        ("--forecaster prophet", "use one of"),
        ("--run-hours 0", "at least 1"),
        ("--run-hours 2000", "fits into 2021"),
        ("--traces nowhere.csv", "nowhere.csv"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str) -> None:
    write_trace(tmp_path / "t.csv", table_of(20))
    command = f"--traces {tmp_path}/t.csv --zones A,B --year 2021 --run-hours 3 --slack-hours 9 {change}"
    assert decisions.main(command.split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]
