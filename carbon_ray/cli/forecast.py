"""`carbon-ray forecast`: what the grid is expected to do, without a cluster."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon_ray.cli import parsing
from carbon_ray.cli.output import console, print_json
from carbon_ray.core.codec import to_jsonable
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.units import S_PER_H

if TYPE_CHECKING:
    from rich.table import Table

    from carbon_ray.core.forecast import Forecast, ForecastSnapshot

LOW, HIGH = 0.1, 0.9
_BAR_WIDTH = 24
MAX_HOURS = 1440
"""Sixty days: farther ahead every model says the same as a calendar."""


def forecast(
    zone: Annotated[list[str] | None, typer.Option(help="Grid zone, such as DE; may be given several times.")] = None,
    zones: Annotated[str | None, typer.Option(help="Several grid zones: DE,ES.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=MAX_HOURS, help="Hours ahead.")] = 48,
    traces: Annotated[Path | None, typer.Option(help="CSV or Parquet trace instead of the embedded profile; needs --start.")] = None,
    config: Annotated[Path | None, typer.Option(help="Cluster YAML whose grid section names the source, and its kind.")] = None,
    start: Annotated[str | None, typer.Option(help="Instant that counts as now, such as 2022-05-02T16:00Z.")] = None,
    forecaster: Annotated[str, typer.Option(help="Model: linear, lightgbm, ewma or persistence.")] = "linear",
    kind: Annotated[str | None, typer.Option(help="What is counted: average_lifecycle (default), average_direct or marginal.")] = None,
    known: Annotated[bool, typer.Option("--list", help="List the known zones.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Forecast the carbon intensity of grid zones, without a cluster."""
    asked = (*(parsing.names(",".join(zone), "--zone") if zone else ()), *(parsing.names(zones, "--zones") if zones is not None else ()))
    wanted = tuple(dict.fromkeys(asked))

    from carbon_ray.cli.grid_source import configured_source, forecast_of, open_source, start_of

    if config is not None:
        if traces is not None or kind is not None:
            raise ConfigError("--config says what the source is and what it counts; leave out --traces and --kind, or --config")
        provider = configured_source(config, wanted)
    else:
        provider = open_source(traces, kind or "average_lifecycle", wanted)
    if known:
        _list_zones(provider.zones(), json=json)
        return
    if not wanted:
        raise ConfigError("name a grid zone, such as --zone DE; `carbon-ray forecast --list` lists those that are known")
    start_at = start_of(start, provider, wanted)
    snapshot = forecast_of(provider, wanted, start_at=start_at, horizon=timedelta(hours=hours), forecaster=forecaster)
    if json:
        print_json(_document(snapshot, start_at, hours, forecaster))
    else:
        _show(snapshot, hours)


def _list_zones(zones: tuple[str, ...], *, json: bool) -> None:
    from rich.columns import Columns

    if json:
        print_json({"zones": list(zones)})
    else:
        console().print(Columns(zones, padding=(0, 3), column_first=True))


def _hourly(one: Forecast, hours: int, level: float) -> list[float]:
    values: list[float] = one.resample(one.start_at, S_PER_H, hours, level).tolist()
    return values


def _document(snapshot: ForecastSnapshot, start_at: datetime, hours: int, forecaster: str) -> dict[str, Any]:
    return {
        "start_at": to_jsonable(start_at),
        "hours": hours,
        "forecaster": forecaster,
        "zones": [_zone_document(one, hours) for one in snapshot.forecasts.values()],
    }


def _zone_document(one: Forecast, hours: int) -> dict[str, Any]:
    rows = zip(*(_hourly(one, hours, level) for level in (LOW, 0.5, HIGH)), strict=True)
    return {
        "zone": one.zone,
        "kind": one.kind.value,
        "forecaster": one.forecaster,
        "issued_at": to_jsonable(one.issued_at),
        "provenance": str(one.provenance),
        "is_embedded": one.provenance.is_embedded,
        "source": to_jsonable(one.provenance),
        "intervals": [
            {
                "start_at": to_jsonable(one.start_at + timedelta(hours=index)),
                "end_at": to_jsonable(one.start_at + timedelta(hours=index + 1)),
                "median_gco2_per_kwh": round(median, 3),
                "low_gco2_per_kwh": round(low, 3),
                "high_gco2_per_kwh": round(high, 3),
            }
            for index, (low, median, high) in enumerate(rows)
        ],
    }


def _show(snapshot: ForecastSnapshot, hours: int) -> None:
    from rich.text import Text

    from carbon_ray.cli.drawing import sparkline

    out = console()
    forecasts = list(snapshot.forecasts.values())
    out.print(_one_zone(forecasts[0], hours) if len(forecasts) == 1 else _many_zones(forecasts, hours))
    width = max(len(one.zone) for one in forecasts)
    for one in forecasts:
        values = _hourly(one, hours, 0.5)
        line = Text(f"{one.zone:<{width}}  ").append(sparkline(values)).append(f"  {min(values):.0f} to {max(values):.0f} gCO2e/kWh")
        out.print(line, soft_wrap=True)
    for words in dict.fromkeys(f"{one.kind.value}; {one.forecaster}; {one.provenance.in_full()}" for one in forecasts):
        out.print(Text(words, style="dim"), soft_wrap=True)


def _one_zone(one: Forecast, hours: int) -> Table:
    from rich.table import Table

    from carbon_ray.cli.drawing import bar

    table = Table(title=f"{one.zone}, gCO2e/kWh", title_justify="left")
    for name in ("Hour (UTC)", "median", "10-90 %"):
        table.add_column(name, justify="left" if name == "Hour (UTC)" else "right")
    table.add_column("")
    low, median, high = (_hourly(one, hours, level) for level in (LOW, 0.5, HIGH))
    for index in range(hours):
        at = one.start_at + timedelta(hours=index)
        between = f"{low[index]:.0f} - {high[index]:.0f}"
        table.add_row(f"{at:%a %b %d %H:%M}", f"{median[index]:.0f}", between, bar(median[index], max(median), _BAR_WIDTH))
    return table


def _many_zones(forecasts: list[Forecast], hours: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="gCO2e/kWh: median (10-90 %); the cleanest is green", title_justify="left")
    table.add_column("Hour (UTC)")
    levels = {one.zone: [_hourly(one, hours, level) for level in (LOW, 0.5, HIGH)] for one in forecasts}
    for one in forecasts:
        table.add_column(one.zone, justify="right")
    for index in range(hours):
        cleanest = min(levels, key=lambda zone: levels[zone][1][index])
        cells = [
            Text(f"{median[index]:.0f} ({low[index]:.0f}-{high[index]:.0f})", style="green" if zone == cleanest else "")
            for zone, (low, median, high) in levels.items()
        ]
        table.add_row(f"{forecasts[0].start_at + timedelta(hours=index):%a %b %d %H:%M}", *cells)
    return table
