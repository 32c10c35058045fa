"""The doctor's look at the sources of the grid's data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from carbon_ray.actors.forecast_health import ForecastHealth, ZoneHealth
from carbon_ray.cli.checks import Verdict
from carbon_ray.cli.source_checks import judged
from carbon_ray.providers.breaker import Circuit
from carbon_ray.providers.chain import SourceHealth

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def zone(name: str = "DE", problem: str = "", age_s: float = 600.0) -> ZoneHealth:
    return ZoneHealth(zone=name, issued_at=T0, age_s=age_s, history_end_at=T0, provider="grid", is_embedded=False, problem=problem)


def source(name: str, zones: tuple[str, ...] = (), circuit: Circuit = Circuit.CLOSED, problem: str = "") -> SourceHealth:
    until_at = None if circuit is Circuit.CLOSED else T0
    return SourceHealth(name=name, circuit=circuit, failures=0, open_until_at=until_at, problem=problem, zones=zones)


def health(**changes: Any) -> ForecastHealth:
    given: dict[str, Any] = {"version": 3, "issued_at": T0, "age_s": 600.0, "failures": 0, "problem": ""}
    return ForecastHealth(**{**given, "zones": (zone(), zone("ES")), "sources": (source("grid", ("DE", "ES")),), **changes})


@pytest.mark.parametrize(
    ("found", "verdict", "says"),
    [
        (health(), Verdict.OK, "grid for DE, ES"),
        (health(sources=()), Verdict.OK, "grid for DE, ES"),
        (health(zones=(), problem="the source is down"), Verdict.FAIL, "the source is down"),
        (health(zones=()), Verdict.FAIL, "there is no forecast yet"),
        (health(problem="the model fails"), Verdict.WARN, "the model fails"),
        (health(zones=(zone(problem="no\nanswer", age_s=7200.0),)), Verdict.WARN, "DE is 2.0 h old: no answer"),
        (health(sources=(source("grid", ("DE",)), source("embedded", ("ES",)))), Verdict.WARN, "embedded stands in for ES"),
        (
            health(sources=(source("grid", circuit=Circuit.OPEN, problem="no answer"), source("embedded", ("DE", "ES")))),
            Verdict.WARN,
            "embedded stands in for DE, ES; grid is left alone until 2026-03-01T00:00:00Z: no answer",
        ),
    ],
)
def test_verdicts(found: ForecastHealth, verdict: Verdict, says: str) -> None:
    check = judged(found)
    assert (check.verdict, check.found) == (verdict, says)
    assert bool(check.advice) == (verdict is not Verdict.OK)
