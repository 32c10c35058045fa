"""`carbon-ray doctor`: what is wrong with this installation or cluster, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from carbon_ray.cli.output import console, print_json
from carbon_ray.core.codec import to_jsonable

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


def doctor(
    address: Annotated[str | None, typer.Option(help="host:port of the head; RAY_ADDRESS or the local cluster by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check this installation and, where there is one, the cluster. Exits with 1 if anything fails."""
    from carbon_ray.cli.checks import Verdict, local_checks
    from carbon_ray.cli.cluster_checks import cluster_checks

    found = [*local_checks(), *cluster_checks(address)]
    has_failed = any(check.verdict is Verdict.FAIL for check in found)
    if json:
        print_json({"is_healthy": not has_failed, "checks": to_jsonable(found)})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=False, box=None, padding=(0, 1))
        for check in found:
            words = Text(check.found, overflow="fold")
            if check.advice and check.verdict is not Verdict.OK:
                words.append(f"\n{check.advice}", style="italic")
            table.add_row(Text(check.verdict.value, style=_STYLES[check.verdict.value]), check.name, words)
        console().print(table)
    if has_failed:
        raise typer.Exit(1)
