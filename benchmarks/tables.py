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


def result_of(name: str) -> Any:
    """A committed result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


if __name__ == "__main__":
    print(elastic_table(result_of("elastic")["results"]))
