"""`carbon-ray backtest`: a table, one JSON document, pictures; bad requests in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carbon_ray.cli.main import main


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    hours = pd.date_range("2021-10-01", "2022-02-01", freq="h", inclusive="left", tz="UTC")
    draw = np.random.default_rng(0)
    rows = [
        pd.DataFrame(
            {
                "zone": zone,
                "time_utc": hours,
                "gco2_per_kwh": 300 + 90 * np.sin(2 * np.pi * hours.hour / 24) + 25 * draw.standard_normal(len(hours)),
                "kind": "average_lifecycle",
            }
        )
        for zone in ("AA", "BB")
    ]
    path = tmp_path / "trace.parquet"
    pd.concat(rows).to_parquet(path)
    return path


def test_scores_as_json(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--traces", str(trace), "--days", "2", "--limit", "5", "--forecaster", "ewma", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["zones"], told["year"]) == (["AA", "BB"], 2022)
    assert {(one["zone"], one["forecaster"], one["day"]) for one in told["scores"]} == {
        (zone, name, day) for zone in ("AA", "BB") for name in ("ewma", "persistence") for day in (1, 2)
    }
    by = {(one["forecaster"], one["day"]): one for one in told["scores"] if one["zone"] == "AA"}
    assert 0 < by["ewma", 1]["mape_fraction"] < by["persistence", 1]["mape_fraction"] < 0.3
    assert 0.5 < by["ewma", 1]["decision_value_fraction"] <= 1


def test_a_table_and_pictures(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["backtest", "--traces", str(trace), "--zones", "BB", "--days", "1", "--limit", "4", "--plots", str(tmp_path / "plots")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "BB: " in told
    assert "linear" in told
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert set(pictures) == {"mape.svg", "coverage.svg", "rank.svg", "decision_value.svg"}
    assert all(b"BB" in one for one in pictures.values())
    assert main(command) == 0
    assert pictures == {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["backtest"], "name grid zones"),
        (["backtest", "--zones", "DE", "--forecaster", "oracle"], "unknown forecaster 'oracle'"),
        (["backtest", "--zones", "DEE"], "unknown grid zone 'DEE'"),
        (["backtest", "--zones", "DE", "--days", "99"], "--days"),
    ],
)
def test_bad_requests_are_told_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    caught = capsys.readouterr()
    assert told in caught.err
    assert caught.out == ""


def test_a_year_that_the_trace_does_not_hold(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--traces", str(trace), "--year", "2030"]) == 2
    assert "no issue" in capsys.readouterr().err
