"""Every bad input ends in one line and an exit code, in time, and never in a traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from carbon_ray.cli import main as cli
from carbon_ray.core.errors import CarbonRayError, ClusterStartError, ConfigError, LedgerError, NoCapacityError

Run = Callable[..., Any]
Rows = list[tuple[str, str, str, str]]
START = "2024-05-07T16:00Z"
PLAN = ["plan", "--hours", 6, "--zones", "DE", "--start", START]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["forecast", "--zone", "DEE", "--start", START], "unknown grid zone 'DEE'; did you mean DE"),
        (["forecast"], "name a grid zone"),
        (["forecast", "--zones", " ,"], "--zones names nothing"),
        (["forecast", "--zone", "DE", "--hours", "0"], "'--hours'"),
        (["forecast", "--zone", "DE", "--start", "2024-05-07"], "has no UTC offset"),
        (["forecast", "--zone", "DE", "--forecaster", "oracle"], "use one of ewma, lightgbm, linear, persistence"),
        (["forecast", "--zone", "DE", "--kind", "marginal"], "counts average_lifecycle, not marginal"),
        (["forecast", "--zone", "DE", "--kind", "green"], "use one of average_lifecycle, average_direct, marginal"),
        (["forecast", "--zone", "DE", "--traces", "absent.csv", "--start", START], "there is no such file"),
        ([*PLAN, "--deadline", "2020-01-01T00:00Z"], "is not after now (2024-05-07T16:00Z); choose a later deadline"),
        ([*PLAN, "--deadline", "0h"], "is not after now"),
        ([*PLAN, "--deadline", "3h"], "the work ends at 2024-05-07T22:15Z"),
        ([*PLAN, "--deadline", "tomorrow"], "--deadline"),
        ([*PLAN, "--deadline", "61d"], "more than 60 days ahead"),
        ([*PLAN, "--deadline", "24h", "--objective", "fast"], "unknown objective 'fast'; use one of carbon, balanced, cost, deadline"),
        ([*PLAN, "--deadline", "24h", "--power-w", "nan"], "--power-w must be a number above 0"),
        ([*PLAN, "--deadline", "24h", "--home", "DEE"], "unknown grid zone 'DEE'"),
        (["plan", "--hours", "-1", "--deadline", "24h", "--zones", "DE"], "--hours must be a number above 0"),
        (["plan", "--deadline", "24h", "--zones", "DE"], "Missing option '--hours'; see carbon-ray plan --help"),
        (["nope"], "No such command 'nope'"),
        (["plan", "--nope"], "No such option"),
        (["plan", "--hours", "1e9", "--deadline", "24h", "--zones", "DE"], "more than 60 days of work"),
        (
            ["plan", "--hours", "1", "--deadline", "24h", "--zones", "DE", "--startup", "9999999d"],
            "more than 60 days; choose a shorter one",
        ),
        (["plan", "--hours", "1", "--deadline", "24h", "--zones", "DE", "--start", "0001-01-01T00:00Z"], "outside the years 1970 to 2100"),
        (["plan", "--hours", "1", "--deadline", "24h", "--zones", "DE", "--start", "9999-12-30T00:00Z"], "outside the years 1970 to 2100"),
        (["plan", "--hours", "1", "--deadline", "24h", "--zones", "DE", "--forecaster", "x"], "use one of ewma, lightgbm, linear"),
        (["policies", "--nope"], "No such option"),
        (["submit"], "Missing argument"),
        (["submit", "--working-dir", "absent", "--", "python", "x.py"], "is not a directory"),
        (["submit", "--name", "a b", "--", "python", "x.py"], "--name 'a b' may hold"),
        (["submit", "--address", "ftp://head:1", "--", "python", "x.py"], "not that of a dashboard"),
        (["submit", "--address", "head:port", "--", "python", "x.py"], "not that of a dashboard"),
        (["status", "--address", "head"], "is not host:port"),
        (["status", "--address", "ray://head:10001"], "has a scheme"),
        (["status", "--watch", "--json"], "exclude each other"),
        (["demo", "--zones", "XX"], "unknown grid zone 'XX'"),
        (["demo", "--start", "noon"], "is not an ISO 8601 instant"),
        (["demo", "--traces", "absent.csv"], "needs zones and a start"),
        (["demo", "--traces", "absent.csv", "--zones", "DE", "--start", START], "there is no such file"),
    ],
)
def test_bad_input(carbon_ray: Run, arguments: list[object], told: str) -> None:
    ran = carbon_ray(*arguments)
    assert told in ran.error
    assert ran.code == 2


def without_one(rows: Rows) -> Rows:
    return [row for row in rows if row[1] != "2024-05-02T07:00Z"]


def with_one_twice(rows: Rows) -> Rows:
    return [*rows, rows[40]]


def with_a_naive_time(rows: Rows) -> Rows:
    return [*rows[:-1], (rows[-1][0], rows[-1][1].removesuffix("Z"), *rows[-1][2:])]


def with_value(value: str) -> Callable[[Rows], Rows]:
    return lambda rows: [*rows[:-1], (*rows[-1][:2], value, rows[-1][3])]


MALFORMED = [
    (without_one, "a gap between 2024-05-02T06:00Z and 2024-05-02T08:00Z"),
    (with_one_twice, "is there twice"),
    (with_a_naive_time, "has no UTC offset"),
    (with_value("nan"), "row 240"),
    (with_value("-1"), "row 240"),
    (with_value(""), "row 240"),
    (lambda rows: [], "is empty"),
]
COMMANDS = {
    "forecast": ["forecast", "--zone", "A"],
    "plan": ["plan", "--hours", 1, "--deadline", "9h", "--zones", "A"],
    "demo": ["demo", "--zones", "A"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("spoil", "told"), MALFORMED)
def test_malformed_trace(carbon_ray: Run, write_trace: Run, rows: Rows, command: str, spoil: Callable[[Rows], Rows], told: str) -> None:
    ran = carbon_ray(*COMMANDS[command], "--start", "2024-05-04T00:00Z", "--traces", write_trace(spoil(rows)))
    assert "trace.csv: " in ran.error
    assert told in ran.error
    assert ran.code == 2


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2024-05-02T23:00Z", "choose one from 2024-05-03T00:00Z to 2024-05-06T00:00Z"),
        ("2024-05-06T01:00Z", "choose one from 2024-05-03T00:00Z to 2024-05-06T00:00Z"),
        (None, "a trace needs --start"),
    ],
)
def test_start_outside_the_trace(carbon_ray: Run, write_trace: Run, rows: Rows, start: str | None, told: str) -> None:
    arguments = ["forecast", "--zone", "A", "--traces", write_trace(rows), *(["--start", start] if start else [])]
    ran = carbon_ray(*arguments)
    assert told in ran.error
    assert ran.code == 2


def test_demo_start_outside_the_trace(carbon_ray: Run, write_trace: Run, rows: Rows) -> None:
    ran = carbon_ray("demo", "--traces", write_trace(rows), "--zones", "A,B", "--start", "2024-05-02T00:00Z")
    assert "not all of" in ran.error
    assert ran.code == 2


def test_zone_that_the_trace_lacks(carbon_ray: Run, write_trace: Run, rows: Rows) -> None:
    ran = carbon_ray("forecast", "--zone", "DE", "--traces", write_trace(rows), "--start", START)
    assert ran.error == "unknown grid zone 'DE'; known: A, B"


ON_A_CLUSTER = {
    "status": ["status"],
    "report": ["report", "run"],
    "submit": ["submit"],
}


def addressed(command: str, address: str) -> list[str]:
    words = [*ON_A_CLUSTER[command], "--address", address]
    return [*words, "--", "python", "train.py"] if command == "submit" else words


@pytest.mark.parametrize("command", ON_A_CLUSTER)
def test_no_cluster_at_the_address(carbon_ray: Run, command: str) -> None:
    begun_s = time.monotonic()
    ran = carbon_ray(*addressed(command, "127.0.0.1:1"))
    assert "no cluster at" in ran.error
    assert "nothing listens there" in ran.error
    assert ran.code == 1
    assert time.monotonic() - begun_s < 10


@contextmanager
def deaf_server() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_something_else_than_ray_at_the_address(carbon_ray: Run) -> None:
    with deaf_server() as address:
        begun_s = time.monotonic()
        ran = carbon_ray("status", "--address", address)
        assert "is not the GCS of a Ray head" in ran.error
        assert ran.code == 1
        assert time.monotonic() - begun_s < 20


def test_the_address_of_the_environment_counts(carbon_ray: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.255.255.1:notaport")
    assert "10.255.255.1:notaport" in carbon_ray("status").error
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    assert "no cluster at http://127.0.0.1:1:" in carbon_ray("submit", "--", "true").error


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("bad\n  field"), 2, "error: bad field\n"),
        (NoCapacityError("too large"), 2, "error: too large\n"),
        (LedgerError("not settled"), 1, "error: not settled\n"),
        (ClusterStartError("failed:\nthe log"), 1, "error: failed:\nthe log\n"),
        (KeyError("x"), 1, "error: unexpected KeyError: 'x'; run again with --debug for the traceback, and please report it\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_exit_codes(carbon_ray: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("carbon_ray.cli.grid_source.open_source", fail)
    ran = carbon_ray("forecast", "--zone", "DE")
    assert (ran.code, ran.out, ran.err) == (code, "", told)


@pytest.mark.parametrize("arguments", [["--debug", "forecast"], ["forecast", "--debug"]])
def test_debug_shows_the_traceback(carbon_ray: Run, arguments: list[str]) -> None:
    ran = carbon_ray(*arguments)
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("error: name a grid zone")


def test_debug_by_the_environment(carbon_ray: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBON_RAY_DEBUG", "1")
    assert "Traceback" in carbon_ray("forecast").err


def test_debug_of_a_submitted_command_is_its_own() -> None:
    assert cli._take_debug(["submit", "--", "train.py", "--debug"]) == (False, ["submit", "--", "train.py", "--debug"])
    assert cli._take_debug(["--debug", "submit", "train.py", "--debug"]) == (True, ["submit", "train.py", "--debug"])


def test_every_error_of_the_tree_is_told_in_one_line(carbon_ray: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def subclasses(cls: type[CarbonRayError]) -> list[type[CarbonRayError]]:
        return [cls, *(one for child in cls.__subclasses__() for one in subclasses(child))]

    plain = [one for one in subclasses(CarbonRayError) if one.__init__ is CarbonRayError.__init__ and one is not ClusterStartError]
    assert len(plain) > 8
    for cls in plain:

        def fail(*_: object, cls: type[CarbonRayError] = cls, **__: object) -> None:
            raise cls("first\nsecond")

        monkeypatch.setattr("carbon_ray.cli.grid_source.open_source", fail)
        assert carbon_ray("forecast", "--zone", "DE").error == "first second"


def test_version_and_help(carbon_ray: Run) -> None:
    assert carbon_ray("--version").out.startswith("carbon-ray 0.")
    for arguments in ([], ["--help"]):
        ran = carbon_ray(*arguments)
        assert ran.code == 0
        assert all(name in ran.out for name in ("demo", "forecast", "plan", "submit", "status", "report", "policies", "doctor"))


def entry(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed command, as a shell would run it."""
    command = Path(sys.executable).parent / "carbon-ray"
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60, env=env)


def test_the_installed_command() -> None:
    ran = entry("plan", "--hours", "2", "--deadline", "9h", "--zones", "DE,ES", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["zones"] == ["DE", "ES"]
    ran = entry("forecast", "--zone", "DEE")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: unknown grid zone 'DEE'; did you mean DE")
    assert ran.stderr.count("\n") == 1


def test_a_terminal_without_block_characters_gets_its_table() -> None:
    ran = entry("plan", "--hours", "2", "--deadline", "9h", "--zones", "DE", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert "Emissions" in ran.stdout


def test_the_command_starts_light() -> None:
    code = "import json, sys, carbon_ray.cli.main; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    heavy = {"ray", "pandas", "matplotlib", "pyarrow", "sqlalchemy", "pydantic", "grpc", "aiohttp", "lightgbm", "sklearn", "jinja2", "yaml"}
    assert set(json.loads(loaded)) & heavy == set()
