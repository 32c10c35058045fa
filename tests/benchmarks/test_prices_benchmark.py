"""The sweep over the price of carbon: the optimum answers to it as it must, the picture is drawn, mistakes are one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import prices
from benchmarks.issued import AnyForecaster
from benchmarks.traces import HourlyTable
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.forecasting.naive import Persistence

T0 = datetime(2021, 1, 1, tzinfo=UTC)
ZONES = ("A", "B")


def trace(path: Path, days: int = 24) -> Path:
    """B is cleaner by half, and both are dirtier by day."""
    lines = ["zone,time_utc,gco2_per_kwh,kind"]
    for hour in range(24 * days):
        for zone, level in (("A", 400), ("B", 200)):
            value = level + 100 * np.sin(2 * np.pi * (hour % 24) / 24) + hour % 7
            lines.append(f"{zone},{T0 + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ},{value:.3f},average_lifecycle")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_optimum_answers_to_the_price_of_carbon(tmp_path: Path) -> None:
    out = tmp_path / "results" / "prices.json"
    command = f"--traces {trace(tmp_path / 't.csv')} --zones A,B --year 2021 --run-hours 4 --slack-hours 12 --step-hours 29"
    extra = f"--usd-per-h A=1.0,B=1.5 --egress-usd 0.1 --usd-per-kgco2 0,1,3,30 --forecaster persistence --json {out}"
    assert prices.main([*command.split(), *extra.split()]) == 0
    result = json.loads(out.read_text())
    best = [row for row in result["rows"] if row["is_clairvoyant"]]
    ours = [row for row in result["rows"] if not row["is_clairvoyant"]]
    assert [row["usd_per_kgco2"] for row in best] == [row["usd_per_kgco2"] for row in ours] == [0, 1, 3, 30]
    assert {row["forecaster"] for row in ours} == {"persistence"}
    for before, after in pairwise(best):
        assert after["saving_fraction"] >= before["saving_fraction"] - 1e-12, "dearer carbon, less of it"
        assert after["extra_usd_mean"] + 0.01 * after["delay_mean_h"] >= before["extra_usd_mean"] + 0.01 * before["delay_mean_h"] - 1e-9
    # Free carbon: who lives in the dear zone moves to the cheap one, which is the dirtier, and nobody waits.
    assert best[0]["saving_fraction"] < 0
    assert best[0]["extra_usd_mean"] < 0
    assert best[0]["delay_mean_h"] == 0
    assert best[-1]["saving_fraction"] > 0.3
    assert best[-1]["extra_usd_mean"] > 0
    for one, other in zip(best, ours, strict=True):
        price = one["usd_per_kgco2"]
        worth = [price * -row["saved_kgco2_mean"] + row["extra_usd_mean"] + 0.01 * row["delay_mean_h"] for row in (one, other)]
        assert worth[0] <= worth[1] + 1e-9, "no re-planning beats the optimum of the same objective"
        assert one["deadline_misses"] == other["deadline_misses"] == 0
    assert result["settings"]["usd_per_h"] == {"A": 1.0, "B": 1.5}
    svg = (tmp_path / "results" / "prices_curve.svg").read_text()
    ElementTree.fromstring(svg)
    assert "re-planned on persistence" in svg


def test_bulk_forecasts_are_handed_on_unchanged() -> None:
    values = np.random.default_rng(1).uniform(50, 500, (24 * 12, 2))
    table = HourlyTable(zones=ZONES, start_at=T0, values_gco2_per_kwh=values, kind=IntensityKind.AVERAGE_LIFECYCLE)
    issues = AnyForecaster(table, Persistence(), 10 * 24)
    source = prices.AsIssued("persistence", issues, table, 30)
    now = T0 + timedelta(days=11, minutes=20)
    snapshot = source.snapshot(now, now + timedelta(hours=20))
    median, _ = issues.at(11 * 24, 30)
    assert snapshot.issued_at == T0 + timedelta(days=11)
    assert (snapshot["B"].median.values_gco2_per_kwh == median[:, 1]).all()
    assert source.snapshot(now + timedelta(minutes=5), now + timedelta(hours=20)) is snapshot


@pytest.mark.parametrize(("text", "expected"), [("2", {"A": 2.0, "B": 2.0}), ("B=1, A=0.5", {"A": 0.5, "B": 1.0})])
def test_prices_by_zone(text: str, expected: dict[str, float]) -> None:
    assert prices.prices_by_zone(text, ZONES) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("--usd-per-h A=1", "one for each such as A=1.0,B=1.0"),
        ("--usd-per-h A=1,B=1,C=1", "--usd-per-h takes"),
        ("--usd-per-h cheap", "--usd-per-h takes"),
        ("--usd-per-h -1", "--usd-per-h takes"),
        ("--usd-per-kgco2 1,x", "--usd-per-kgco2 takes"),
        ("--usd-per-kgco2=-1", "--usd-per-kgco2 takes"),
        ("--run-hours 0", "at least 1"),
        ("--run-hours 999", "fits into 2021"),
        ("--year 2020", "choose another --year"),
        ("--zones A,XX", "XX"),
        ("--forecaster prophet", "use one of"),
        ("--egress-usd=-2", "not be negative"),
    ],
)
def test_bad_input_of_the_sweep_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str) -> None:
    command = f"--traces {trace(tmp_path / 't.csv')} --zones A,B --year 2021 {change}"
    assert prices.main(command.split()) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line
