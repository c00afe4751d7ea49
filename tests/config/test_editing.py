"""Putting servers into a person's file: nothing else in it may change."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kronk_agent.config.data_files import read_shipped
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.mcp_server import McpServerConfig
from kronk_agent.config.yaml.editing import with_servers, without_server, write_config
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject

NEW: JsonObject = {"command": "uvx", "args": ["x", "a: b", "${X}"], "env": {"K": "#1"}}
BLOCK = """\
  new:
    command: uvx
    args: [x, 'a: b', '${X}']
    env:
      K: '#1'
"""

FILES = {
    "no file yet": ("", "mcp_servers:\n" + BLOCK),
    "no servers yet": ("model: x # mine", "model: x # mine\n\nmcp_servers:\n" + BLOCK),
    "only comments": (
        "mcp_servers: # here\n  # a: {}\nmodel: x\n",
        f"mcp_servers: # here\n{BLOCK}  # a: {{}}\nmodel: x\n",
    ),
    "empty braces": ("mcp_servers: {}\nmodel: x\n", f"mcp_servers:\n{BLOCK}model: x\n"),
    "another before": (
        "mcp_servers:\n  a: # why\n    command: x\n    args:\n    - b # c\n  # below\nmodel: x\n",
        "mcp_servers:\n  a: # why\n    command: x\n    args:\n    - b # c\n"
        + BLOCK
        + "  # below\nmodel: x\n",
    ),
    "a block text before": (
        "mcp_servers:\n  a:\n    command: x\n    description: |\n      one\n\n      two\n# end",
        "mcp_servers:\n  a:\n    command: x\n    description: |\n      one\n\n      two\n"
        + BLOCK
        + "# end",
    ),
    "another indentation": (
        "mcpServers:\n    a: {command: x}",
        "mcpServers:\n    a: {command: x}\n"
        + "".join(f"  {line}" for line in BLOCK.splitlines(keepends=True)),
    ),
    "in braces": (
        "mcp_servers: {a: {command: x}} # c\n",
        'mcp_servers: {"new": {"command": "uvx", "args": ["x", "a: b", "${X}"], '
        '"env": {"K": "#1"}}, a: {command: x}} # c\n',
    ),
    "JSON": (
        '{"model": "x"}',
        '{"mcp_servers": {"new": {"command": "uvx", "args": ["x", "a: b", "${X}"], '
        '"env": {"K": "#1"}}}, "model": "x"}',
    ),
    "empty JSON": (
        "{}\n",
        '{"mcp_servers": {"new": {"command": "uvx", "args": ["x", "a: b", "${X}"], '
        '"env": {"K": "#1"}}}}\n',
    ),
}


@pytest.mark.parametrize(("before", "after"), FILES.values(), ids=FILES)
def test_a_server_is_put_in_and_nothing_else_changes(file: Path, before: str, after: str) -> None:
    text = with_servers(before, {"new": NEW}, file)

    assert text == after
    file.write_text(text)
    server = load_config(file, environ={"X": "y"}).mcp_servers["new"]
    assert server == McpServerConfig(command="uvx", args=("x", "a: b", "y"), env={"K": "#1"})


@pytest.mark.parametrize("before", [before for before, _ in FILES.values()], ids=FILES)
def test_a_server_taken_out_leaves_what_was_there(file: Path, before: str) -> None:
    without = without_server(with_servers(before, {"new": NEW}, file), "new", file)

    assert "new" not in without
    file.write_text(without)
    servers = load_config(file, environ={}).mcp_servers
    file.write_text(before)
    assert servers == load_config(file, environ={}).mcp_servers
    assert [line for line in without.splitlines() if "#" in line] == [
        line for line in before.splitlines() if "#" in line
    ]


def test_the_shipped_file_comes_back_byte_by_byte(file: Path) -> None:
    shipped = read_shipped("default.yaml")

    edited = with_servers(shipped, {"a": NEW, "b": NEW}, file)

    assert without_server(without_server(edited, "a", file), "b", file) == shipped


def test_a_server_of_the_same_name_is_replaced_where_it_is_the_only_one(file: Path) -> None:
    before = "mcp_servers:\n  a: {command: x}\n  new: {command: old}\n  b: {command: y}\n"

    after = with_servers(before, {"new": {"command": "z"}}, file)

    assert after == ("mcp_servers:\n  a: {command: x}\n  b: {command: y}\n  new:\n    command: z\n")


def test_the_last_and_the_first_in_braces_can_be_taken_out(file: Path) -> None:
    text = "mcp_servers: {a: {command: x}, b: {command: y}, c: {command: z}}"

    assert without_server(text, "a", file) == "mcp_servers: {b: {command: y}, c: {command: z}}"
    assert without_server(text, "c", file) == "mcp_servers: {a: {command: x}, b: {command: y}}"
    assert without_server(text, "d", file) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mcp_servers: [a]", "1: mcp_servers: must be a mapping, such as {}"),
        ("model: a: b", "1: not valid YAML: mapping values are not allowed here"),
        ("[a]", "1: the file must be a mapping"),
    ],
)
def test_a_file_that_cannot_be_edited_is_told(file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_servers(text, {"new": NEW}, file)

    assert str(caught.value).startswith(f"{file}:{message}")


def test_the_file_keeps_its_mode_and_a_new_one_is_private(tmp_path: Path) -> None:
    shared, link, new = tmp_path / "s.yaml", tmp_path / "l.yaml", tmp_path / "new" / "n.yaml"
    shared.write_text("model: x")
    shared.chmod(0o644)
    link.symlink_to(shared)

    write_config(link, "model: y")
    write_config(new, "model: z")

    assert link.is_symlink()
    assert (shared.read_text(), stat.S_IMODE(shared.stat().st_mode)) == ("model: y", 0o644)
    assert (new.read_text(), stat.S_IMODE(new.stat().st_mode)) == ("model: z", 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.yaml", "new", "s.yaml"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot be written: "):
        write_config(tmp_path / "file" / "x.yaml", "")
