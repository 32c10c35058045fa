"""What stands beside the savings: noisy forecasts, measured errors, paired tests, and pictures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import decisions
from benchmarks.forecast_errors import forecast_error
from benchmarks.hourly import Outcomes
from benchmarks.issued import Clairvoyant
from benchmarks.noisy import NoisyTruth, sigmas
from benchmarks.paired import add_pairs
from benchmarks.traces import HourlyTable
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray, IntensityKind
from carbon_ray.policies.backfire import PERSISTENCE_PER_H
from carbon_ray.sim.statistics import wilcoxon_p

T0 = datetime(2021, 1, 1, tzinfo=UTC)
DAY = 24


def table_of(days: int, zones: tuple[str, ...] = ("A", "B")) -> HourlyTable:
    hours = np.arange(days * DAY)
    columns = [300 + 50 * index + 90 * np.cos(2 * np.pi * (hours + 7 * index) / DAY) for index in range(len(zones))]
    return HourlyTable(zones=zones, start_at=T0, values_gco2_per_kwh=np.stack(columns, axis=1), kind=IntensityKind.AVERAGE_LIFECYCLE)


class Scaled:
    """The truth times a factor that depends on the hours ahead."""

    def __init__(self, table: HourlyTable, factors: FloatArray) -> None:
        self._values, self._factors = table.values_gco2_per_kwh, factors

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        truth = self._values[issue : issue + hours]
        return truth * self._factors[:hours, None], np.zeros_like(truth)


def test_error_by_lead_is_measured() -> None:
    table = table_of(40)
    factors = np.array([1.0, 0.9, 1.3, 0.5])
    error = forecast_error(Scaled(table, factors), table, 2021, 4)
    assert error.mape_by_lead_fraction == pytest.approx([0.0, 0.1, 0.3, 0.5])
    assert error.mape_fraction == pytest.approx(0.225)
    assert error.issues == len(range(15 * DAY, 40 * DAY - 3, 37))
    assert error.fields()["forecast_mape_by_lead_h"] == pytest.approx({"1": 0.0, "3": 0.3})
    with pytest.raises(ConfigError, match="history before it"):
        forecast_error(Clairvoyant(table), table, 2021, 40 * DAY)


def test_hours_without_emissions_are_no_share_of_anything() -> None:
    table = table_of(40)
    values = table.values_gco2_per_kwh.copy()
    values[::5, 0] = 0.0
    clean = HourlyTable(zones=table.zones, start_at=T0, values_gco2_per_kwh=values, kind=table.kind)
    assert forecast_error(Scaled(clean, np.full(6, 1.2)), clean, 2021, 6).mape_by_lead_fraction == pytest.approx(np.full(6, 0.2))


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3])
def test_noise_has_the_size_that_it_says(sigma: float) -> None:
    table = table_of(800)
    noisy, truth = NoisyTruth(table, sigma), table.values_gco2_per_kwh
    shares, told = [], []
    for issue in range(1, 799 * DAY - 96, 5):
        median, spread = noisy.at(issue, 96)
        shares.append(median / truth[issue : issue + 96] - 1.0)
        told.append(spread / median)
    found = np.std(shares, axis=(0, 2))
    assert found == pytest.approx(np.mean(told, axis=(0, 2)), rel=0.12, abs=1e-12)
    assert found[-1] == pytest.approx(sigma, rel=0.12, abs=1e-12)
    assert np.abs(np.mean(shares)) < 0.1 * sigma + 1e-12


def test_a_newer_forecast_corrects_an_older_one() -> None:
    """What changes between two issues is what the hour between them brought, fading with the hours ahead."""
    table = table_of(40)
    noisy, truth = NoisyTruth(table, 0.1), table.values_gco2_per_kwh
    older, newer = noisy.at(500, 49)[0][1:], noisy.at(501, 48)[0]
    change = (newer - older) / truth[501:549]
    assert change == pytest.approx(change[0] * PERSISTENCE_PER_H ** np.arange(48)[:, None])


def test_noise_of_equal_seeds_is_equal() -> None:
    table = table_of(30)
    first, again, other = (NoisyTruth(table, 0.2, seed).at(400, 20)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert not np.allclose(first, other)


@pytest.mark.parametrize(("text", "expected"), [("", ()), ("0", (0.0,)), ("0,0.1,0.25", (0.0, 0.1, 0.25))])
def test_sigmas(text: str, expected: tuple[float, ...]) -> None:
    assert sigmas(text) == expected


@pytest.mark.parametrize("text", ["-0.1", "a", "0.1,,0.2", "nan", "inf"])
def test_sigmas_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--noise takes numbers"):
        sigmas(text)


def outcomes_of(gco2: FloatArray) -> Outcomes:
    zero = np.zeros_like(gco2)
    return Outcomes(gco2=gco2, run_now_gco2=np.full_like(gco2, 100.0), delay_h=zero, moves=zero, suspends=zero, missed=zero)


def test_pairs_are_by_start_day_and_adjusted_over_the_cell() -> None:
    random = np.random.default_rng(4)
    ours = random.uniform(40, 60, (30, 2))
    all_outcomes = [outcomes_of(one) for one in (ours + 10, ours, ours + random.normal(0, 5, ours.shape), ours.copy())]
    rows: list[dict[str, Any]] = [{"policy": name} for name in ("worse", "carbon_ray", "alike", "same")]
    days = np.repeat(np.arange(15), 2)
    add_pairs(rows, all_outcomes, days, ours=1)
    assert rows[1]["paired_p"] is None
    assert rows[0]["paired_median_fraction"] == pytest.approx(0.1)
    assert (rows[3]["paired_median_fraction"], rows[3]["paired_p"], rows[3]["paired_p_holm"]) == (0.0, 1.0, 1.0)
    daily = (all_outcomes[2].gco2 - ours).reshape(15, 4).sum(axis=1) / 400
    assert rows[2]["paired_p"] == pytest.approx(wilcoxon_p(daily))
    assert 0 < rows[0]["paired_p"] < 0.001  # fifteen days of one sign
    assert rows[0]["paired_p_holm"] == pytest.approx(3 * rows[0]["paired_p"])
    assert rows[2]["paired_p_holm"] == pytest.approx(min(1.0, 2 * rows[2]["paired_p"]))


def test_the_command_draws_and_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(45)
    lines = [
        f"{zone},{T0 + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ},{value:.3f},average_lifecycle"
        for index, zone in enumerate(table.zones)
        for hour, value in enumerate(table.values_gco2_per_kwh[:, index])
    ]
    (tmp_path / "t.csv").write_text("\n".join(["zone,time_utc,gco2_per_kwh,kind", *lines]) + "\n")
    out = tmp_path / "out.json"
    command = f"--traces {tmp_path}/t.csv --zones A,B --year 2021 --run-hours 3 --slack-hours 9 --step-hours 31 --forecaster persistence"
    assert decisions.main([*command.split(), "--noise", "0,0.3", "--json", str(out)]) == 0
    rows = {(row["policy"], row["forecaster"]): row for row in json.loads(out.read_text())["rows"]}
    exact, blurred = rows["carbon_ray", "noise_0"], rows["carbon_ray", "noise_0.3"]
    assert exact["forecast_mape_fraction"] == 0.0 < blurred["forecast_mape_fraction"]
    assert exact["saving_fraction"] > blurred["saving_fraction"]
    assert rows["carbon_ray", "persistence"]["paired_p"] is None
    assert rows["run_now", "persistence"]["paired_median_fraction"] > 0
    assert rows["run_now", "persistence"]["paired_p_holm"] >= rows["run_now", "persistence"]["paired_p"]
    for what, words in (("delay", "mean delay, h"), ("regret", "forecast error")):
        svg = (tmp_path / f"out_{what}.svg").read_text()
        ElementTree.fromstring(svg)
        assert words in svg
    capsys.readouterr()
    assert decisions.main([*command.split(), "--noise", "-1"]) == 2
    assert "--noise takes numbers" in capsys.readouterr().err
    assert decisions.main([*command.split(), "--only", "run_now"]) == 2
    assert "--only must name clairvoyant and carbon_ray" in capsys.readouterr().err
