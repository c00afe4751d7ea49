"""Damaged files of our own: nothing breaks or hangs, and an error says which file it is."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest
from api.support import running, scripted
from click.testing import CliRunner

from kronk_agent.cli.app import app
from kronk_agent.config.schema.config import Config, SessionsConfig
from kronk_agent.errors import StoreError
from kronk_agent.host.oauth.token_store import EncryptedFiles, TokenStoreError
from kronk_agent.messages import Message
from kronk_agent.sessions import SessionStore, StoredResponse
from kronk_tools.cache import Page, PageCache
from kronk_tools.reading.document import Document

pytestmark = pytest.mark.usefixtures("own_folders")

DOOR = "damaged files of our own"

Damage = Callable[[Path], object]

TRIES: Mapping[str, Damage] = {
    "empty": lambda file: file.write_bytes(b""),
    "cut off": lambda file: file.write_bytes(b'[{"name": "a", '),
    "zeros": lambda file: file.write_bytes(bytes(4096)),
    "noise": lambda file: file.write_bytes(bytes(range(256)) * 64),
    "nested lists": lambda file: file.write_bytes(b"[" * 100_000),
    "nested objects": lambda file: file.write_bytes(b'{"a":' * 100_000),
    "a number": lambda file: file.write_bytes(b"1"),
    "a huge number": lambda file: file.write_bytes(b"9" * 100_000),
    "null": lambda file: file.write_bytes(b"null"),
    "a list of other things": lambda file: file.write_bytes(b"[1, null, {}]"),
    "half a character": lambda file: file.write_bytes(b'{"a": "\\ud800"}'),
    "a folder": lambda file: file.mkdir(),
    "a symlink to itself": lambda file: file.symlink_to(file),
}
"""What has become of a file."""

IN_ROWS: Mapping[str, str] = {
    "cut off": "UPDATE messages SET body = '{'",
    "nested": f"UPDATE messages SET body = '{'[' * 100_000}'",
    "null": "UPDATE messages SET body = 'null'",
    "no UTF-8": "UPDATE messages SET body = x'ff'",
    "a part that is none": """UPDATE messages SET body = '{"role": "user", "content": [1]}'""",
    "calls that are none": """
        UPDATE messages SET body = '{"role": "user", "content": [], "tool_calls": 1}'""",
    "no tables of that name": "DROP TABLE messages",
}
"""What has become of a database that still is one."""

SERVER = {"command": sys.executable, "args": ["-m", "kronk_mcp_servers.demo"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that asks for a server, beside a configuration."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"helper": SERVER}}))
    (tmp_path / "config.yaml").write_text("tools: []\n")
    return folder


def told(folder: Path, *arguments: str) -> str:
    """What a command says, and how it ended; an internal error is a failure."""
    ended = CliRunner().invoke(
        app, ["--config", str(folder.parent / "config.yaml"), *arguments], catch_exceptions=False
    )
    assert "internal error" not in ended.stderr
    return f"{ended.exit_code} {ended.output}"


def damaged(file: Path, damage: Damage) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        file.unlink()
    damage(file)
    return file


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_the_file_of_keys_is_named_and_left_as_it_is(folder: Path, damage: Damage) -> None:
    file = damaged(folder.parent / "data" / "kronk-agent" / "keys.json", damage)
    content = file.read_bytes() if file.is_file() else None

    for command in (["list"], ["create", "b"], ["revoke", "a"]):
        said = told(folder, "keys", *command)
        assert said.startswith("2 ")
        assert str(file) in said
    assert (file.read_bytes() if file.is_file() else None) == content
    names = {each.name for each in file.parent.iterdir()}
    assert names <= {"keys.json", "keys.json.lock"}


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_the_configuration_is_named(folder: Path, damage: Damage) -> None:
    file = damaged(folder.parent / "config.yaml", damage)

    said = told(folder, "tools", "list")

    is_empty = file.is_file() and file.read_bytes() in (b"", b"null")
    assert is_empty or said.startswith(f"2 error: {file}:")


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_without_consents_nothing_was_agreed_to(folder: Path, damage: Damage) -> None:
    file = damaged(folder.parent / "kronk-agent" / "mcp" / "consents.json", damage)

    assert "which is not approved" in told(folder, "tools", "list")
    said = told(folder, "mcp", "approve", "helper", "--yes")
    if file.is_dir():
        assert f"error: {file}: cannot be written" in said
    else:
        assert "approved helper" in said
        assert "which is not approved" not in told(folder, "tools", "list")
    assert [each.name for each in file.parent.iterdir() if each.name != "pins"] == [file.name]


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_what_is_remembered_of_a_server_is_begun_anew(folder: Path, damage: Damage) -> None:
    config = json.dumps({"tools": [], "mcp_servers": {"demo": SERVER}})
    (folder.parent / "config.yaml").write_text(config)
    pins = damaged(folder.parent / "kronk-agent" / "mcp" / "pins" / "demo.json", damage)
    damaged(folder.parent / "cache" / "kronk-agent" / "mcp" / "demo.json", damage)

    said = told(folder, "tools", "list")

    assert "demo__add" in said
    assert str(pins) in said


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_a_login_is_named(tmp_path: Path, damage: Damage) -> None:
    logins = EncryptedFiles(tmp_path / "logins", tmp_path / "logins.key", None)
    logins.write("other", "kept")
    file = damaged(tmp_path / "logins" / "a.login", damage)

    with pytest.raises(TokenStoreError, match=str(file)):
        logins.read("a")
    assert logins.read("other") == "kept"


PAGE = Page("https://a.example/", 200, "text/plain", Document("Text."), read_at=0.0)


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
def test_a_cached_page_is_as_good_as_none(tmp_path: Path, damage: Damage) -> None:
    assert cached(tmp_path, damage) is None


@pytest.mark.parametrize(
    "harm", [{"read_at": "yesterday"}, {"status": []}, {"document": {"text": 1}}, {"x": 1}], ids=str
)
def test_a_cached_page_of_another_shape_is_as_good_as_none(
    tmp_path: Path, harm: dict[str, object]
) -> None:
    def reshape(file: Path) -> None:
        file.write_text(json.dumps({"url": "https://a.example/", **harm}))

    assert cached(tmp_path, reshape) is None


def cached(folder: Path, damage: Damage) -> Page | None:
    """What comes of a page whose file is damaged; another one is still there."""
    place = folder / "pages"
    written = PageCache(fresh_seconds=1, max_bytes=10**6, folder=place, clock=lambda: 0.0)
    written.put("a", PAGE)
    [file] = place.iterdir()
    written.put("b", PAGE)
    damaged(file, damage)
    read = PageCache(fresh_seconds=1, max_bytes=10**6, folder=place, clock=lambda: 0.0)
    assert read.get("b") == PAGE
    return read.get("a")


@pytest.mark.parametrize(("now", "is_fresh"), [(-1e9, False), (0.5, True), (1e9, False)])
def test_a_page_is_not_fresh_when_the_clock_has_jumped(now: float, is_fresh: bool) -> None:
    cache = PageCache(fresh_seconds=1, max_bytes=10**6, clock=lambda: now)

    assert cache.is_fresh(PAGE) is is_fresh
    assert cache.is_kept_for_reading(PAGE) is is_fresh


@pytest.mark.parametrize("damage", TRIES.values(), ids=TRIES)
async def test_the_database_is_named_and_the_server_goes_on(
    tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    file = damaged(tmp_path / "sessions.db", damage)
    # Which SQLite takes for a new database.
    is_new = file.is_file() and file.stat().st_size <= 1
    config = Config(tools=(), sessions=SessionsConfig(url=f"sqlite:///{file}"))

    async with running(scripted(["Hello."]), config=config) as server:
        kept = await server.post("/v1/conversations", items=[])
        said = await server.post("/v1/responses", model="scripted", input="Hi", store=False)
        health = await server.http.get("/health")

    assert (kept.status_code, said.status_code, health.status_code) == (
        200 if is_new else 500,
        200,
        200,
    )
    assert is_new or str(file) in caplog.text
    assert str(tmp_path) not in kept.text


@pytest.mark.parametrize("statement", IN_ROWS.values(), ids=IN_ROWS)
async def test_a_damaged_conversation_is_an_error_and_the_others_stay(
    tmp_path: Path, statement: str
) -> None:
    file = tmp_path / "sessions.db"
    async with SessionStore.open(f"sqlite:///{file}") as store:
        for id in ("conv_1", "conv_2"):
            await store.create_session(id)
            await store.append(id, [Message.user("Hello.")], shown=[{"id": id}])
    where = " WHERE session_id = 'conv_1'" if statement.lstrip().startswith("UPDATE") else ""
    await anyio.to_thread.run_sync(execute, file, statement + where)

    async with SessionStore.open(f"sqlite:///{file}") as store:
        with pytest.raises(StoreError, match=f"^session store {file} failed: .*: restore a backup"):
            await store.messages("conv_1")
        assert len(await store.sessions()) == 2
        assert await store.items("conv_2") == [{"id": "conv_2"}]
        if where:
            assert await store.messages("conv_2") == [Message.user("Hello.")]


@pytest.mark.parametrize("jump_seconds", [-1e9, 1e9])
async def test_a_response_whose_program_is_gone_is_lost_when_the_clock_has_jumped(
    tmp_path: Path, jump_seconds: float
) -> None:
    file = tmp_path / "sessions.db"
    async with SessionStore.open(f"sqlite:///{file}") as store:
        await store.begin_response(StoredResponse(id="resp_1", status="in_progress", body={}))
        begun = await store.response("resp_1")
        assert begun is not None
        assert not begun.is_lost
        jump = f"UPDATE responses SET alive_until = alive_until + {jump_seconds}"
        await anyio.to_thread.run_sync(execute, file, jump)
        left = await store.response("resp_1")

    assert left is not None
    assert left.is_lost


def execute(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()
