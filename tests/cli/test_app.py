from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from inline_snapshot import snapshot

import kronk_agent
from kronk_agent.cli.app import Root, app
from kronk_agent.cli.lazy_commands import LazyCommand
from kronk_agent.errors import ConfigError, ModelError


def failing_app(error: BaseException) -> Root:
    """The root command, with a command that fails in this way."""

    @click.command()
    def fail() -> None:
        raise error

    return Root(params=app.params, callback=app.callback, commands=[fail])


def test_the_help_lists_the_commands() -> None:
    result = CliRunner().invoke(app, ["--help"], prog_name="kronk-agent", terminal_width=80)
    assert result.stdout == snapshot("""\
Usage: kronk-agent [OPTIONS] COMMAND [ARGS]...

  Run an agent on your own machine: a local model with tools and MCP servers.

Options:
  --config PATH  Configuration file; `config path` prints the default.
  --debug        Show the log and tracebacks.
  --version      Show the version and exit.
  --help         Show this message and exit.

Commands:
  chat    Chat with the model, which may call tools.
  config  Write, check and show the configuration file.
  keys    Create, list and revoke API keys for the HTTP server.
  mcp     Manage MCP servers, and serve MCP.
  model   Show what a model can do.
  serve   Serve models and agents over HTTP.
  tools   List the tools or call one.
""")


@pytest.mark.parametrize("name", sorted(app.commands))
def test_what_the_help_says_of_a_command_leads_to_it(name: str) -> None:
    stand_in = app.commands[name]
    assert isinstance(stand_in, LazyCommand)
    assert stand_in.load().name == name
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_version_prints_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"], prog_name="kronk-agent")
    assert (result.stdout, result.exit_code) == (f"kronk-agent {kronk_agent.__version__}\n", 0)


def test_the_package_runs_as_a_module() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "kronk_agent", "--version"], capture_output=True, text=True
    )
    assert run.stdout.endswith(f" {kronk_agent.__version__}\n")


def test_an_unknown_command_is_told_with_the_nearest_one() -> None:
    result = CliRunner().invoke(app, ["chatt"])
    assert result.exit_code == 2
    assert "No such command 'chatt'. Did you mean 'chat'?" in result.stderr


@pytest.mark.parametrize(
    ("error", "said", "exit_code"),
    [
        (ModelError("no\n such file"), "error: no such file\n", 1),
        (ExceptionGroup("g", [ModelError("corrupt")]), "error: corrupt\n", 1),
        (ConfigError("wrong", path="a.yaml", line=3), "error: a.yaml:3: wrong\n", 2),
        (
            ConfigError.together([ConfigError("wrong"), ConfigError("bad", key="model")]),
            "error: wrong\nerror: model: bad\n",
            2,
        ),
        (
            ZeroDivisionError("by zero"),
            "internal error: ZeroDivisionError: by zero (run with --debug for the traceback)\n",
            1,
        ),
        (KeyboardInterrupt(), "", 130),
        (click.exceptions.Exit(3), "", 3),
        (SystemExit(4), "", 4),
        (BrokenPipeError(32, "Broken pipe"), "", 1),
    ],
)
def test_every_failure_is_a_line_and_an_exit_code(
    error: BaseException, said: str, exit_code: int
) -> None:
    result = CliRunner().invoke(failing_app(error), ["fail"])
    assert (result.stdout, result.stderr, result.exit_code) == ("", said, exit_code)


def test_a_usage_error_names_the_help() -> None:
    result = CliRunner().invoke(app, ["chat", "--nonsense"])
    assert result.exit_code == 2
    assert "chat --help" in result.stderr
    assert "--nonsense" in result.stderr


@pytest.mark.parametrize("error", [ModelError("corrupt"), ZeroDivisionError("by zero")])
def test_debug_shows_the_traceback_before_the_line(error: Exception) -> None:
    result = CliRunner().invoke(failing_app(error), ["--debug", "fail"])
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    last_line = result.stderr.splitlines()[-1]
    assert last_line.endswith(f"error: {error}") or last_line.endswith(f"Error: {error}")
    assert result.exit_code == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kronk_agent", "config", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
