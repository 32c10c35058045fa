"""`carbon-ray regions`: which grid zone, PUE and embedded profile stand behind a cloud's region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon_ray.cli.output import console, print_json
from carbon_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from carbon_ray.providers.cloud_regions import CloudRegion


def regions(
    text: Annotated[list[str] | None, typer.Argument(help="Words to look for in names, places, zones and doubts.")] = None,
    cloud: Annotated[str, typer.Option(help="Only this cloud: aws, azure, gcp, ovh or scaleway.")] = "",
    zone: Annotated[str, typer.Option(help="Only this grid zone, or all that begin with it: DE, US, US-CAL.")] = "",
    profile: Annotated[bool, typer.Option("--profile", help="Only zones with an embedded profile.")] = False,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="Only mappings that were corrected or are not certain.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the cloud regions that a configuration may name, with their grid zones."""
    from carbon_ray.providers.cloud_regions import ATTRIBUTION, cloud_regions, matching

    known = cloud_regions()
    if cloud and cloud.casefold() not in (clouds := sorted({one.cloud for one in known})):
        raise ConfigError(f"unknown cloud {cloud!r}; use one of {', '.join(clouds)}")
    found = matching(known, text=" ".join(text or ()), cloud=cloud, zone=zone, only_profiled=profile)
    if doubtful:
        found = tuple(one for one in found if one.doubt)
    if json:
        print_json({"regions": [_document(one) for one in found], "attribution": ATTRIBUTION})
    else:
        _show(found)


def _document(one: CloudRegion) -> dict[str, Any]:
    from carbon_ray.core.codec import to_jsonable

    return {"name": one.name, **to_jsonable(one), "has_profile": one.has_profile}


def _show(found: tuple[CloudRegion, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not found:
        console().print("no region fits; `carbon-ray regions` alone lists all of them")
        return
    table = Table()
    for name in ("Region", "Place", "Zone", "PUE", "Profile", "Doubtful"):
        table.add_column(name, justify="right" if name == "PUE" else "left", no_wrap=name in ("Region", "Zone"))
    for one in found:
        pue = "" if one.pue is None else f"{one.pue:.2f}"
        profile = Text("yes", style="green") if one.has_profile else Text("no", style="dim")
        table.add_row(Text(one.name), Text(one.location), Text(one.zone), pue, profile, Text(one.doubt, style="yellow"))
    out = console()
    out.print(table)
    zones = {one.zone for one in found}
    profiled = {one.zone for one in found if one.has_profile}
    out.print(
        Text(
            f"{len(found)} regions in {len(zones)} zones, {len(profiled)} of them with an embedded profile. "
            f"Write `cloud: {found[0].name}` in a cluster's region; a zone or pue beside it wins.",
            style="dim",
        ),
        soft_wrap=True,
    )
