"""The database connection: opening, migrations and transactions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import platformdirs
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from anyio import CancelScope
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_random

from kronk_agent.errors import StoreError
from kronk_agent.redaction import Redactor

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_BUSY_SECONDS = 30
"""Seconds a transaction waits for one of another process."""
_BACKUP = "restore a backup, or move the file away to start over"
_REMEDIES = {
    "not a database": _BACKUP,
    "malformed": _BACKUP,
    "already exists": _BACKUP,
    "no such table": _BACKUP,
    "content is invalid": _BACKUP,
    "is full": "free space on its disk",
    "disk I/O error": "check whether its disk is full or broken",
    "readonly": "give kronk-agent write permission",
    "unable to open": "give kronk-agent read and write permission for the file and its directory",
    "is locked": "another program uses it; try again",
}
"""Remedies by parts of SQLite's error messages."""
_MIGRATION_LOCK = 7_205_759
"""Key of PostgreSQL's advisory lock during migrations; any number, the same everywhere."""


class Database:
    """Runs transactions on an engine. Each is short, completes, and cannot be cancelled midway."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer; waiting here is cheaper than retrying in its busy handler.
        self._writing = anyio.Lock()
        # An in-memory database has one connection, so its readers wait for each other too.
        self._is_in_memory = self._is_sqlite and engine.url.database in (None, "", ":memory:")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str | None) -> AsyncIterator[Database]:
        """Connect and migrate the tables.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://...``; None means a SQLite file in the user's
                data directory.

        Raises:
            StoreError: the database is unreachable, not writable, or was written by a newer
                version.
        """
        engine = _create_engine(url)
        try:
            database = cls(engine)
            async with database.write() as connection:
                await connection.run_sync(_migrate)
            yield database
        finally:
            with CancelScope(shield=True):
                await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a read transaction with a consistent view.

        Raises:
            StoreError: the database failed.
        """
        async with self._transaction(is_write=False) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction: all changes are stored, or none.

        Raises:
            StoreError: the database failed.
        """
        async with self._transaction(is_write=True) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, *, is_write: bool) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            if self._is_in_memory or (self._is_sqlite and is_write):
                await stack.enter_async_context(self._writing)
            # Shielded: cancellation would leave the connection in an unknown state.
            stack.enter_context(CancelScope(shield=True))
            try:
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.execution_options(kronk_write=is_write)
                async with connection.begin():
                    yield connection
            except (SQLAlchemyError, OSError, ValueError, RecursionError) as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> StoreError:
        url = self._engine.url
        # Without the query, which may also contain a password.
        shown = url.set(query={}).render_as_string(hide_password=True)
        location = url.database if self._is_sqlite else shown
        message = Redactor([url.password])(_database_message(error))
        return StoreError(f"session store {location} failed: {message}{_remedy(message)}")


def default_path() -> Path:
    """Return the path of the SQLite file in the user's data directory."""
    return platformdirs.user_data_path("kronk-agent", appauthor=False) / "sessions.db"


def _create_engine(url: str | None) -> AsyncEngine:
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        try:
            return create_async_engine(parsed, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise StoreError(
                "PostgreSQL requires an extra package: pip install 'kronk-agent[postgres]'"
            ) from error
    if parsed.database and parsed.database != ":memory:":
        _make_private(Path(parsed.database))
    engine = create_async_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _parsed(url: str | None) -> URL:
    if url is None:
        return URL.create("sqlite+aiosqlite", database=str(default_path()))
    try:
        parsed = make_url(url)
        return parsed.set(drivername=_DRIVERS[parsed.drivername])
    except (ArgumentError, KeyError, NoSuchModuleError):
        # The URL is not repeated: it may contain a password.
        raise StoreError(
            "sessions.url must be sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from None


def _make_private(path: Path) -> None:
    """Create the file readable by its owner only; SQLite's other files get the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"session store {path} cannot be written: {error.strerror}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we send BEGIN ourselves
    cursor = connection.cursor()
    # If two processes switch a new file to WAL at the same time, SQLite reports to one of them at
    # once that it is locked, whatever its timeout.
    retrying = Retrying(
        retry=retry_if_exception_message(match="database is locked"),
        wait=wait_random(0.01, 0.05),
        stop=stop_after_delay(_BUSY_SECONDS),
        sleep=lambda seconds: await_only(anyio.sleep(seconds)),
        reraise=True,
    )
    retrying(cursor.execute, "PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes the lock at once: after a read it could not wait for it.
    is_write = connection.get_execution_options().get("kronk_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
    try:
        command.upgrade(migrations(connection), "head")
    except CommandError as error:
        raise StoreError(
            f"the session store was written by a newer kronk-agent ({error}): "
            "use that version, or another sessions.url"
        ) from error


def migrations(connection: Connection | None = None) -> AlembicConfig:
    """Return the Alembic configuration for a connection."""
    config = AlembicConfig()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _database_message(error: Exception) -> str:
    """Return the database's message without the statement and its private values."""
    if isinstance(error, ValueError | RecursionError):
        return "its content is invalid"
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _remedy(message: str) -> str:
    return next((f": {remedy}" for sign, remedy in _REMEDIES.items() if sign in message), "")
