"""A project's ``.mcp.json`` starts nothing that the person has not seen and agreed to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram
from click.testing import CliRunner, Result

from kronk_agent.cli.app import app

# It leaves a file behind where it runs, and then is no MCP server.
EVIL = ["-c", "open('was-here', 'w')"]

Invoke = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    ask(folder, EVIL)
    return folder


def ask(folder: Path, args: list[str]) -> None:
    server = {"command": sys.executable, "args": args, "env": {"KEY": "${KEY:-k}"}, "timeout": 5000}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"helper": server}}))


@pytest.fixture
def run(tmp_path: Path, project: Path, own_folders: None) -> Invoke:
    file = tmp_path / "config.yaml"
    file.write_text("tools: []\n")

    def invoke(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, ["--config", str(file), *arguments], input=typed)

    return invoke


def request(project: Path) -> str:
    return (
        f"{project}/.mcp.json asks to run this program:\n\n"
        f"  {sys.executable} -c 'open('\"'\"'was-here'\"'\"', '\"'\"'w'\"'\"')'\n\n"
        f"  in {project}\n"
        "  with the variable KEY=${KEY:-k}\n"
        "  timeout: 5\n"
    )


def not_run(project: Path) -> str:
    return (
        f"warning: {project}/.mcp.json asks for the MCP server 'helper', which is not approved: "
        "`kronk-agent mcp approve helper` shows and approves it\n"
    )


def test_what_is_drawn_as_nothing_or_backwards_is_shown_as_a_number(
    run: Invoke, project: Path
) -> None:
    ask(project, ["-c", "safe # \u202e\u200b\x1b[2K"])

    shown = run("mcp", "approve", "helper", typed="n\n").stderr

    assert "-c 'safe # \\u{202e}\\u{200b}\\u{1b}[2K'" in shown


def test_nobody_to_ask_means_no(run: Invoke, project: Path) -> None:
    result = run("tools", "list")

    assert (result.stderr, result.exit_code) == (not_run(project), 0)
    assert not (project / "was-here").exists()


def test_approve_shows_the_exact_command_line_and_remembers_the_answer(
    run: Invoke, project: Path
) -> None:
    declined = run("mcp", "approve", "helper", typed="n\n")
    assert declined.stderr.startswith(request(project))
    assert declined.exit_code == 1
    assert run("tools", "list").stderr == ""
    assert not (project / "was-here").exists()

    assert run("mcp", "approve", "helper", typed="y\n").exit_code == 0
    run("tools", "list")
    assert (project / "was-here").exists()


def test_one_changed_letter_is_asked_about_again(run: Invoke, project: Path) -> None:
    run("mcp", "approve", "helper", "--yes")
    ask(project, [*EVIL, "more"])

    assert run("tools", "list").stderr == not_run(project)
    assert not (project / "was-here").exists()


def test_the_same_file_in_another_folder_is_another_request(
    run: Invoke, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("mcp", "approve", "helper", "--yes")
    other = project.parent / "other"
    other.mkdir()
    ask(other, EVIL)
    monkeypatch.chdir(other)

    assert run("tools", "list").stderr == not_run(other)
    assert not (other / "was-here").exists()


def test_list_tells_whose_servers_they_are(run: Invoke, project: Path) -> None:
    assert "helper  not approved (.mcp.json)  " in run("mcp", "list").stdout
    run("mcp", "approve", "helper", "--yes")
    assert "helper  approved (.mcp.json)  " in run("mcp", "list").stdout


def test_the_persons_own_server_hides_one_of_the_same_name(
    run: Invoke, project: Path, tmp_path: Path
) -> None:
    own = "mcp_servers: {helper: {command: no-such-program}}\ntools: []\n"
    (tmp_path / "config.yaml").write_text(own)

    assert "'no-such-program' was not found" in run("tools", "list").stderr
    assert not (project / "was-here").exists()


def test_a_file_that_is_no_json_is_told_and_does_no_harm(run: Invoke, project: Path) -> None:
    (project / ".mcp.json").write_text("{")

    result = run("tools", "list")

    assert result.stderr == f"warning: {project}/.mcp.json: is not valid JSON: see line 1\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(("typed", "is_run"), [("y", True), ("n", False)])
def test_a_person_at_a_terminal_is_asked_once(
    project: Path,
    tmp_path: Path,
    in_terminal: Callable[..., TerminalProgram],
    typed: str,
    is_run: bool,
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("tools: []\n")
    command = ("-m", "kronk_agent", "--config", str(file), "tools", "list")

    first = in_terminal(*command)
    first.expect(request(project))
    first.type(f"{typed}\r")
    first.end()
    assert (project / "was-here").exists() == is_run
    shown, _ = in_terminal(*command).end()

    assert "asks to run" not in shown
