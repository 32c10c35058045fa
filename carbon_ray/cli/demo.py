"""`carbon-ray demo`: options of the demonstration, which lives in `carbon_ray.demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from carbon_ray.cli import parsing


def demo(
    traces: Annotated[
        Path | None, typer.Option(help="Replay this CSV or Parquet trace instead of the embedded profile; needs --zones and --start.")
    ] = None,
    zones: Annotated[str | None, typer.Option(help="Grid zones, a region each, the first one home: DE,ES,FR.")] = None,
    start: Annotated[str | None, typer.Option(help="First replayed instant, such as 2022-05-02T16:00Z.")] = None,
    out: Annotated[Path, typer.Option(help="Directory of the report.")] = Path("demo-report"),
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> None:
    """Run a real job on a real local three-region Ray cluster through a replayed day, and report on it: five minutes."""
    asked_zones = parsing.names(zones, "--zones") if zones is not None else ()
    start_at = parsing.instant(start, "--start") if start is not None else None

    from carbon_ray.demo.options import DemoOptions
    from carbon_ray.demo.run import run_demo
    from carbon_ray.reports.run_report import to_json

    report = run_demo(DemoOptions(traces=traces, zones=asked_zones, start_at=start_at, out=out, json=json))
    if json:
        sys.stdout.write(to_json(report))
