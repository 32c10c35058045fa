"""Tables of the README, made from committed results: `python -m benchmarks.tables` prints them, and a test compares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def elastic_table(results: Sequence[dict[str, Any]]) -> str:
    """Savings of the three kinds of plan by set, job and profile, and what the joint optimum adds to the better of the two others.

    Args:
        results: `results` of `elastic.json`.
    """
    lines = [
        "| set | work / slack, h | profile | elastic at home | rigid in all regions | joint optimum | over the better of the two, points |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        savings = [f"{row['plans'][name]['saving_percent']:.1f} %" for name in ("elastic at home", "rigid in all regions")]
        joint, (low, high) = row["plans"]["elastic in all regions"]["saving_percent"], row["gain_interval95_points"]
        gain = f"+{row['gain_points']:.2f} ({low + 0.0:.2f} to {high:.2f})".replace("(-0.00", "(0.00")
        cells = (row["set"], f"{row['job_h']} / {row['slack_h']}", f"`{row['profile']}`", *savings, f"**{joint:.1f} %**", gain)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def forecasts_table(result: dict[str, Any]) -> str:
    """Mean MAPE over the days ahead of ours and the others, by run of the weather model, window and grid.

    Args:
        result: `forecasts.json`.
    """
    lines = [
        "| run | window | grid | ours, day 1 / 2 / 3 / 4 | ours | CarbonCast | plain LightGBM | persistence | EWMA | within 10-90 % |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    others = ("mape_carboncast", "mape_spike", "mape_persistence", "mape_ewma")
    for run, of_run in result["by_run"].items():
        for window, grid in dict.fromkeys((row["window"], row["grid"]) for row in of_run["rows"]):
            rows = [row for row in of_run["rows"] if (row["window"], row["grid"]) == (window, grid)]
            days = " / ".join(f"{row['mape']:.2f}" for row in rows)
            theirs = ["-" if rows[0][key] is None else f"{_mean(rows, key):.2f}" for key in others]
            cells = (
                run,
                window,
                grid,
                days,
                f"**{_mean(rows, 'mape'):.2f}**",
                *theirs,
                f"{100 * _mean(rows, 'coverage80_fraction'):.1f} %",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def forecasts_history_table(result: dict[str, Any]) -> str:
    """MAPE by day ahead, and decision value beside it, from history alone.

    Args:
        result: `forecasts_history.json`.
    """
    lines = [
        "| zone | MAPE %, day 1 to 7, ours | best floor, day 1 to 7 | saving kept, ours | EWMA | persistence | within 10-90 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for zone in dict.fromkeys(row["zone"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["zone"] == zone]
        ours = " ".join(f"{row['mape']:.2f}" for row in rows)
        floors = " ".join(f"{min(row['mape_persistence'], row['mape_ewma']):.2f}" for row in rows)
        kept = [f"{_mean(rows, f'decision_value{name}_fraction'):.3f}" for name in ("", "_ewma", "_persistence")]
        cells = (zone, ours, floors, *kept, f"{100 * _mean(rows, 'coverage80_fraction'):.1f} %")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return float(sum(row[key] for row in rows) / len(rows))


FORECAST_TABLES = {"forecasts": forecasts_table, "forecasts_history": forecasts_history_table}
"""What makes the table of a result, by its name."""


DECISIONS = ("six", "es-de", "south", "us", "ontario")
"""Sets of the decisions benchmark; each has a result of its own."""


def decisions_rows() -> list[dict[str, Any]]:
    """All rows of the committed results of the decisions benchmark."""
    return [row for name in DECISIONS for row in result_of(f"decisions_{name}")["rows"]]


def decisions_cells(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each set and shape: the rows of the clairvoyant, of EWMA re-planning, of carbon_ray, and of the best published rule."""
    cells: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["run_hours"], row["slack_hours"]), []).append(row)
    out = []
    for found in cells.values():
        own = [row for row in found if row["policy"] == "carbon_ray"]
        rules = [row for row in found if not row["policy"].startswith(("carbon_ray", "clairvoyant"))]
        out.append(
            {
                "clairvoyant": next(row for row in found if row["policy"] == "clairvoyant"),
                "ewma": next(row for row in own if row["forecaster"] == "ewma"),
                "own": next(row for row in own if row["forecaster"] != "ewma"),
                "rule": max(rules, key=lambda row: row["saving_fraction"], default=None),
            }
        )
    return out


def decisions_table(rows: Sequence[dict[str, Any]]) -> str:
    """What carbon_ray keeps of the clairvoyant saving by set and shape, beside EWMA re-planning and the best published rule."""
    lines = [
        "| set | work / slack, h | clairvoyant | EWMA re-planned | best rule re-asked | carbon_ray | gap closed "
        "| backfire (mean excess), EWMA's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in decisions_cells(rows):
        own, ewma, rule = cell["own"], cell["ewma"], cell["rule"]
        worse = f"{100 * own['backfire_fraction']:.1f} % (+{100 * own['backfire_mean_excess_fraction']:.0f} %)"
        interval = f"({100 * own['ci95_low']:.1f} to {100 * own['ci95_high']:.1f})"
        columns = (
            own["set"],
            f"{own['run_hours']} / {own['slack_hours']}",
            f"{100 * cell['clairvoyant']['saving_fraction']:.1f} %",
            f"{100 * ewma['saving_fraction']:.1f} %",
            f"{100 * rule['saving_fraction']:.1f} % `{rule['policy']}`",
            f"**{100 * own['saving_fraction']:.1f} %** {interval}",
            f"{own['gap_closed_fraction']:.2f}",
            f"{worse}, {100 * ewma['backfire_fraction']:.1f} %",
        )
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


SPLITS = ("first 6 h known", "first 24 h known", "first 72 h known", "without hysteresis", "without backfire")
"""Parts of carbon_ray that are replaced by their oracle, or taken away."""


def splits_table(rows: Sequence[dict[str, Any]]) -> str:
    """Gap closed by carbon_ray as it is, and with one part replaced by its oracle or taken away, by set and shape."""
    lines = [
        "| set | work / slack, h | as it is | first 6 h known | first 24 h known | first 72 h known | no hysteresis | no guard |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in decisions_cells(rows):
        own = cell["own"]
        shape = (own["set"], own["run_hours"], own["slack_hours"])
        beside = {row["remark"]: row for row in rows if (row["set"], row["run_hours"], row["slack_hours"]) == shape}
        closed = [own["gap_closed_fraction"], *(beside[part]["gap_closed_fraction"] for part in SPLITS)]
        columns = (own["set"], f"{own['run_hours']} / {own['slack_hours']}", *(f"{value:.2f}" for value in closed))
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


SWEEPS = ("tune_sweep", "tune_sweep_flat_and_any")


def sweeps_rows() -> list[dict[str, Any]]:
    """All rows of the committed results of the benchmark of sweeps."""
    return [row for name in SWEEPS for row in result_of(name)["rows"]]


def sweeps_table(rows: Sequence[dict[str, Any]]) -> str:
    """Carbon that a sweep saves to the same score, and in all, by zone, beside the bound of shifting all of it in time."""
    lines = [
        "| zone | saved to the same score | saved in all | bound of shifting in time alone | best score at equal carbon, less the base's |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        interval = f"({100 * row['ci95_low']:.0f} to {100 * row['ci95_high']:.0f})"
        columns = (
            row["zone"],
            f"**{100 * row['saving_fraction']:.1f} %** {interval}",
            f"{100 * row['all_saving_fraction']:.1f} %",
            f"{100 * row['clairvoyant_shift_fraction']:.1f} %",
            f"{row['score_delta']:+.4f}",
        )
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def bases_table(rows: Sequence[dict[str, Any]]) -> str:
    """What real sweeps under each base scheduler came to: on a flat grid, and with a hold or a move in them."""
    lines = [
        "| base scheduler | trainable | searcher, limits | same on a flat grid, of sweeps | held, of trials | lost | iterations repeated |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if not row["error"].startswith("left out"):
            limits = [
                row["searcher"],
                f"{row['most_live']} live" if row["most_live"] else "",
                "actors reused" if row["reuses_actors"] else "",
            ]
            trainable = row["trainable"] + (", moved" if "trials_moved" in row else "")
            groups.setdefault((row["base"], trainable, ", ".join(filter(None, limits))), []).append(row)
    for names, found in groups.items():
        flat = [row for row in found if row["kind"] == "flat"]
        held = [row for row in found if row["kind"] != "flat"]
        trials = sum(row["trials"] for row in held)
        columns = (
            *names,
            f"{sum(row.get('ends_as_base', False) for row in flat)} of {len(flat)}" if flat else "",
            f"{sum(row.get('held_trials', 0) for row in held)} of {trials}",
            str(sum(row.get("lost", row["trials"]) for row in found)),
            str(sum(row.get("repeated_iterations", 0) for row in found)),
        )
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def result_of(name: str) -> Any:
    """A committed result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


if __name__ == "__main__":
    print(elastic_table(result_of("elastic")["results"]))
    for name, table in FORECAST_TABLES.items():
        if (RESULTS / f"{name}.json").exists():
            print(table(result_of(name)))
    print(decisions_table(decisions_rows()))
    print(sweeps_table(sweeps_rows()))
    print(bases_table(result_of("tune_bases")["rows"]))
    print(splits_table(result_of("decisions_splits")["rows"]))
