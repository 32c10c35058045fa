"""Opening the database behind the books, its transactions, and its errors in words that say what to do.

SQLite runs in write-ahead mode: any number of processes read while one writes, and a writer waits its turn instead of
failing. No statement about workloads stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import Table

from carbon_ray.books import schema
from carbon_ray.core.errors import ConfigError

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another one; far above the milliseconds that a transaction of the ledger takes."""

_WRITES = "carbon_ray_writes"


class Database:
    """An open database that holds a ledger, made on first use.

    Args:
        url_or_path: SQLAlchemy URL (`postgresql+psycopg://...`), or path of a SQLite file; its directory is made.
        create: False to refuse a file that is not there, for readers.

    Raises:
        ConfigError: The database cannot be opened, is damaged, or holds something else.
    """

    def __init__(self, url_or_path: str | Path, *, create: bool = True) -> None:
        url = str(url_or_path)
        if "://" not in url:
            path = Path(url_or_path).expanduser().absolute()
            if not create and not path.exists():
                raise ConfigError(f"there is no ledger at {path}; name the file that the cluster writes, or run a workload first")
            with _told_as_config_error(str(path)):
                path.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{path}"
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise ConfigError("the ledger's URL cannot be read; write the path of a SQLite file, or postgresql+psycopg://...") from error
        self.name = parsed.database if parsed.get_backend_name() == "sqlite" and parsed.database else parsed.render_as_string()
        with self._errors():
            self._engine = _engine(url)
        if self._engine.dialect.name not in ("sqlite", "postgresql"):
            raise ConfigError(f"ledger {self.name}: {self._engine.dialect.name} is not supported; use a SQLite file or a PostgreSQL URL")
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        with self.reading() as connection:
            tables = set(inspect(connection).get_table_names())
            found = None
            if schema.meta.name in tables and {column["name"] for column in inspect(connection).get_columns(schema.meta.name)} == {
                "key",
                "value",
            }:
                query = select(schema.meta.c.value).where(schema.meta.c.key == schema.FORMAT_KEY)
                found = connection.execute(query).scalar_one_or_none()
        if found == schema.FORMAT:
            return
        if found is not None:
            raise ConfigError(
                f"ledger {self.name} is of format {found!r}, not {schema.FORMAT!r}; use the carbon_ray that wrote it, or another file"
            )
        if tables - set(schema.metadata.tables):
            raise ConfigError(f"{self.name} is a database of something else, not a carbon_ray ledger; name another file for the ledger")
        with self.writing() as connection:
            schema.metadata.create_all(connection)
            line = {"key": schema.FORMAT_KEY, "value": schema.FORMAT}
            connection.execute(self.insert(schema.meta).values(line).on_conflict_do_nothing())

    def insert(self, table: Table) -> sqlite.Insert:
        """An INSERT of this database that can say ON CONFLICT; SQLite and PostgreSQL spell and type it alike."""
        statement: Any = postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)
        return statement  # type: ignore[no-any-return]  # the two classes share their methods, not a base that names them

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database throughout."""
        # In SQLite every transaction reads one state; PostgreSQL has to be asked for it.
        options = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self._errors(), self._engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it is stored, or on any error nothing."""
        with self._errors(), self._engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Release the files. Another use opens them again."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _told_as_config_error(self.name):
            yield


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own implicit BEGIN comes too late for a read-then-write
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A writer takes the lock before it reads; taken later, SQLite refuses at once where another has written meanwhile.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")

    return engine


@contextmanager
def _told_as_config_error(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise ConfigError(f"ledger {name}: {_advice(str(error.orig))}") from error
    except NoSuchModuleError as error:
        raise ConfigError(f"ledger {name}: {error}; write the path of a SQLite file, or postgresql+psycopg://...") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"ledger {name}: the database driver {error.name} is not installed; install it with pip install {error.name}"
        ) from error
    except SQLAlchemyError as error:
        raise ConfigError(f"ledger {name}: {error}; check the URL and the database") from error
    except OSError as error:
        raise ConfigError(f"ledger {name}: {error.strerror}; name a file in a directory that can be written") from error


def _advice(problem: str) -> str:
    if "not a database" in problem or "malformed" in problem:
        return f"the file is damaged or no SQLite database ({problem}); restore a copy of it, or move it away to begin a new ledger"
    if "locked" in problem:
        return f"another process has kept it locked for {BUSY_TIMEOUT_S:.0f} s; let that process end, then try again"
    if "unable to open" in problem or "readonly" in problem:
        return f"it cannot be opened for writing ({problem}); name a file in a directory that can be written"
    return f"the database refused ({problem.strip()}); check that it is a carbon_ray ledger and that its disk has room"
