"""Run-now against carbon-aware against clairvoyant, row by row; what page and terminal both show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from carbon_ray.core.units import hours
from carbon_ray.reports.run_report import Clairvoyant, RunReport
from carbon_ray.reports.wording import NONE, mass_unit, number, percent, short_instant, significant


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One line of the comparison, ready to be read.

    Attributes:
        label: What is compared, with its unit.
        run_now: Of the counterfactual.
        carbon_aware: Of the run.
        clairvoyant: Of the best run in hindsight.
    """

    label: str
    run_now: str
    carbon_aware: str
    clairvoyant: str


def comparison_rows(report: RunReport) -> tuple[ComparisonRow, ...]:
    """The lines of the comparison: emissions, saving, energy, cost, time, pauses and moves."""
    run_now, run, best = report.counterfactual, report.totals, report.clairvoyant
    unit, grams = mass_unit(max(run_now.gco2, run.gco2))
    finish_h = hours(report.finished_at - report.submitted_at)

    def of_best(show: Callable[[Clairvoyant], str]) -> str:
        return NONE if best is None else show(best)

    def row(label: str, first: str, second: str, third: Callable[[Clairvoyant], str]) -> ComparisonRow:
        return ComparisonRow(label=label, run_now=first, carbon_aware=second, clairvoyant=of_best(third))

    return (
        row(
            f"Emissions ({unit} CO\N{SUBSCRIPT TWO}e)",
            significant(run_now.gco2 / grams),
            significant(run.gco2 / grams),
            lambda best: significant(best.gco2 / grams),
        ),
        row("Saved against run-now", NONE, percent(report.saving_fraction), lambda best: percent(best.saving_fraction)),
        row("Energy (kWh)", significant(run_now.energy_kwh), significant(run.energy_kwh), lambda best: significant(best.energy_kwh)),
        row("Cost (USD)", number(run_now.usd), number(run.usd), lambda best: number(best.usd)),
        row("Submission to finish (h)", number(run_now.hours), number(finish_h), lambda best: number(best.hours)),
        row(
            "Finished (UTC)",
            short_instant(run_now.finish_at),
            short_instant(report.finished_at),
            lambda best: short_instant(best.finish_at),
        ),
        row("Suspends", "0", str(report.suspends), lambda best: number(best.suspends, 0)),
        row("Moves", "0", str(report.moves), lambda best: number(best.moves, 0)),
    )
