"""Opening the books: good files, bad files, other databases."""

from __future__ import annotations

import sqlite3
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from carbon_ray.books import Ledger, schema
from carbon_ray.core.errors import ConfigError

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)


def test_directory_and_file_are_made_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ledger.db"
    with Ledger(path) as ledger:
        ledger.put_meta("clock", "x")
    with Ledger(str(path)) as ledger, Ledger(f"sqlite:///{path}", create=False) as other:
        assert ledger.get_meta("clock") == other.get_meta("clock") == "x"


def test_write_ahead_mode(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db"):
        pass
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_reader_does_not_make_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no ledger at .*absent\.db; name the file"):
        Ledger(tmp_path / "absent.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database " * 100)
    with pytest.raises(ConfigError, match=r"notes\.txt: the file is damaged or no SQLite database .* move it away"):
        Ledger(path)
    assert path.read_text().startswith("these are notes")


def test_damaged_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.put_meta("clock", "x")
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 8192)
    with pytest.raises(ConfigError, match=r"ledger\.db: .*damaged.*restore a copy"):
        Ledger(path)


@pytest.mark.parametrize(
    "table", ["CREATE TABLE songs (title TEXT)", "CREATE TABLE meta (key TEXT, value TEXT, note TEXT); CREATE TABLE songs (a)"]
)
def test_database_of_something_else_is_left_alone(tmp_path: Path, table: str) -> None:
    path = tmp_path / "music.db"
    connection = sqlite3.connect(path)
    connection.executescript(table)
    connection.close()
    with pytest.raises(ConfigError, match=r"music\.db is a database of something else.*name another file"):
        Ledger(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'segments'").fetchone() == (0,)
    connection.close()


def test_ledger_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = 'carbon_ray ledger 9'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigError, match=r"of format 'carbon_ray ledger 9', not 'carbon_ray ledger 1'"):
        Ledger(path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuchdb://user:secret@host/x", r"nosuchdb://user:\*\*\*@host/x.* write the path of a SQLite file"),
        ("secret://:x:", "URL cannot be read; write the path of a SQLite file"),
        ("postgresql+psycopg2://user:secret@host/x", "driver psycopg2 is not installed"),
    ],
)
def test_url_that_cannot_be_used(url: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ConfigError, match=told) as caught:
        Ledger(url)
    assert "secret" not in str(caught.value)


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="directory that can be written"):
        Ledger(tmp_path / "file" / "ledger.db")


def test_instants_keep_microseconds_and_their_text_sorts_like_time(tmp_path: Path) -> None:
    column = schema.Instant()
    instants = [T0 + timedelta(microseconds=step) for step in (0, 1, 10, 999_999, 1_000_000, 3_600_000_000)]
    texts = [column.process_bind_param(instant, sqlite.dialect()) for instant in instants]
    assert texts == sorted(text for text in texts if text is not None)
    assert {len(text) for text in texts if text is not None} == {27}
    assert [column.process_result_value(text, sqlite.dialect()) for text in texts] == instants


@pytest.mark.parametrize("instant", [T0.replace(tzinfo=None), T0.astimezone(timezone(timedelta(hours=2)))])
def test_other_instants_are_refused(instant: datetime) -> None:
    with pytest.raises(ValueError, match="aware UTC"):
        schema.Instant().process_bind_param(instant, sqlite.dialect())


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_can_be_made_in_postgresql(table: object) -> None:
    assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[arg-type]  # parametrised


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_quantities_name_their_unit(table: object) -> None:
    bare = [
        column.name
        for column in table.columns  # type: ignore[attr-defined]  # parametrised
        if type(column.type).__name__ == "Double" and not column.name.endswith(("_kwh", "gco2", "usd"))
    ]
    assert bare == []
