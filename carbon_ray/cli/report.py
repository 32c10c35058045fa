"""`carbon-ray report`: the carbon report of one workload from a running cluster's books."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from carbon_ray.cli.connection import ANSWER_S, connected, within
from carbon_ray.cli.output import console
from carbon_ray.core.errors import LedgerError, OutsideDataError, WorkloadRejected

if TYPE_CHECKING:
    from carbon_ray.actors.views import Books, WorkloadView
    from carbon_ray.config.cluster_yaml import ClusterConfig
    from carbon_ray.core.clock import Clock
    from carbon_ray.core.intensity import IntensitySeries
    from carbon_ray.reports.run_report import RunReport

_RETRY_S = 5.0


class ReportSource(Protocol):
    """What is asked of the controller; `carbon_ray.actors.handles.ControllerClient` is one."""

    def config(self) -> ClusterConfig:
        """The cluster's configuration."""
        ...

    def clock(self) -> Clock:
        """The cluster's clock."""
        ...

    def views(self) -> tuple[WorkloadView, ...]:
        """All workloads."""
        ...

    def is_settled(self, workload_id: str) -> bool:
        """True once a workload has ended and is priced to its end."""
        ...

    def books(self, workload_id: str) -> Books:
        """What the ledger holds of one."""
        ...


class TruthSource(Protocol):
    """Who knows what came true; `carbon_ray.actors.handles.ForecastClient` is one."""

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        """Intensity that came true, over at least the window."""
        ...


def report(
    workload: Annotated[str | None, typer.Argument(help="Workload; the newest by default.")] = None,
    address: Annotated[str | None, typer.Option(help="host:port of the head; RAY_ADDRESS or the local cluster by default.")] = None,
    out: Annotated[Path, typer.Option(help="Directory of index.html and report.json.")] = Path("carbon-report"),
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> None:
    """Report on an ended workload: against run-now and against perfect foresight. Writes a page and a JSON file."""
    with connected(address):
        from carbon_ray.actors.handles import ControllerClient, ForecastClient

        controller, forecasts = ControllerClient(_RETRY_S), ForecastClient(_RETRY_S)
        made, intensity = within(ANSWER_S, "the controller", lambda: read_report(controller, forecasts, workload))

    from carbon_ray.reports.html import write_html
    from carbon_ray.reports.run_report import to_json, write_json

    page, data = write_html(made, intensity, out / "index.html"), write_json(made, out / "report.json")
    if json:
        sys.stdout.write(to_json(made))
        return
    from carbon_ray.reports.table import comparison_table

    console().print(comparison_table(made))
    if made.clairvoyant is None and made.finished_at < made.deadline_at:
        console().print("No clairvoyant: its bound needs the intensity up to the deadline. Ask again when that has come true.", style="dim")
    console().print(f"Report: {page} and {data}", soft_wrap=True)


def read_report(controller: ReportSource, forecasts: TruthSource, name: str | None) -> tuple[RunReport, Mapping[str, IntensitySeries]]:
    """The report of a workload, the newest one where `name` is None, and the intensities of its page by region.

    Raises:
        WorkloadRejected: There is no such workload.
        LedgerError: It has not ended, or is not priced to its end; says when to try again.
    """
    from carbon_ray.cli.cluster_status import clock_words
    from carbon_ray.reports.from_books import report_from_books

    views = {view.workload.workload_id: view for view in controller.views()}
    if not views:
        raise WorkloadRejected("this cluster has run no workload yet; submit one first")
    view = views.get(name or list(views)[-1])
    if view is None:
        raise WorkloadRejected(f"this cluster has no workload {name!r}; it has {', '.join(list(views)[-8:])}")
    config, clock = controller.config(), controller.clock()
    _require_settled(controller, view, clock)
    books = controller.books(view.workload.workload_id)
    ends = [segment.end_at for segment in books.segments if segment.end_at is not None]
    if not ends:
        raise LedgerError(f"workload {view.workload.workload_id} was {view.status.value} before it ever ran, so there is nothing to report")
    finished_at, deadline_at = max(ends), view.workload.deadline_at
    regions = dict.fromkeys((*view.workload.regions, view.workload.home_region, *(segment.region for segment in books.segments)))
    zones = dict.fromkeys(config.regions[region].zone for region in regions if region in config.regions)
    truth = {zone: _truth(forecasts, zone, view.workload.submitted_at, finished_at, deadline_at) for zone in zones}
    return report_from_books(
        books, config, truth, forecaster=config.carbon.forecaster, clock=clock_words(config), bit_equal=None, now=clock.now()
    )


def _truth(forecasts: TruthSource, zone: str, start_at: datetime, finished_at: datetime, deadline_at: datetime) -> IntensitySeries:
    """To the deadline where that has come true, because the clairvoyant run needs it; else to the finish."""
    try:
        return forecasts.actual(zone, start_at, max(finished_at, deadline_at))
    except OutsideDataError:
        return forecasts.actual(zone, start_at, finished_at)


def _require_settled(controller: ReportSource, view: WorkloadView, clock: Clock) -> None:
    workload_id = view.workload.workload_id
    if controller.is_settled(workload_id):
        return
    now = clock.now()
    if not view.status.is_terminal:
        until = view.plan_finish_at or view.workload.deadline_at
        raise LedgerError(
            f"workload {workload_id} is still {view.status.value}; try again after its end, planned for {_when(until, now, clock)}"
        )
    ended_at = max([segment.end_at for segment in view.segments if segment.end_at is not None], default=now)
    # Intensities are hourly at the coarsest: the hour of the end must be over.
    known_at = ended_at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    raise LedgerError(
        f"workload {workload_id} has ended, but the grid's intensity to its end is not known yet; try again after "
        f"{_when(known_at, now, clock)}"
    )


def _when(at: datetime, now: datetime, clock: Clock) -> str:
    wait_s = max(0.0, (at - now).total_seconds()) / clock.speedup
    about = f"{wait_s:.0f} s" if wait_s < 120 else f"{wait_s / 60:.0f} min" if wait_s < 7200 else f"{wait_s / 3600:.0f} h"
    return f"{at:%Y-%m-%dT%H:%MZ} of the cluster's clock, in about {about}"
