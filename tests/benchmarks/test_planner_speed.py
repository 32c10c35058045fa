"""The speed benchmark on small instances: what it compares is equal, what it fits is right, what it cannot measure is null."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import planner_speed, planner_speed_fleet, planner_speed_growth, planner_speed_plan, planner_speed_sim
from benchmarks.planner_speed_world import Weather
from carbon_ray.core.errors import ConfigError

EMBEDDED = Weather.embedded()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"REGIONS": 3, "HOURS": 20, "QUANTA": 8}.items():
        monkeypatch.setattr(planner_speed_plan, name, size)
    monkeypatch.setattr(planner_speed_plan, "first_calls", lambda: {"first_compile_s": 9.0, "first_call_from_cache_s": 0.5})
    monkeypatch.setattr(planner_speed_growth, "BASE", {"quanta": 4, "regions": 2, "hours": 16})
    monkeypatch.setattr(planner_speed_growth, "GROWN", {"quanta": (2, 4, 8), "regions": (2, 4, 8), "hours": (8, 16, 32)})


@pytest.mark.usefixtures("small")
def test_ratios_are_of_the_same_instances() -> None:
    found = planner_speed_plan.measure(3, seed=1, reference=None, weather=EMBEDDED)
    assert found["plan_speedup_against"] == "reference_programme"
    assert len(found["plan_rounds"]) == 3
    assert found["plan_largest_relative_difference"] <= 1e-9
    ratios = sorted(one["reference_s"]["reference_programme"] / one["plan_s"] for one in found["plan_rounds"])
    assert found["plan_speedup"] == pytest.approx(ratios[1])
    assert found["first_compile_s"] == 9.0, "compilation is told apart"


REFERENCE = """
from benchmarks.instances import Moving
from benchmarks.reference_programme import least_cost

def optimum(ci, quanta, home, write_h, restore_h, move_h):
    moving = Moving(write_h=write_h, restore_h=restore_h, move_h=move_h)
    return [FACTOR * least_cost(ci[0], quanta, home, moving)]
"""


@pytest.mark.usefixtures("small")
def test_another_reference_is_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text(REFERENCE.replace("FACTOR", "1.0"))
    found = planner_speed_plan.measure(1, seed=1, reference=path, weather=EMBEDDED)
    assert found["plan_speedup_against"] == "other"
    assert set(found["reference_s"]) == {"reference_programme", "other"}


@pytest.mark.usefixtures("small")
def test_a_reference_with_other_values_stops_the_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(REFERENCE.replace("FACTOR", "1.000001"))
    with pytest.raises(AssertionError, match="optima differ"):
        planner_speed_plan.measure(1, seed=1, reference=path, weather=EMBEDDED)


@pytest.mark.parametrize("text", [None, "x = 1"])
def test_a_file_that_is_no_reference_is_refused(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "none.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"none\.py"):
        planner_speed_plan.reference_in(path)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_is_the_power(power: float) -> None:
    sizes = [3, 6, 12, 24]
    assert planner_speed_growth.exponent(sizes, [0.001 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.usefixtures("small")
def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    growth = planner_speed_growth.measure(1, quick=True)
    assert growth["regions"]["fixed"] == {"quanta": 4, "hours": 16}
    assert all(len(one["seconds"]) == len(one["sizes"]) == 3 for one in growth.values())
    for name in ("a", "b"):
        planner_speed_growth.draw(growth, tmp_path / f"{name}.svg")
    picture = (tmp_path / "a.svg").read_text()
    assert picture == (tmp_path / "b.svg").read_text()
    assert all(axis in picture for axis in growth)


def test_the_linear_programme_and_the_fleet_agree() -> None:
    rung = planner_speed_fleet.one_rung(6, 3, EMBEDDED, ("highs-ds",), 60.0)
    assert rung["without_plan"] == 0
    assert -1e-9 <= rung["gap_fraction"] <= 0.01
    assert rung["lp_cost_usd"] == pytest.approx(rung["fleet_cost_usd"], rel=0.01)


def test_the_linear_programme_by_hand() -> None:
    """Two workloads of an hour each on one node in each of two regions: who takes the cheapest cell leaves the next one."""
    one = planner_speed_fleet.Fleet(
        members=(None, None),  # type: ignore[arg-type]  # their number is all that the programme asks for
        around=None,  # type: ignore[arg-type]
        gco2_per_kwh=np.array([[100.0, 300.0], [200.0, 400.0]]),
        lengths=np.array([1, 1]),
        windows=np.array([1, 2]),
        nodes=1,
    )
    solved = planner_speed_fleet.Flow.of(one).solve("highs-ds", 10.0)
    assert solved.fun == pytest.approx(0.3)


def test_simulated_jobs_are_counted() -> None:
    found = planner_speed_sim.measure(3, weather=EMBEDDED, jobs=4)
    assert found["sim_jobs_per_s"] == found["sim_variants"][0]["jobs_per_s"] > 0
    assert [(one["policy"], one["forecaster"]) for one in found["sim_variants"]] == [
        ("carbon_ray", "persistence"),
        ("carbon_ray", "clairvoyant"),
        ("fleet", "persistence"),
        ("fleet", "clairvoyant"),
    ]
    assert all(one["jobs"] == 4 for one in found["sim_variants"])


@pytest.mark.usefixtures("small")
def test_parts_that_cannot_be_imported_are_null_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {name: (f"benchmarks.absent_{name}", empty) for name, (_, empty) in planner_speed.PARTS.items()}
    monkeypatch.setattr(planner_speed, "PARTS", absent)
    path = tmp_path / "out" / "speed.json"
    planner_speed.main(["--json", str(path), "--quick", "--rounds", "1", "--seed", "5"])
    found = json.loads(path.read_text())
    assert path.with_suffix(".svg").exists()
    assert found["plan_speedup"] > 0
    assert {found[name] for name in ("fleet_speedup", "fleet_gap_fraction", "sim_jobs_per_s")} == {None}
    assert "absent_fleet" in found["fleet_reason"]
    assert "absent_sim" in found["sim_reason"]
    assert found["environment"]["versions"]["numpy"]
