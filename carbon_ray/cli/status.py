"""`carbon-ray status`: regions, workloads and decisions of a running cluster, once or refreshed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from carbon_ray.cli.connection import ANSWER_S, connected, within
from carbon_ray.cli.output import console, print_json
from carbon_ray.core.codec import to_jsonable
from carbon_ray.core.errors import ConfigError
from carbon_ray.reports.wording import NONE

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from carbon_ray.cli.cluster_status import ClusterStatus

_RETRY_S = 5.0
_OLD = timedelta(hours=2)
"""Age of forecasts that a source which works never reaches: they are made anew each hour."""


def status(
    address: Annotated[str | None, typer.Option(help="host:port of the head; RAY_ADDRESS or the local cluster by default.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    every_s: Annotated[float, typer.Option("--every-s", min=0.5, help="Seconds between refreshes.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a running cluster: regions and their grids, workloads and their plans, the newest decisions."""
    if watch and json:
        raise ConfigError("--watch and --json exclude each other; ask for --json as often as you like")
    with connected(address):
        from carbon_ray.actors.handles import ControllerClient, ForecastClient
        from carbon_ray.cli.cluster_status import read_status
        from carbon_ray.cluster.nodes import observe_nodes

        controller, forecasts = ControllerClient(_RETRY_S), ForecastClient(_RETRY_S)

        def read() -> ClusterStatus:
            return within(ANSWER_S, "the controller", lambda: read_status(controller, forecasts, observe_nodes()))

        found = read()
        if json:
            print_json(to_jsonable(found))
        elif watch:
            _refresh(read, found, every_s)
        else:
            console().print(render(found))


def _refresh(read: Callable[[], ClusterStatus], found: ClusterStatus, every_s: float) -> None:
    from rich.live import Live

    pause = threading.Event()
    with Live(render(found), console=console(), auto_refresh=False) as live:
        try:
            while not pause.wait(every_s):
                live.update(render(read()), refresh=True)
        except KeyboardInterrupt:
            return


def render(found: ClusterStatus) -> Group:
    """The status as tables."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    head = Text.assemble((found.cluster, "bold"), f"  {found.now:%Y-%m-%d %H:%M:%S} UTC, {found.clock}")
    if found.problem:
        head.append(f"\nno forecasts: {found.problem}", style="yellow")
    elif found.forecast_issued_at is not None:
        age = found.now - found.forecast_issued_at
        style = "yellow" if age > _OLD else "dim"
        head.append(f"\nforecasts of {found.forecast_issued_at:%H:%M} UTC, {max(0.0, age.total_seconds()) / 60:.0f} min old", style=style)
    parts: list[RenderableType] = [head, _regions(found)]
    parts.append(_workloads(found) if found.workloads else Text("No workload was submitted yet.", style="dim"))
    # Below the table and not in it, where a column would leave them a word a line.
    parts += [Text.assemble((one.workload_id, "bold"), f": {one.reason}") for one in found.workloads if one.reason]
    if found.decisions:
        parts.append(_decisions(found))
    return Group(*parts)


def _regions(found: ClusterStatus) -> Table:
    from rich.table import Table

    table = Table(title="Regions, gCO2e/kWh by forecast", title_justify="left")
    table.add_column("region")
    table.add_column("zone")
    for name in ("now", "next 24 h", "lowest at", "nodes", "GPUs"):
        table.add_column(name, justify="right")
    known = [region.gco2_per_kwh for region in found.regions if region.gco2_per_kwh is not None]
    for region in found.regions:
        if region.gco2_per_kwh is None or region.low_gco2_per_kwh is None or region.high_gco2_per_kwh is None or region.low_at is None:
            now = ahead = lowest = NONE
        else:
            now = f"{region.gco2_per_kwh:.0f}"
            ahead = f"{region.low_gco2_per_kwh:.0f} - {region.high_gco2_per_kwh:.0f}"
            lowest = f"{max(region.low_at, found.now):%b %d %H:%M}"
        style = "green" if known and region.gco2_per_kwh == min(known) else ""
        table.add_row(
            region.name, region.zone, now, ahead, lowest, str(region.nodes), f"{region.gpus_used:g}/{region.gpus_total:g}", style=style
        )
    return table


def _workloads(found: ClusterStatus) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Workloads", title_justify="left")
    for name in ("workload", "status", "where", "steps", "plan ends", "deadline"):
        table.add_column(name, justify="right" if name == "steps" else "left")
    for one in found.workloads:
        steps = f"{one.step:,}" + (f"/{one.total_steps:,}" if one.total_steps else "")
        ends = f"{one.plan_finish_at:%b %d %H:%M}" if one.plan_finish_at else NONE
        is_late = one.plan_finish_at is not None and one.plan_finish_at > one.deadline_at
        where = f"{one.region} x{one.workers}" if one.region else NONE
        # Text, not str: a name or reason with square brackets is no markup.
        plan_ends = Text(ends, style="red" if is_late else "")
        table.add_row(Text(one.workload_id), one.status, where, steps, plan_ends, f"{one.deadline_at:%b %d %H:%M}")
    return table


def _decisions(found: ClusterStatus) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Newest decisions", title_justify="left")
    for name in ("decided", "workload", "change", "where", "why"):
        table.add_column(name)
    for one in found.decisions:
        table.add_row(f"{one.at:%b %d %H:%M}", Text(one.workload_id), one.change, one.region or NONE, Text(one.reason))
    return table
