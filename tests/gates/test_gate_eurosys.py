"""Gate A1: the optima of the EuroSys 2024 limits study, by the functions that the rules use and by the rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from carbon_ray.policies.baselines import CarbonScaler, LowestWindow, RunNowRule, WaitAwhile, roll
from carbon_ray.policies.baselines.windows import cheapest_slots, window_sums
from carbon_ray.policies.outlook import Outlook, Rule

Table = Callable[[str], list[dict[str, str]]]
TOLERANCE = 1e-6
EVERY_NTH_ROW_ROLLED = 131  # a prime, so that all zones, lengths and slacks come by; rolling all would take minutes


@pytest.fixture(scope="module")
def cases(table: Table) -> list[tuple[np.ndarray[Any, Any], int, dict[str, float]]]:
    """Intensity of the window, hours of work, and the published sums."""
    trace = table("golden/eurosys_trace_2022.csv.gz")
    zones = {zone: np.array([float(row[zone]) for row in trace]) for zone in trace[0] if zone != "hour"}
    rows = table("golden/eurosys_expected.csv.gz")
    assert len(rows) == 9544
    assert {row["zone"] for row in rows} == set(zones)
    return [
        (
            zones[row["zone"]][int(row["start_hour"]) :][: int(row["job_h"]) + int(row["slack_h"])],
            int(row["job_h"]),
            {name: float(row[name]) for name in ("run_now", "non_interruptible", "interruptible")},
        )
        for row in rows
    ]


def test_closed_forms_give_every_published_optimum(cases: list[tuple[np.ndarray[Any, Any], int, dict[str, float]]]) -> None:
    for ci, length, expected in cases:
        sums = window_sums(ci, length)
        found = {"run_now": sums[0], "non_interruptible": sums.min(), "interruptible": ci[cheapest_slots(ci, length)].sum()}
        assert found == pytest.approx(expected, abs=TOLERANCE)


def rolled_sums(rules: dict[str, Rule], ci: np.ndarray[Any, Any], length: int) -> Iterator[tuple[str, float]]:
    column = ci[:, None]
    at_first = Outlook(gco2=column, usd=np.zeros_like(column), left=length, total=length, elapsed=0, waited=0, home=0, at=0)
    for name, rule in rules.items():
        rolled = roll(rule, at_first)
        assert rolled.left == 0
        yield name, float(ci[: len(rolled.working)][np.array(rolled.working)].sum())


@pytest.mark.parametrize(
    "rules",
    [
        {"run_now": RunNowRule(), "non_interruptible": LowestWindow(), "interruptible": WaitAwhile()},
        {"non_interruptible": WaitAwhile(interruptible=False), "interruptible": CarbonScaler(max_workers=1)},
    ],
    ids=["first", "second"],
)
def test_rules_asked_in_every_hour_reach_the_published_optima(
    cases: list[tuple[np.ndarray[Any, Any], int, dict[str, float]]], rules: dict[str, Rule]
) -> None:
    for ci, length, expected in cases[::EVERY_NTH_ROW_ROLLED]:
        for name, found in rolled_sums(rules, ci, length):
            assert found == pytest.approx(expected[name], abs=TOLERANCE), name
