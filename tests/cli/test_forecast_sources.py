"""`carbon-ray forecast --config`: a configured service is asked, and what it says of its numbers is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from carbon_ray.core.intensity import Provenance
from carbon_ray.testing import Asked, FakeService, Reply

Run = Callable[..., Any]
START = "2026-02-03T14:00Z"
NOW = datetime(2026, 2, 3, 14, tzinfo=UTC)


def answer(asked: Asked) -> Reply:
    """Hours of what was asked for, of the last thirty days, up to two hours ago."""
    params = dict(asked.params)
    first, last = (datetime.fromisoformat(params[name]).astimezone(UTC) for name in ("time", "toTime"))
    first, last = max(first, NOW - timedelta(days=30)), min(last, NOW - timedelta(hours=2))
    rows = []
    while first < last:
        rating = 300 + 100 * (6 <= first.hour < 18)
        rows.append({"location": "DE", "time": f"{first:%Y-%m-%dT%H:%M:%SZ}", "rating": rating, "duration": "01:00:00"})
        first += timedelta(hours=1)
    return Reply(body=json.dumps(rows).encode())


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    with FakeService(answer).on_this_machine() as url:
        grid = {"provider": "carbon_aware_sdk", "kind": "marginal", "options": {"base_url": url, "areas": {"DE": "DE"}}}
        carbon = {"grid": grid, "regions": {"east": {"zone": "DE"}}, "node_types": {"gpu": {"tdp_w": 1.0}}}
        types = {"gpu": {"labels": {"ray.io/availability-region": "east"}}}
        path = tmp_path / "cluster.yaml"
        path.write_text(yaml.safe_dump({"provider": {"carbon": carbon}, "available_node_types": types}))
        yield path


def test_a_configured_service_is_asked(carbon_ray: Run, config: Path) -> None:
    ran = carbon_ray("forecast", "--zone", "DE", "--config", config, "--start", START, "--hours", 24, "--forecaster", "ewma", "--json")
    assert ran.err == ""
    (zone,) = ran.json["zones"]
    assert (zone["kind"], zone["is_embedded"], zone["issued_at"]) == ("marginal", False, "2026-02-03T14:00:00Z")
    assert [round(one["median_gco2_per_kwh"]) for one in zone["intervals"]] == [400] * 4 + [300] * 12 + [400] * 8
    source = zone["source"]
    assert list(source) == ["provider", "detail", "is_embedded", "estimated_fraction", "issued_at", "fetched_at"]
    assert source["provider"] == "carbon_aware_sdk"
    assert source["fetched_at"].startswith("20")


def test_the_table_says_where_its_numbers_come_from(carbon_ray: Run, config: Path) -> None:
    ran = carbon_ray("forecast", "--zone", "DE", "--config", config, "--start", START, "--hours", 2, "--forecaster", "ewma")
    assert ran.code == 0
    last = ran.out.strip().splitlines()[-1]
    for words in ("marginal; ewma; carbon_aware_sdk (", "; fetched 20"):
        assert words in last


@pytest.mark.parametrize("further", [["--traces", "x.csv"], ["--kind", "marginal"]])
def test_a_source_is_named_once(carbon_ray: Run, config: Path, further: list[str]) -> None:
    assert "leave out" in carbon_ray("forecast", "--zone", "DE", "--config", config, *further).error


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ({}, "grid (a file)"),
        ({"estimated_fraction": 0.0}, "grid (a file); measured"),
        ({"estimated_fraction": 1.0}, "grid (a file); estimated"),
        ({"estimated_fraction": 0.25, "issued_at": NOW}, "grid (a file); 25% estimated; issued 2026-02-03T14:00Z"),
        ({"is_embedded": True, "fetched_at": NOW}, "embedded grid (a file); fetched 2026-02-03T14:00Z"),
    ],
)
def test_provenance_in_full(further: dict[str, Any], words: str) -> None:
    assert Provenance(provider="grid", detail="a file", **further).in_full() == words
