"""Running command lines in this process, and traces to run them on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_ray.cli.main import main

FIRST_AT = datetime(2024, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))

    @property
    def error(self) -> str:
        """The one line of a failure."""
        assert self.out == ""
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


@pytest.fixture
def carbon_ray(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs one command line, without any cluster that this machine may have."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "CARBON_RAY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "110")

    def call(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


def trace_rows(days: int = 5, zones: tuple[str, ...] = ("A", "B")) -> list[tuple[str, str, str, str]]:
    """Hourly rows: zone A is 100 by night and 300 by day, the others are 200 throughout."""
    out = []
    for hour in range(24 * days):
        at = FIRST_AT + timedelta(hours=hour)
        for zone in zones:
            value = (300 if 6 <= at.hour < 18 else 100) if zone == "A" else 200
            out.append((zone, f"{at:%Y-%m-%dT%H:%MZ}", str(value), "average_lifecycle"))
    return out


@pytest.fixture
def rows() -> list[tuple[str, str, str, str]]:
    return trace_rows()


@pytest.fixture
def write_trace(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows of (zone, time, value, kind) as a CSV trace."""

    def write(rows: list[tuple[str, str, str, str]]) -> Path:
        path = tmp_path / "trace.csv"
        path.write_text("\n".join(["zone,time_utc,gco2_per_kwh,kind", *(",".join(row) for row in rows)]) + "\n")
        return path

    return write
