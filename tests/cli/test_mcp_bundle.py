"""``kronk-agent mcp bundle``, and the server its file starts."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result
from limits import seconds
from mcp import Client, StdioServerParameters

import kronk_agent
from kronk_agent.cli.app import app

PROGRAM = str(Path(sys.executable).parent / "kronk-agent")
MANIFEST = {
    "manifest_version": "0.3",
    "name": "kronk-agent",
    "display_name": "kronk-agent",
    "version": kronk_agent.__version__,
    "description": "A local agent: it searches and reads the web, and uses your MCP servers.",
    "author": {"name": "kronk-agent"},
    "license": "Apache-2.0",
    "server": {
        "type": "binary",
        "entry_point": PROGRAM,
        "mcp_config": {"command": PROGRAM, "args": ["mcp", "serve"]},
    },
    "tools_generated": True,
    "prompts_generated": True,
}


@pytest.fixture(autouse=True)
def _own_folders(own_folders: None) -> None:
    """Nothing is read of the person who runs the tests."""


def bundle(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mcp", "bundle", *arguments])


def unzipped(file: Path, folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["manifest.json"]
        archive.extractall(folder)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return manifest


def test_without_a_configuration_the_server_looks_for_one_itself(tmp_path: Path) -> None:
    file = tmp_path / "kronk.mcpb"

    done = bundle(str(file))

    assert done.exit_code == 0
    assert done.stderr == f"wrote {file}; open it with Claude Desktop\n"
    assert unzipped(file, tmp_path / "extension") == MANIFEST


async def test_the_server_starts_by_what_the_manifest_says(tmp_path: Path) -> None:
    config = tmp_path / "of mine" / "kronk.yaml"
    config.parent.mkdir()
    config.write_text("serve_mcp: {expose: [ask_agent, list_models]}\n")
    file = tmp_path / "kronk.mcpb"

    done = bundle(str(file), "--config", str(config))

    assert done.exit_code == 0
    manifest = unzipped(file, tmp_path / "extension")
    args = ["--config", "${user_config.config}", "mcp", "serve"]
    assert manifest == {
        **MANIFEST,
        "server": {
            "type": "binary",
            "entry_point": PROGRAM,
            "mcp_config": {"command": PROGRAM, "args": args},
        },
        "user_config": {
            "config": {
                "type": "file",
                "title": "Configuration",
                "description": "The YAML configuration file of kronk-agent.",
                "required": False,
                "default": str(config),
            }
        },
    }
    start = manifest["server"]["mcp_config"]
    chosen = manifest["user_config"]["config"]["default"]
    server = StdioServerParameters(
        command=start["command"],
        args=[arg.replace("${user_config.config}", chosen) for arg in start["args"]],
        cwd=tmp_path / "extension",
    )
    with anyio.fail_after(seconds(30)):
        async with Client(server) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
    assert tools == ["ask_agent", "list_models"]


def test_only_a_file_that_claude_desktop_knows_is_written(tmp_path: Path) -> None:
    named_wrong = bundle(str(tmp_path / "kronk.zip"))
    nowhere = bundle(str(tmp_path / "no" / "kronk.mcpb"))
    (tmp_path / "kronk.yaml").write_text("serve_mcp: {expose: 1}\n")
    mistaken = bundle(str(tmp_path / "kronk.mcpb"), "--config", str(tmp_path / "kronk.yaml"))

    assert [done.exit_code for done in (named_wrong, nowhere, mistaken)] == [2, 2, 2]
    assert "must end in .mcpb" in named_wrong.stderr
    assert "kronk.mcpb: cannot be written: No such file or directory" in nowhere.stderr
    assert "serve_mcp.expose" in mistaken.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kronk.yaml"]
