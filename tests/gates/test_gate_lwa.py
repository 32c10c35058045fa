"""Gate A2: the savings of Let's Wait Awhile in three grids, by both strategies, both deadline rules and three error levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.replicas import lwa
from carbon_ray.policies.baselines import WaitAwhile, roll
from carbon_ray.policies.outlook import Outlook

Table = Callable[[str], list[dict[str, str]]]
Golden = Callable[[str], Any]
ERRORS = (0.0, 0.05, 0.1)
SEEDS = range(10)
DEADLINES = ("next_workday", "semi_weekly")


@pytest.fixture(scope="module")
def jobs(table: Table) -> lwa.Jobs:
    columns = {name: [int(row[name]) for row in table("golden/lwa_jobs.csv.gz")] for name in table("golden/lwa_jobs.csv.gz")[0]}
    deadlines = {rule: columns[f"deadline_{rule}_min"] for rule in DEADLINES}
    return lwa.Jobs.of_minutes(columns["submit_min"], columns["duration_min"], deadlines)


@pytest.fixture(scope="module")
def intensity(table: Table) -> Callable[[str], np.ndarray[Any, Any]]:
    rows = table("golden/lwa_ci_halfhourly.csv.gz")
    return lambda zone: np.array([float(row[zone]) for row in rows if row[zone]])


@pytest.mark.parametrize("zone", ["DE", "GB", "FR"])
def test_every_saving(zone: str, jobs: lwa.Jobs, intensity: Callable[[str], np.ndarray[Any, Any]], golden: Golden) -> None:
    published, ci = golden("lwa.json")["expected_saving_pct"][zone], intensity(zone)
    assert (len(jobs.length), int(jobs.length.sum())) == (3387, published["slots"])
    assert ci.mean() == pytest.approx(published["mean_ci"], rel=1e-7)  # the file is rounded to four digits
    assert lwa.baseline(ci, jobs) == pytest.approx(published["baseline_sum_of_ci"], rel=1e-8)
    found = lwa.savings_percent(ci, jobs, ERRORS, SEEDS)
    assert len(found) == 12
    for (deadline, strategy, error), saving_percent in found.items():
        expected = published[f"{deadline}_{strategy}"][f"{error:g}"]
        assert saving_percent == pytest.approx(expected, abs=0.05 if error else 0.02), (deadline, strategy, error)


def test_the_rule_asked_in_every_slot_does_what_the_study_plans_at_once(
    jobs: lwa.Jobs, intensity: Callable[[str], np.ndarray[Any, Any]]
) -> None:
    ci = intensity("GB")
    for index in range(5, len(jobs.length), 250):
        one = lwa.Jobs(
            submit=jobs.submit[[index]], length=jobs.length[[index]], deadline={"semi_weekly": jobs.deadline["semi_weekly"][[index]]}
        )
        window = slice(int(one.submit[0]), int(one.deadline["semi_weekly"][0]) + 1)
        length, column = int(one.length[0]), ci[window, None]
        expected = lwa.sums_used(ci, ci[:, None], one, "semi_weekly")
        now = Outlook(gco2=column, usd=np.zeros_like(column), left=length, total=length, elapsed=0, waited=0, home=0, at=0, slot_h=0.5)
        for strategy, rule in {"non_interruptible": WaitAwhile(interruptible=False), "interruptible": WaitAwhile()}.items():
            working = np.flatnonzero(roll(rule, now).working)
            assert ci[window][working].sum() == pytest.approx(expected[strategy][0], rel=1e-9), (index, strategy)
