"""The database under the store: how it is made, upgraded and shared, and what it survives."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from anyio import to_process
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kronk_agent.config.loading import load_config
from kronk_agent.errors import ConfigError, StoreError
from kronk_agent.messages import Message
from kronk_agent.runtime import Runtime
from kronk_agent.sessions import SessionStore, StoredResponse
from kronk_agent.sessions.database import migrations
from kronk_agent.sessions.schema import metadata

IN_FILES = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)

KILLED_HALFWAY = """
import os, signal, sys, anyio
from sqlalchemy import insert
from kronk_agent.messages import Message
from kronk_agent.sessions import SessionStore, StoredResponse
from kronk_agent.sessions.database import Database
from kronk_agent.sessions.schema import messages

async def main():
    async with SessionStore.open(sys.argv[1]) as store:
        await store.create_session("conv_1")
        await store.append("conv_1", [Message.user("kept")])
        response = StoredResponse(id="resp_1", status="in_progress", body={}, session_id="conv_1")
        await store.begin_response(response)
        async with store._database.write() as connection:
            row = {"session_id": "conv_1", "body": {"role": "user", "content": []}}
            await connection.execute(insert(messages), [row] * 1000)
            os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def engine(url: str) -> AsyncEngine:
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    scheme, _, rest = url.partition(":")
    return create_async_engine(f"{driver[scheme]}:{rest}")


def migrate_to(connection: Connection, revision: str) -> None:
    command.upgrade(migrations(connection), revision)


def differences(connection: Connection) -> list[object]:
    found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
    return found


async def append_some(url: str) -> None:
    async with SessionStore.open(url) as store:
        for number in range(20):
            assert await store.append("conv_1", [Message.user(str(number))] * 3)


def append_some_in_a_process(url: str) -> None:
    anyio.run(append_some, url)


@IN_FILES
async def test_the_migrations_make_the_tables_of_the_schema(url: str) -> None:
    async with SessionStore.open(url):
        pass

    looking = engine(url)
    async with looking.connect() as connection:
        assert await connection.run_sync(differences) == []
    await looking.dispose()


@IN_FILES
async def test_an_older_database_is_upgraded_with_what_is_in_it(url: str) -> None:
    older = engine(url)
    said = '{"role": "user", "content": [{"type": "text", "text": "hello"}]}'
    async with older.begin() as connection:
        await connection.run_sync(migrate_to, "v1")
        for statement in (
            "INSERT INTO sessions VALUES ('conv_1', '', 'Title', '{}', 1.5, 2.5)",
            f"INSERT INTO messages (session_id, body) VALUES ('conv_1', '{said}')",
            "INSERT INTO items (session_id, body) VALUES ('conv_1', '{\"type\": \"message\"}')",
        ):
            await connection.execute(text(statement.replace(":", "\\:")))
    await older.dispose()

    async with SessionStore.open(url) as store:
        assert await store.messages("conv_1") == [Message.user("hello")]
        assert await store.items("conv_1") == [{"type": "message"}]
        await store.begin_response(
            StoredResponse(id="resp_1", status="in_progress", body={}, session_id="conv_1")
        )
        await store.finish_response(
            "resp_1", status="completed", body={}, said=[Message.assistant("hi")]
        )
        assert [m.text for m in await store.messages("conv_1")] == ["hello", "hi"]


@IN_FILES
async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    async with SessionStore.open(url):
        pass
    newer = engine(url)
    async with newer.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'v999'"))
    await newer.dispose()

    with pytest.raises(StoreError, match=r"written by a newer kronk-agent .*'v999'"):
        async with SessionStore.open(url):
            pass


@IN_FILES
async def test_several_processes_share_it_from_the_first_moment(url: str) -> None:
    async def create() -> None:
        async with SessionStore.open(url) as store:
            await store.create_session("conv_1")

    await create()
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(to_process.run_sync, append_some_in_a_process, url)
        tasks.start_soon(append_some, url)

    async with SessionStore.open(url) as store:
        said = [message.text for message in await store.messages("conv_1")]
    assert len(said) == 3 * 20 * 3
    assert all(len(set(said[n : n + 3])) == 1 for n in range(0, len(said), 3))


@IN_FILES
async def test_opening_an_empty_database_many_times_at_once_makes_it_once(url: str) -> None:
    async def open_it() -> None:
        async with SessionStore.open(url) as store:
            await store.sessions()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(open_it)


@IN_FILES
async def test_a_process_that_is_killed_halfway_leaves_what_was_whole(url: str) -> None:
    def run() -> int:
        killed = subprocess.run([sys.executable, "-c", KILLED_HALFWAY, url], check=False)
        return killed.returncode

    assert await anyio.to_thread.run_sync(run) == -9

    async with SessionStore.open(url) as store:
        assert await store.messages("conv_1") == [Message.user("kept")]
        unfinished = await store.response("resp_1")
        assert unfinished is not None
        assert unfinished.status == "in_progress"
        assert await store.append("conv_1", [Message.user("later")])


async def test_the_file_is_the_persons_own_and_nobody_elses(
    own_folders: None, tmp_path: Path
) -> None:
    async with Runtime.open(load_config(environ={})) as runtime:
        store = await runtime.sessions()
        await store.create_session("conv_1")
        assert await runtime.sessions() is store

        files = sorted((tmp_path / "data" / "kronk-agent").glob("sessions.db*"))
        assert files[0].name == "sessions.db"
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_relative_path_starts_at_the_configurations_folder(tmp_path: Path) -> None:
    file = tmp_path / "kronk.yaml"
    file.write_text("sessions: {url: 'sqlite:///mine/talk.db'}\n", encoding="utf-8")

    async with Runtime.open(load_config(file, environ={})) as runtime:
        await runtime.sessions()

    assert (tmp_path / "mine" / "talk.db").is_file()


@pytest.mark.parametrize("url", ["mysql://me:hunter2@db/x", "talk.db", "sqlite", ""])
def test_other_databases_are_refused_when_the_file_is_read(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kronk.yaml"
    file.write_text(f"sessions: {{url: '{url}'}}\n", encoding="utf-8")

    with pytest.raises(ConfigError) as error:
        load_config(file, environ={})

    assert str(error.value) == (
        f"{file}:1: sessions.url: must start with sqlite:/// or postgresql://"
    )


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError) as error:
        async with SessionStore.open(f"sqlite:///{tmp_path / 'file' / 'sessions.db'}"):
            pass

    assert str(error.value) == (
        f"session store {tmp_path / 'file' / 'sessions.db'} cannot be written: File exists"
    )


async def test_a_server_that_is_not_there_is_an_error_without_the_password(
    tmp_path: Path,
) -> None:
    with pytest.raises(StoreError, match=r"^session store postgresql.* failed: ") as error:
        async with SessionStore.open(f"postgresql://me:hunter2@/db?host={tmp_path}"):
            pass

    assert "hunter2" not in str(error.value)


async def test_a_broken_database_is_an_error_that_tells_nothing_private(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    async with SessionStore.open(url) as store:
        await store.create_session("conv_1")
        breaking = create_engine(url)
        with breaking.begin() as connection:
            connection.execute(text("DROP TABLE items"))
            connection.execute(text("DROP TABLE messages"))
        breaking.dispose()

        with pytest.raises(StoreError) as error:
            await store.append("conv_1", [Message.user("my secret")])

    assert str(error.value) == (
        f"session store {tmp_path / 'sessions.db'} failed: no such table: messages: "
        "restore a backup, or move the file away to start over"
    )
