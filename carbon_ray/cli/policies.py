"""`carbon-ray policies`: what can be named where a configuration asks for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from carbon_ray.cli.output import console, print_json

if TYPE_CHECKING:
    from carbon_ray.policies.registry import InstalledPolicy


def policies(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the installed policies: carbon_ray's, the published ones, and those of other packages."""
    from carbon_ray.core.codec import to_jsonable
    from carbon_ray.policies.registry import installed_policies

    found = installed_policies()
    if json:
        print_json({"policies": to_jsonable(found)})
    else:
        _show(found)


def _show(found: tuple[InstalledPolicy, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("Name", no_wrap=True)
    table.add_column("What it does")
    table.add_column("From", no_wrap=True)
    for one in found:
        words = Text(f"does not load: {one.error}", style="red") if one.error else Text(one.summary.replace("`", ""))
        table.add_row(Text(one.name), words, Text(one.package))
    console().print(table)
    console().print(
        "Name one in a cluster's configuration (controller.policy) or an experiment file (policies). --json tells the parameters.",
        style="dim",
    )
