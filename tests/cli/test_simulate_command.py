"""`carbon-ray simulate`: the table says simulated, the documents are complete and the same each time, mistakes are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

EXPERIMENT: dict[str, Any] = {
    "name": "tiny [bold]",
    "start_at": "2022-03-07T00:00Z",
    "regions": {"germany": {"zone": "DE", "usd_per_h": 1.0}, "spain": {"zone": "ES", "usd_per_h": 1.0}},
    "policies": [{"name": "run_now", "forecasters": ["ewma"]}, "carbon_ray", {"name": "carbon_ray", "plan_once": True}],
    "forecasters": ["ewma", "clairvoyant"],
    "compare_with": "carbon_ray",
    "job_sets": [{"name": "few", "kind": "every", "length_h": 3, "slack_h": 10, "count": 4}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(**changes: Any) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump({**EXPERIMENT, **changes}))
        return path

    return written


def test_table_documents_and_page(carbon_ray: Callable[..., Any], write: Callable[..., Path], tmp_path: Path) -> None:
    ran = carbon_ray("simulate", write(), "--json", tmp_path / "out" / "a.json", "--html", tmp_path / "page.html")
    assert ran.code == 0, ran.err
    assert "Simulated: tiny [bold]: few, 8 jobs" in ran.out
    assert "embedded intensity: typical, not observed" in ran.out
    for word in (
        "run_now",
        "carbon_ray, plan once",
        "clairvoyant",
        "Saved %",
        "Captured",
        "Delay h",
        "Missed",
        "Worse",
        "Pauses",
        "Moves",
        "USD",
        "Saved more than carbon_ray: few",
        "p (Holm)",
    ):
        assert word in ran.out
    assert ran.err.count("written: ") == 2
    document = json.loads((tmp_path / "out" / "a.json").read_text())
    assert (document["is_simulated"], document["is_embedded"], document["kind"]) == (True, True, "average_lifecycle")
    assert set(document["provenance"]) == {"DE", "ES"}
    (few,) = document["sets"]
    rows = {(row["policy"], row["forecaster"]): row for row in few["rows"]}
    assert len(rows) == 5
    assert rows["run_now", "ewma"]["summary"]["saving_fraction"] == pytest.approx(0.0)
    best = rows["carbon_ray, plan once", "clairvoyant"]
    assert best["is_clairvoyant"]
    assert best["summary"]["captured_fraction"] == pytest.approx(1.0)
    for row in rows.values():
        summary = row["summary"]
        assert summary["saving_fraction"] <= few["bound"]["saving_fraction"] + 1e-12
        assert summary["missed"] == 0
        assert summary["saving_interval"]["low"] <= summary["saving_fraction"] <= summary["saving_interval"]["high"]
        assert (row["difference"] is None) == (row["policy"] == "carbon_ray")
        assert row["difference"] is None or row["p_adjusted"] >= row["difference"]["p"]
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "Simulated" in page
    assert "tiny [bold]" in page
    assert not any(mark in page for mark in ("<script", "src=", "@import", "https://cdn"))

    again = carbon_ray("simulate", write(), "--json", tmp_path / "b.json", "--html", tmp_path / "again.html")
    assert again.out == ran.out
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "out" / "a.json").read_bytes()
    assert (tmp_path / "again.html").read_text() == page


def test_json_instead_of_the_table(carbon_ray: Callable[..., Any], write: Callable[..., Path]) -> None:
    ran = carbon_ray("simulate", write(forecasters=["persistence"], policies=["carbon_ray"]), "--json", "-")
    assert ran.code == 0
    assert ran.json["experiment"]["forecasters"] == ["persistence"]
    assert ran.json["sets"][0]["bound"]["jobs"] == 8


def test_seeds_are_pooled(carbon_ray: Callable[..., Any], write: Callable[..., Path]) -> None:
    ran = carbon_ray("simulate", write(seeds=[0, 1], policies=["run_now"], compare_with=None, forecasters=["ewma"]), "--json", "-")
    (row,) = ran.json["sets"][0]["rows"]
    assert row["summary"]["jobs"] == 16


def test_grid_trace_and_job_trace(
    carbon_ray: Callable[..., Any], write: Callable[..., Path], write_trace: Callable[..., Path], tmp_path: Path
) -> None:
    """Zone A is 100 by night and 300 by day; a job of an hour at noon waits for the night, which is a third."""
    from datetime import UTC, datetime

    first_at = datetime(2024, 5, 1, tzinfo=UTC)
    rows = [
        ("A", f"{first_at + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}", "300" if 6 <= hour % 24 < 18 else "100", "average_lifecycle")
        for hour in range(24 * 12)
    ]
    trace = write_trace(rows)
    (tmp_path / "jobs.csv").write_text("arrival_time,length,cpus\n43200,3600,1\n129600,3600,1\n")
    ran = carbon_ray(
        "simulate",
        write(
            start_at="2024-05-04T00:00Z",
            grid={"provider": "trace", "path": trace.name},
            regions={"a": {"zone": "A", "pue": 1.0}},
            policies=["carbon_ray"],
            forecasters=["persistence"],
            job_sets=[{"name": "noon", "kind": "trace", "path": "jobs.csv", "time_unit": "s", "slack_h": 12}],
        ),
        "--json",
        "-",
    )
    assert ran.code == 0, ran.err
    (row,) = ran.json["sets"][0]["rows"]
    assert not ran.json["is_embedded"]
    assert row["summary"]["saving_fraction"] == pytest.approx(2 / 3)
    assert row["summary"]["delay_mean_h"] == pytest.approx(6.0)
    assert row["summary"]["kgco2"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"policies": ["fastest"]}, "unknown policy 'fastest'"),
        ({"policies": [{"name": "carbon_ray", "parameters": {"hystersis": 1.0}}]}, "has no parameter hystersis; it has"),
        ({"regions": {"x": {"zone": "NOWHERE"}}}, "unknown grid zone 'NOWHERE'"),
        ({"job_sets": [{"name": "f", "kind": "trace", "path": "none.csv", "time_unit": "h", "slack_h": 1}]}, "cannot read the job trace"),
        ({"job_sets": []}, "job_sets"),
        ({"grid": {"provider": "trace", "path": "none.csv"}}, "none.csv"),
    ],
)
def test_a_mistake_is_one_line(carbon_ray: Callable[..., Any], write: Callable[..., Path], changes: dict[str, Any], says: str) -> None:
    ran = carbon_ray("simulate", write(**{"compare_with": None, **changes}))
    assert ran.code == 2
    assert says in ran.error


def test_a_broken_job_trace_is_one_line(carbon_ray: Callable[..., Any], write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("arrival_time,length,cpus\n1,two,1\n")
    sets = [{"name": "f", "kind": "trace", "path": "jobs.csv", "time_unit": "h", "slack_h": 1}]
    ran = carbon_ray("simulate", write(job_sets=sets))
    assert ran.code == 2
    assert "row 0 of the job trace needs numbers" in ran.error


def test_a_place_that_cannot_be_written(carbon_ray: Callable[..., Any], write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = carbon_ray("simulate", write(policies=["run_now"], compare_with=None), "--json", tmp_path / "file" / "out.json")
    assert ran.code == 2
    assert "cannot write" in ran.err
