"""The elastic benchmark: profiles in whole quanta, plans read right, and a table in which the joint optimum is never worse."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import elastic
from benchmarks.instances import FREE, Moving, one_workload


@pytest.mark.parametrize("profile", elastic.PROFILES.values(), ids=elastic.PROFILES)
def test_quanta_fit_the_profile(profile: elastic.Profile) -> None:
    quanta = elastic.whole_quanta(profile.throughput)
    relative = np.array(profile.throughput) / profile.throughput[0]
    assert np.array(quanta) / quanta[0] == pytest.approx(relative, rel=0.01)
    assert len(quanta) == len(profile.power_w) == elastic.MOST_WORKERS
    price = np.diff([0.0, *profile.relative_power]) / np.diff([0, *quanta])
    assert (np.diff(price) >= 0).all(), "the greedy bound needs each worker to be worth no more than the one before"


def test_a_profile_that_no_quanta_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="allow more"):
        elastic.whole_quanta([1.0, 1.5 + 1e-7], tolerance=1e-12)


def test_a_plan_is_read() -> None:
    """Three quanta at home in the first hour, nothing in the second, two away in a third of the last hour's six."""
    ci = np.array([[10.0, 900.0], [900.0, 900.0], [900.0, 30.0]])
    problem = one_workload(ci, 5, Moving(write_h=0.0, restore_h=0.0, move_h=0.1), speed=[3, 6], power=[1.0, 8.0])
    found = elastic.plan(problem, 0)
    assert found.gco2 == pytest.approx(10.0 + 3.0 + 20.0)
    assert found == elastic.Planned(gco2=found.gco2, finish_h=2 + 2 / 3, segments=2, moves=1, mean_workers=1.0)


def test_no_two_segments_where_nothing_changes() -> None:
    found = elastic.plan(one_workload(np.full((4, 1), 5.0), 4, FREE), 0)
    assert (found.segments, found.moves, found.finish_h) == (1, 0, 4.0)


def test_the_joint_optimum_is_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "STARTS_EVERY_H", 40)
    hours = np.arange(24 * 12)
    trace = np.stack([300 + 200 * np.sin((hours + shift) * np.pi / 12) + hours % 7 for shift in (0, 9)], axis=1)
    cases = elastic.solve_cases(trace, 6, 24, elastic.PROFILES["nbody100k"], Moving())
    table = elastic.table(cases, 6, 24, seed=1)
    assert table["cases"] == len(cases.days) == 2 * len(elastic.starts(len(hours), 30))
    savings = {name: one["saving_percent"] for name, one in table["plans"].items()}
    assert savings[elastic.JOINT] >= max(savings.values())
    assert table["gain_points"] == pytest.approx(savings[elastic.JOINT] - savings[table["better_of_two"]])
    low, high = table["gain_interval95_points"]
    assert 0 <= low <= table["gain_points"] <= high
    without = table["saving_percent_without_overheads"]
    assert without["greedy on the lowest of all regions"] >= savings[elastic.JOINT]
    assert without["greedy at home (CarbonScaler)"] >= savings[elastic.ELASTIC]


def test_an_unknown_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        elastic.main(["--traces", "none.parquet", "--year", "2022", "--sets", "A,Z"])
    assert "unknown sets Z" in capsys.readouterr().err
