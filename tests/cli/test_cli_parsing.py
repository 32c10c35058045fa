"""Spans, instants and lists as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbon_ray.cli import parsing
from carbon_ray.cli.connection import HostPort, parse_host_port
from carbon_ray.core.errors import ConfigError

T0 = datetime(2024, 5, 7, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(hours=24)),
        ("2d", timedelta(days=2)),
        ("45s", timedelta(seconds=45)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("0m", timedelta(0)),
    ],
)
def test_span(text: str, expected: timedelta) -> None:
    assert parsing.span(text, "--x") == expected
    assert parsing.span_or_instant(text, "--x", T0) == T0 + expected


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1 h", "1w", "1e3h", "nan", "99999999999d"])
def test_no_span(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--x .*write 90m, 24h or 2d"):
        parsing.span(text, "--x")


@pytest.mark.parametrize("text", ["2024-05-08T16:00Z", "2024-05-08T18:00+02:00"])
def test_instant(text: str) -> None:
    assert parsing.instant(text, "--x") == T0 + timedelta(days=1)
    assert parsing.span_or_instant(text, "--x", T0) == T0 + timedelta(days=1)


@pytest.mark.parametrize("text", ["2024-05-08", "2024-05-08T16:00", "tomorrow", "24", "-1h", "9999999d"])
def test_neither_span_nor_instant(text: str) -> None:
    with pytest.raises(ConfigError, match="--x"):
        parsing.span_or_instant(text, "--x", T0)


def test_names() -> None:
    assert parsing.names("DE, ES,DE,,", "--zones") == ("DE", "ES")
    for text in ("", " , "):
        with pytest.raises(ConfigError, match="--zones names nothing"):
            parsing.names(text, "--zones")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_are_not_above_zero(value: float) -> None:
    with pytest.raises(ConfigError, match="--hours must be a number above 0"):
        parsing.above_zero(value, "--hours")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("head:6379", HostPort("head", 6379)),
        ("10.0.0.5:1", HostPort("10.0.0.5", 1)),
        ("[::ffff:127.0.0.1]:26400", HostPort("::ffff:127.0.0.1", 26400)),
    ],
)
def test_host_and_port_there_and_back(text: str, expected: HostPort) -> None:
    assert parse_host_port(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "head", ":6379", "head:", "head:0", "head:65536", "head:6379/x", "head:six", "//head:1", "head:²"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(ConfigError, match="is not host:port"):
        parse_host_port(text)
