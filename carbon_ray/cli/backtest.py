"""`carbon-ray backtest`: how good forecasts would have been, without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon_ray.cli import parsing
from carbon_ray.cli.output import console, print_json
from carbon_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from carbon_ray.core.intensity import IntensitySeries
    from carbon_ray.forecasting.base import Forecaster
    from carbon_ray.providers.base import HistoryProvider
    from carbon_ray.sim.backtest import Score

FLOORS = ("ewma", "persistence")
MAX_DAYS = 14


def backtest(
    zones: Annotated[str | None, typer.Option(help="Grid zones: DE,ES. All zones of a trace without it.")] = None,
    traces: Annotated[Path | None, typer.Option(help="CSV or Parquet trace instead of the embedded profile.")] = None,
    year: Annotated[int, typer.Option(min=1970, max=2099, help="Whose days are forecast.")] = 2022,
    forecaster: Annotated[str, typer.Option(help="Models beside the naive floors: linear,lightgbm.")] = "linear",
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="Days ahead.")] = 7,
    step_hours: Annotated[int, typer.Option(min=1, help="Hours between issues; 24 issues at midnight UTC alone.")] = 24,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many issues, evenly over the year.")] = None,
    kind: Annotated[str, typer.Option(help="What is counted: average_lifecycle, average_direct or marginal.")] = "average_lifecycle",
    plots: Annotated[Path | None, typer.Option(help="Directory for pictures (SVG).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score forecasts of a year against what came true and the naive floors.

    Models learn from the hours before each issue, never later; `lightgbm` and `linear` once, from those before the year, where there
    are enough.
    """
    from carbon_ray.cli.grid_source import open_source
    from carbon_ray.sim.backtest import backtest as scored

    named = parsing.names(zones, "--zones") if zones is not None else ()
    if not named and traces is None:
        raise ConfigError("name grid zones, such as --zones DE,ES; `carbon-ray forecast --list` lists those that are known")
    provider = open_source(traces, kind, named)
    chosen = named or provider.zones()
    first_at = datetime(year, 1, 1, tzinfo=UTC)
    last_at = datetime(year + 1, 1, 1, tzinfo=UTC) - timedelta(days=days)
    history = {zone: _history(provider, zone, first_at, days) for zone in chosen}
    first_at = max(first_at, *(_ready_at(series) for series in history.values()))
    step = timedelta(hours=step_hours)
    if limit is not None:
        step = max(step, (last_at - first_at) / limit // timedelta(hours=step_hours) * timedelta(hours=step_hours))
    forecasters = {
        name: _forecaster(name, history, first_at) for name in dict.fromkeys((*parsing.names(forecaster, "--forecaster"), *FLOORS))
    }
    out = console()
    scores = scored(
        history,
        forecasters,
        first_at=first_at,
        last_at=last_at,
        step=step,
        days=days,
        told=(lambda words: None) if json else (lambda words: out.print(words, style="dim")),
    )
    if plots is not None:
        from carbon_ray.cli.backtest_plots import write_plots

        written = write_plots(scores, plots)
    if json:
        print_json({"year": year, "zones": list(chosen), "kind": kind, "scores": [_document(one) for one in scores]})
        return
    for zone in chosen:
        out.print(_table(zone, [one for one in scores if one.zone == zone]))
    if plots is not None:
        for path in written:
            out.print(f"wrote {path}", soft_wrap=True)


def _history(provider: HistoryProvider, zone: str, first_at: datetime, days: int) -> IntensitySeries:
    """All of a trace; of the embedded profile the year and the one before."""
    from carbon_ray.providers.trace import TraceProvider

    if isinstance(provider, TraceProvider):
        return provider.history(zone, *provider.span(zone))
    return provider.history(zone, first_at - timedelta(days=365), first_at.replace(year=first_at.year + 1))


def _ready_at(series: IntensitySeries) -> datetime:
    """The first midnight with a month of history before it."""
    ready = series.start_at + timedelta(days=30)
    return ready.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _forecaster(name: str, history: dict[str, IntensitySeries], first_at: datetime) -> Forecaster:
    from carbon_ray.forecasting.linear import Linear
    from carbon_ray.forecasting.many_zones import LightGbm
    from carbon_ray.forecasting.registry import forecaster_named

    has_months = all(first_at - series.start_at >= timedelta(days=300) for series in history.values())
    if has_months and name == Linear.name:
        return Linear(train_until_at=first_at)
    if has_months and name == LightGbm.name:
        return LightGbm(train_until_at=first_at)
    return forecaster_named(name)


def _document(score: Score) -> dict[str, Any]:
    from dataclasses import asdict
    from math import isfinite

    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in asdict(score).items()}


def _table(zone: str, scores: list[Score]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{zone}: {scores[0].issues} issues", title_justify="left")
    for name in ("Day", "forecaster", "MAPE", "MAE, g/kWh", "pinball", "within 10-90 %", "rank corr.", "saving kept"):
        table.add_column(name, justify="left" if name == "forecaster" else "right")
    for day in sorted({one.day for one in scores}):
        of_day = [one for one in scores if one.day == day]
        best = min(of_day, key=lambda one: one.mape_fraction)
        for one in of_day:
            cells = (
                *(f"{one.mape_fraction:.2%}", f"{one.mae_gco2_per_kwh:.1f}", f"{one.pinball_gco2_per_kwh:.2f}"),
                *(f"{one.coverage80_fraction:.1%}", f"{one.rank_correlation:.3f}", f"{one.decision_value_fraction:.1%}"),
            )
            style = "green" if one is best else ""
            table.add_row(f"{day}" if one is of_day[0] else "", one.forecaster, *(Text(cell, style=style) for cell in cells))
    return table
