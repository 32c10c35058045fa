"""The commands that look at a running cluster, with hand-made actors in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from carbon_ray.actors.views import Books, WorkloadView
from carbon_ray.books import Ledger, WorkloadStatus
from carbon_ray.cli.cluster_status import ClusterStatus, clock_words, read_status
from carbon_ray.cli.report import read_report
from carbon_ray.cli.status import render
from carbon_ray.cluster.nodes import NodeState
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.config.settings import CarbonConfig
from carbon_ray.core.clock import Clock, ManualClock, ReplayClock
from carbon_ray.core.codec import to_jsonable
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.errors import ForecastError, LedgerError, OutsideDataError, WorkloadRejected
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Outcome, Segment, price, totals
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.energy import ModelEnergySource

T0 = datetime(2024, 5, 7, 16, tzinfo=UTC)
HERE = Placement(region="north", workers=2)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def series(zone: str, hours: int = 40) -> IntensitySeries:
    """100 at hour 0, one more each hour."""
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=[100.0 + hour for hour in range(hours)],
        provenance=Provenance(provider="hand"),
    )


def make_config(clock: Mapping[str, object] | None = None) -> ClusterConfig:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="sheet")
    nodes = NodeType(name="n", resources={"CPU": 2.0}, max_nodes=2, usd_per_h=1.0, power=power)
    carbon = {"regions": {"north": {"zone": "N"}, "south": {"zone": "S"}}, "node_types": {"n": {"tdp_w": 1000}}, "clock": clock or {}}
    return ClusterConfig(
        name="test [1]",
        carbon=CarbonConfig.model_validate(carbon),
        regions={
            "north": Region(name="north", zone="N", pue=1.0, node_types=(nodes,)),
            "south": Region(name="south", zone="S", pue=1.0, node_types=(replace(nodes, name="s"),)),
        },
    )


def make_workload(workload_id: str) -> Workload:
    return Workload(
        workload_id=workload_id,
        work_h=2.0,
        workers=2,
        resources_per_worker={"CPU": 1.0},
        home_region="north",
        regions=("north", "south"),
        submitted_at=T0,
        deadline_at=at(30),
        total_steps=100,
        utilisation_fraction=1.0,
    )


def make_view(workload_id: str = "run", status: WorkloadStatus = WorkloadStatus.RUNNING, **others: Any) -> WorkloadView:
    values: dict[str, Any] = {
        "workload": make_workload(workload_id),
        "status": status,
        "detail": "told by the ledger",
        "directive": Directive(workload_id=workload_id, epoch=1, target=HERE, reason="clean"),
        "progress": Progress(remaining_h=1.5, region="north", is_running=True),
        "plan_reason": "start in [north]",
        "plan_finish_at": at(3),
        "step": 25,
        "segments": (),
    }
    return WorkloadView(**(values | others))


@dataclass
class FakeController:
    """A controller that says what it was given."""

    clock_: Clock = field(default_factory=lambda: ManualClock(at(2.5)))
    config_: ClusterConfig = field(default_factory=make_config)
    found: list[WorkloadView] = field(default_factory=list)
    books_: dict[str, Books] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def config(self) -> ClusterConfig:
        return self.config_

    def clock(self) -> Clock:
        return self.clock_

    def views(self) -> tuple[WorkloadView, ...]:
        return tuple(self.found)

    def is_settled(self, workload_id: str) -> bool:
        return workload_id in self.settled

    def books(self, workload_id: str) -> Books:
        return self.books_[workload_id]


@dataclass
class FakeForecasts:
    """Forecasts of both zones, and a truth that ends at an instant; none of the forecasts where a problem is given."""

    true_until_at: datetime = T0 + timedelta(hours=40)
    problem: str = ""

    def snapshot(self) -> ForecastSnapshot:
        if self.problem:
            raise ForecastError(self.problem)
        return ForecastSnapshot(version=3, issued_at=T0, forecasts={zone: Forecast.certain(series(zone), T0) for zone in ("N", "S")})

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        if end_at > self.true_until_at:
            raise OutsideDataError(f"zone {zone}: has not come true yet")
        return series(zone).window(T0, self.true_until_at)


def node(node_id: str, region: str, *, is_alive: bool = True) -> NodeState:
    return NodeState(
        node_id=node_id, region=region, node_type="n", is_alive=is_alive, is_idle=False, gpus_total=4, gpus_used=3, draining=False
    )


@pytest.fixture
def ended(tmp_path: Path) -> FakeController:
    """A controller with one workload that has ended at hour 2.5 and is priced."""
    controller, workload = FakeController(), make_workload("run")
    segment = Segment(
        workload_id="run", index=0, region="north", workers=2, node_type="n", nodes=1, start_at=T0, running_at=at(0.5), stopped_at=at(2.5),
        end_at=at(2.5), start_step=0, end_step=100, reached_step=100, outcome=Outcome.COMPLETED, reason="clean",
    )  # fmt: skip
    region = controller.config_.regions["north"]
    emissions = price(ModelEnergySource(region.node_types[0], 1.0).energy(segment, at(3)), series("N"), region.pue)
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.put_workload(workload, WorkloadStatus.COMPLETED)
        ledger.put_segment(segment)
        ledger.put_emissions("run", 0, emissions, totals(emissions, 1.0).usd)
        ledger.put_decision(Decision(workload_id="run", at=T0, current=None, target=HERE, reason="go", gain_usd=float("inf")))
        ledger.put_decision(Decision(workload_id="run", at=at(1), current=HERE, target=HERE, reason="stay"))
        record = ledger.workload("run")
        assert record is not None
        controller.books_["run"] = Books(
            record=record,
            segments=ledger.segments("run"),
            emissions=ledger.emissions("run"),
            segment_totals=ledger.segment_totals("run"),
            totals=ledger.totals("run"),
            decisions=ledger.decisions("run"),
            node_events=(),
        )
    controller.found = [make_view(status=WorkloadStatus.COMPLETED, segments=(segment,), step=100)]
    controller.settled = {"run"}
    return controller


def shown(found: ClusterStatus) -> str:
    console = Console(width=150, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(render(found))
    return capture.get()


def test_status_of_regions() -> None:
    nodes = [node("a", "north"), node("b", "north"), node("c", "north", is_alive=False), node("d", "control")]
    found = read_status(FakeController(), FakeForecasts(), nodes)
    north, south = found.regions
    assert (north.name, north.zone, north.nodes, north.gpus_used, north.gpus_total) == ("north", "N", 2, 6, 8)
    assert (north.gco2_per_kwh, north.low_gco2_per_kwh, north.low_at, north.high_gco2_per_kwh) == (102, 102, at(2.5), 126)
    assert (south.nodes, found.problem, found.forecast_issued_at) == (0, "", T0)


def test_status_of_workloads_and_decisions(ended: FakeController) -> None:
    ended.found.append(make_view("next", plan_finish_at=at(31)))
    ended.books_["next"] = replace(ended.books_["run"], decisions=())
    found = read_status(ended, FakeForecasts(), [])
    done, live = found.workloads
    assert (done.status, done.region, done.reason, done.remaining_h, done.plan_finish_at) == (
        "completed",
        None,
        "told by the ledger",
        0,
        None,
    )
    assert (live.status, live.region, live.workers, live.step, live.total_steps) == ("running", "north", 2, 25, 100)
    assert [(one.at, one.change, one.gain_usd) for one in found.decisions] == [(at(1), "keep", 0.0), (T0, "start", None)]
    words = shown(found)
    # Square brackets of names and reasons are shown as they are.
    for part in ("test [1]", "start in [north]", "north x2", "25/100", "May 08 22:00", "102 - 126", "stay", "system time"):
        assert part in words


def test_status_tells_how_old_forecasts_are() -> None:
    found = read_status(FakeController(), FakeForecasts(), [])
    age = (found.now - T0).total_seconds() / 60
    assert f"{age:.0f} min old" in shown(found)


def test_status_without_forecasts() -> None:
    found = read_status(FakeController(), FakeForecasts(problem="the source is down"), [])
    assert (found.problem, found.forecast_issued_at, found.regions[0].gco2_per_kwh) == ("the source is down", None, None)
    assert "no forecasts: the source is down" in shown(found)
    assert "No workload was submitted yet" in shown(found)


def test_status_json_has_stable_keys(ended: FakeController) -> None:
    document = json.loads(json.dumps(to_jsonable(read_status(ended, FakeForecasts(), [])), allow_nan=False))
    assert list(document) == ["cluster", "now", "clock", "forecast_issued_at", "problem", "regions", "workloads", "decisions"]
    wanted = {
        "regions": "name zone nodes gpus_used gpus_total gco2_per_kwh low_gco2_per_kwh low_at high_gco2_per_kwh",
        "workloads": "workload_id status region workers reason step total_steps remaining_h submitted_at "
        "deadline_at plan_finish_at segments",
        "decisions": "at workload_id change region reason gain_usd",
    }
    for key, names in wanted.items():
        assert list(document[key][0]) == names.split()


def test_clock_in_words() -> None:
    assert clock_words(make_config()) == "system time"
    replay = make_config({"mode": "replay", "start_at": T0, "speedup": 500})
    assert clock_words(replay) == "replay from 2024-05-07T16:00Z at 500 x real time"


@pytest.mark.parametrize(("until_h", "is_known"), [(40, True), (30, True), (29, False), (3, False)])
def test_report_of_an_ended_workload(ended: FakeController, until_h: int, is_known: bool) -> None:
    made, intensity = read_report(ended, FakeForecasts(true_until_at=at(until_h)), None)
    assert made.totals.gco2 == pytest.approx(0.5 * 100 + 101 + 0.5 * 102)
    assert (made.clairvoyant is not None) is is_known
    assert (made.forecaster, made.provenance[-1]) == ("ewma", "clock: system time")
    assert list(intensity) == ["north", "south"]


def test_report_of_the_newest_or_the_named(ended: FakeController) -> None:
    ended.found.insert(0, make_view("older"))
    assert read_report(ended, FakeForecasts(), None)[0].workload_id == "run"
    with pytest.raises(
        LedgerError, match=r"older is still running; try again after its end, planned for 2024-05-07T19:00Z .* about 30 min"
    ):
        read_report(ended, FakeForecasts(), "older")
    with pytest.raises(WorkloadRejected, match="has no workload 'nope'; it has older, run"):
        read_report(ended, FakeForecasts(), "nope")
    with pytest.raises(WorkloadRejected, match="no workload yet"):
        read_report(FakeController(), FakeForecasts(), None)


def test_report_says_when_to_try_again(ended: FakeController) -> None:
    ended.settled = set()
    ended.clock_ = ReplayClock(start_at=at(2.5), speedup=60.0, origin_at=datetime(2999, 1, 1, tzinfo=UTC))  # stands still
    with pytest.raises(LedgerError, match="not known yet; try again after 2024-05-07T19:00Z of the cluster's clock, in about 30 s"):
        read_report(ended, FakeForecasts(), "run")


def test_report_of_what_never_ran(ended: FakeController) -> None:
    ended.found = [make_view("run", WorkloadStatus.CANCELLED)]
    ended.books_["run"] = replace(ended.books_["run"], segments=())
    with pytest.raises(LedgerError, match="was cancelled before it ever ran"):
        read_report(ended, FakeForecasts(), "run")


@pytest.fixture
def on_a_cluster(ended: FakeController, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the hand-made actors where the commands look for the real ones."""

    @contextmanager
    def connected(address: str | None) -> Iterator[str]:
        yield ""

    for module in ("status", "report"):
        monkeypatch.setattr(f"carbon_ray.cli.{module}.connected", connected)
    monkeypatch.setattr("carbon_ray.actors.handles.ControllerClient", lambda *_: ended)
    monkeypatch.setattr("carbon_ray.actors.handles.ForecastClient", lambda *_: FakeForecasts())
    monkeypatch.setattr("carbon_ray.cluster.nodes.observe_nodes", lambda: (node("a", "north"),))


@pytest.mark.usefixtures("on_a_cluster")
def test_status_command(carbon_ray: Callable[..., Any]) -> None:
    assert carbon_ray("status", "--json").json["workloads"][0]["workload_id"] == "run"
    ran = carbon_ray("status")
    assert (ran.code, ran.err) == (0, "")
    assert "Newest decisions" in ran.out


@pytest.mark.usefixtures("on_a_cluster")
def test_watch_ends_with_ctrl_c(carbon_ray: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def read(*_: object) -> ClusterStatus:
        reads.append(1)
        if len(reads) == 3:
            raise KeyboardInterrupt
        return read_status(FakeController(), FakeForecasts(), [])

    monkeypatch.setattr("carbon_ray.cli.cluster_status.read_status", read)
    ran = carbon_ray("status", "--watch", "--every-s", "0.5")
    assert (ran.code, ran.err, len(reads)) == (0, "", 3)
    assert "Regions" in ran.out


@pytest.mark.usefixtures("on_a_cluster")
def test_report_command(carbon_ray: Callable[..., Any], tmp_path: Path) -> None:
    ran = carbon_ray("report", "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    assert "Carbon report of run" in ran.out
    assert (tmp_path / "out" / "index.html").read_text().startswith("<!doctype html>")
    document = carbon_ray("report", "run", "--out", tmp_path / "out", "--json").json
    assert document == json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"workload_id", "lost_steps", "redone_steps", "totals", "counterfactual"} <= set(document)
