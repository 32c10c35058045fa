"""`carbon-ray simulate`: policies compared over days of grid data, without a cluster."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carbon_ray.cli.output import console, print_json
from carbon_ray.core.errors import ConfigError
from carbon_ray.reports.wording import number, percent

if TYPE_CHECKING:
    from carbon_ray.cli.experimenting import ExperimentResult, SetResult
    from carbon_ray.config.experiment import Experiment
    from carbon_ray.sim.summary import Summary


def simulate(
    experiment: Annotated[Path, typer.Argument(help="Experiment file, such as examples/simulate.yaml.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write the results as JSON; - prints them instead of the table.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the results as one self-contained page.")] = None,
) -> None:
    """Simulate job sets under several policies and forecasters, and compare them with run-now and with perfect foresight."""
    from carbon_ray.cli.experimenting import run_experiment
    from carbon_ray.config.experiment import load_experiment

    settings = load_experiment(experiment)
    notes = Console(stderr=True)
    with notes.status("simulating", spinner="dots") as status:
        result = run_experiment(settings, lambda words: status.update(f"simulating {words}"))
    document = document_of(settings, result)
    if json is not None and str(json) == "-":
        print_json(document)
    else:
        show(result, settings.compare_with)
        if json is not None:
            _write(json, json_text.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    if html is not None:
        from carbon_ray.cli.simulation_page import render_page

        _write(html, render_page(settings, result))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another place") from None
    Console(stderr=True, highlight=False).print(f"written: {path}", markup=False)


def document_of(settings: Experiment, result: ExperimentResult) -> dict[str, Any]:
    """The results as one JSON document: equal experiments give equal bytes."""
    from carbon_ray.core.codec import to_jsonable

    document: dict[str, Any] = to_jsonable(result)
    return {
        "is_simulated": True,
        "is_embedded": result.is_embedded,
        "experiment": settings.model_dump(mode="json"),
        **document,
    }


def show(result: ExperimentResult, compared_with: str | None = None) -> None:
    """The figures of every job set, and what to think of them.

    Args:
        result: What to show.
        compared_with: Label of the policy that the others were tested against.
    """
    out = console()
    for one in result.sets:
        headings = tuple(_COLUMNS)
        # A narrow terminal gets two tables of what one would hold.
        parts = (headings,) if out.width >= _WIDE else (headings[:_FIRST], headings[_FIRST:])
        for part in parts:
            out.print(table_of(result, one, part))
        if any(row.difference is not None for row in one.rows):
            out.print(differences_of(one, compared_with or ""))
    out.print(
        f"simulated on {result.kind.value} intensity. Saved: against run-now, with the 95 % interval by start day. Captured: share of what "
        "perfect foresight would save. Worse: jobs that emitted more than run-now. Delay: hours later than run-now, mean and 95th "
        "percentile. Pauses, moves: a job.",
        style="dim",
    )
    if result.is_embedded:
        out.print("embedded intensity: typical, not observed; no claim about savings may rest on it", style="dim")


def _columns() -> dict[str, Callable[[Summary], str]]:
    def saved(summary: Summary) -> str:
        return number(100 * summary.saving_fraction, 1)

    def interval(summary: Summary) -> str:
        return f"{number(100 * summary.saving_interval.low, 1)} to {number(100 * summary.saving_interval.high, 1)}"

    def delay(summary: Summary) -> str:
        return f"{number(summary.delay_mean_h, 1)} / {number(summary.delay_p95_h, 1)}"

    return {
        "Saved %": saved,
        "95 %": interval,
        "Captured": lambda summary: percent(summary.captured_fraction),
        "Worse": lambda summary: percent(summary.backfire_fraction),
        "Delay h": delay,
        "Missed": lambda summary: f"{summary.missed:,}",
        "Pauses": lambda summary: number(summary.suspends, 1),
        "Moves": lambda summary: number(summary.moves, 1),
        "USD": lambda summary: number(summary.usd, 0),
    }


_COLUMNS = _columns()
_WIDE, _FIRST = 120, 4
"""Width from which one table holds all columns, and how many are in the first of two."""


def table_of(result: ExperimentResult, one: SetResult, headings: Sequence[str]) -> Table:
    """Some figures of one job set."""
    table = Table(title=Text(f"Simulated: {result.name}: {one.name}, {one.bound.jobs:,} jobs"), title_justify="left")
    table.add_column("Policy")
    table.add_column("Forecast")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in one.rows:
        cells = (_COLUMNS[heading](row.summary) for heading in headings)
        table.add_row(Text(row.policy), Text(row.forecaster), *cells, style="dim" if row.is_clairvoyant else None)
    table.add_section()
    table.add_row("bound", "clairvoyant", *(_COLUMNS[heading](one.bound) for heading in headings), style="dim")
    return table


def differences_of(one: SetResult, compared_with: str) -> Table:
    """Every policy against one of them, on the same jobs by start day."""
    table = Table(title=Text(f"Saved more than {compared_with}: {one.name}, in points"), title_justify="left")
    table.add_column("Policy")
    table.add_column("Forecast")
    for heading in ("All", "95 %", "Median day", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in one.rows:
        if row.difference is not None and row.p_adjusted is not None:
            points = [100 * value for value in (row.difference.saving_fraction, row.difference.interval.low, row.difference.interval.high)]
            every, low, high = (number(value, 1) for value in points)
            median = number(100 * row.difference.median_fraction, 1)
            table.add_row(Text(row.policy), Text(row.forecaster), every, f"{low} to {high}", median, f"{row.p_adjusted:.2g}")
    return table
