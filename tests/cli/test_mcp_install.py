"""``kronk-agent mcp install`` as a person types it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kronk_agent.cli.app import app

Invoke = Callable[..., Result]
PROGRAM = str(Path(sys.executable).parent / "kronk-agent")


@pytest.fixture
def home(tmp_path: Path, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.chdir(home / "project")
    return home


def install(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["mcp", "install", *arguments], input=typed)


@pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")
@pytest.mark.parametrize(
    ("arguments", "path", "root", "entry"),
    [
        (["claude-desktop"], ".config/Claude/claude_desktop_config.json", "mcpServers", {}),
        (["claude-code"], ".claude.json", "mcpServers", {"type": "stdio"}),
        (["claude-code", "--project"], "project/.mcp.json", "mcpServers", {"type": "stdio"}),
        (["cursor"], ".cursor/mcp.json", "mcpServers", {}),
        (["cursor", "--project"], "project/.cursor/mcp.json", "mcpServers", {}),
        (["vscode"], ".config/Code/User/mcp.json", "servers", {"type": "stdio"}),
        (["vscode", "--project"], "project/.vscode/mcp.json", "servers", {"type": "stdio"}),
    ],
)
def test_each_client_gets_its_entry_where_it_looks_for_it(
    home: Path, arguments: list[str], path: str, root: str, entry: dict[str, str]
) -> None:
    first = install(*arguments, "--yes")
    again = install(*arguments, "--yes")

    assert (first.exit_code, again.exit_code) == (0, 0)
    written = {root: {"kronk-agent": {**entry, "command": PROGRAM, "args": ["mcp", "serve"]}}}
    assert json.loads((home / path).read_text()) == written
    assert "already has the entry kronk-agent" in again.stderr


def test_the_change_is_shown_and_the_old_file_kept(home: Path) -> None:
    (home / "kronk.yaml").write_text("tools: []\n")
    file = home / ".cursor/mcp.json"
    file.parent.mkdir()
    before = json.dumps({"mcpServers": {"time": {"command": "uvx"}}}, indent=4) + "\n"
    file.write_text(before)

    done = install("cursor", "--config", str(home / "kronk.yaml"), typed="y\n")

    assert done.exit_code == 0
    assert "+        }," in done.stdout
    assert f'+            "command": "{PROGRAM}"' in done.stdout
    servers = json.loads(file.read_text())["mcpServers"]
    assert servers["time"] == {"command": "uvx"}
    assert servers["kronk-agent"]["args"] == [
        "--config",
        str(home / "kronk.yaml"),
        "mcp",
        "serve",
    ]
    (backup,) = file.parent.glob("mcp.json.*.backup")
    assert backup.read_text() == before


def test_without_consent_nothing_is_written(home: Path) -> None:
    declined = install("cursor", typed="n\n")
    looked = install("cursor", "--dry-run")

    assert (declined.exit_code, looked.exit_code) == (1, 0)
    assert "Write it?" in declined.stderr
    assert not (home / ".cursor").exists()


def test_comments_are_lost_only_after_a_warning(home: Path) -> None:
    file = home / ".config/Code/User/mcp.json"
    file.parent.mkdir(parents=True)
    file.write_text('{\n  // mine\n  "servers": {},\n}\n')

    done = install("vscode", "--yes")

    assert "notice: comments in the file will be lost; the backup keeps them" in done.stderr
    assert "kronk-agent" in json.loads(file.read_text())["servers"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not valid JSON; not changed"),
        ("[]", "is not a JSON object; not changed"),
        ('{"mcpServers": []}', "mcpServers is not a mapping"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_left_alone(
    home: Path, text: str, words: str
) -> None:
    file = home / ".cursor/mcp.json"
    file.parent.mkdir()
    file.write_text(text)

    done = install("cursor", "--yes")

    assert done.exit_code == 2
    assert words in done.stderr
    assert file.read_text() == text


def test_claude_desktop_has_no_files_in_projects(home: Path) -> None:
    done = install("claude-desktop", "--project")

    assert done.exit_code == 2
    assert "Claude Desktop has no per-project configuration" in done.stderr
