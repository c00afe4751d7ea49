from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from kronk_agent.cli.app import app
from kronk_agent.cli.commands.chat import ChatOptions, converse, exit_code, read_question
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.cli.runner import Interrupts, run
from kronk_agent.config.schema.config import AgentConfig, Config, McpServerConfig, NamedAgentConfig
from kronk_agent.errors import EngineError, ServerUnavailableError, unwrap
from kronk_agent.messages import Message, RunEnd, RunFinished, Usage
from kronk_agent.runtime import Runtime
from kronk_agent.testing import ScriptedModel, Turn, call
from kronk_agent.tools import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask(
    turns: Sequence[Turn],
    *,
    as_json: bool = False,
    max_steps: int = 10,
    servers: dict[str, McpServerConfig] | None = None,
    wait_for_tools: bool = False,
) -> int:
    """The exit code of one question, answered by a script."""

    async def main(interrupts: Interrupts) -> int:
        config = Config(tools=(), agent=AgentConfig(max_steps=max_steps), mcp_servers=servers or {})
        async with Runtime.open(config, tools=[add], model=ScriptedModel(turns)) as runtime:
            return await converse(
                runtime,
                interrupts,
                Terminal(),
                question="What is 1 + 2?",
                as_json=as_json,
                wait_for_tools=wait_for_tools,
            )

    with pytest.raises(click.exceptions.Exit) as end:
        run(main)
    return end.value.exit_code


def chat(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(app, ["chat", *arguments], input=stdin)


def test_the_answer_alone_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code = ask([call("add", a=1, b=2), "It is 3."])
    out, err = capsys.readouterr()
    assert (out, code) == ("It is 3.\n", 0)
    assert 'call 1 add {"a": 1, "b": 2}\n' in err


SILENT = McpServerConfig(command="sleep", args=("600",))
GONE = McpServerConfig(command="no-such-program")
DEMO = McpServerConfig(command=sys.executable, args=("-m", "kronk_mcp_servers.demo"))


@pytest.mark.usefixtures("own_folders")
def test_a_slow_server_does_not_keep_the_answer_waiting() -> None:
    assert ask(["Three."], servers={"slow": SILENT}) == 0


@pytest.mark.usefixtures("own_folders")
def test_who_wants_the_tools_waits_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    servers = {"demo": DEMO, "gone": GONE}

    code = ask([call("demo__add", a=1, b=2), "3"], servers=servers, wait_for_tools=True)

    out, err = capsys.readouterr()
    assert (out, code) == ("3\n", 0)
    assert err.count("warning: MCP server 'gone' cannot start") == 1


@pytest.mark.usefixtures("own_folders")
def test_nothing_begins_without_a_required_server() -> None:
    required = GONE.model_copy(update={"required": True})

    with pytest.raises(ExceptionGroup) as raised:
        ask(["never"], servers={"gone": required})

    error = unwrap(raised.value)
    assert isinstance(error, ServerUnavailableError)
    assert str(error).startswith("MCP server 'gone' cannot start")


def test_json_alone_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code = ask([call("add", a=1, b=2), "It is 3."], as_json=True)
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["type"] for e in events if not e["type"].endswith("_delta")] == [
        "step_started",
        "tool_call_start",
        *["tool_call_arguments"] * sum(e["type"] == "tool_call_arguments" for e in events),
        "tool_call_end",
        "tool_started",
        "tool_finished",
        "step_finished",
        "step_started",
        "step_finished",
        "run_finished",
    ]
    assert "".join(e["text"] for e in events if e["type"] == "text_delta") == "It is 3."
    assert (err, code) == ("model: scripted\n", 0)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_that_fails_ends_with_1(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask([EngineError("the engine is gone")], as_json=as_json) == 1
    out, err = capsys.readouterr()
    if as_json:
        assert json.loads(out.splitlines()[-1])["error"] == "the engine is gone"
    else:
        assert (out, err) == ("", "model: scripted\nerror: the engine is gone\n")


def finished(reason: RunEnd, *messages: Message) -> RunFinished:
    return RunFinished(reason, messages, Usage(), steps=1)


ANSWER = Message.assistant("It is 3.")
RESULT = Message(role="tool", tool_call_id="c1", name="add")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (finished("stop", ANSWER), 0),
        (finished("length", ANSWER), 0),
        (finished("max_steps", ANSWER), 0),
        (finished("max_steps", Message.assistant(""), RESULT), 1),
        (finished("max_tool_calls", ANSWER), 0),
        (finished("error", ANSWER), 1),
        (finished("cancelled", ANSWER), 130),
    ],
)
def test_exit_codes(how: RunFinished, code: int) -> None:
    assert exit_code(how) == code


@pytest.mark.parametrize(
    ("flag", "value", "key"),
    [
        ("--max-steps", "0", "agent.max_steps"),
        ("--max-tokens", "0", "agent.max_tokens"),
        ("--temperature", "-1", "sampling.temperature"),
        ("--seed", "-1", "sampling.seed"),
    ],
)
def test_a_flag_out_of_its_range_is_named(flag: str, value: str, key: str) -> None:
    result = chat("-p", "x", flag, value)
    assert result.stderr.startswith(f"error: {flag}: {key}: ")
    assert (result.stdout, result.exit_code) == ("", 2)


@pytest.mark.parametrize(
    ("prompt", "piped", "question"),
    [
        ("Sum up:", b"", "Sum up:"),
        (None, b"a text\n", "a text\n"),
        ("Sum up:", b"a text\n", "Sum up:\n\na text\n"),
        ("Sum up:", b" \n", "Sum up:"),
        (None, b"\xff bytes", "\N{REPLACEMENT CHARACTER} bytes"),
    ],
)
def test_what_is_piped_in_follows_the_prompt(
    prompt: str | None, piped: bytes, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped)))
    assert read_question(prompt) == question


@pytest.mark.parametrize("prompt", [None, "x"])
def test_without_any_stdin_only_the_prompt_counts(
    prompt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    if prompt is None:
        with pytest.raises(click.UsageError, match="no prompt"):
            read_question(prompt)
    else:
        assert read_question(prompt) == prompt


@pytest.mark.parametrize("arguments", [[], ["-p", ""], ["-p", " "]])
def test_nothing_to_answer_is_a_usage_error(arguments: list[str]) -> None:
    result = chat(*arguments, stdin=" \n")
    assert "no prompt: give -p TEXT" in result.stderr
    assert result.exit_code == 2


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    result = CliRunner().invoke(app, ["--config", str(file), "chat", "-p", "x"])
    assert (
        result.stderr == f"error: {file}: file not found: `kronk-agent config init` creates one\n"
    )
    assert result.exit_code == 2


# --- agents ------------------------------------------------------------------------------------


@pytest.fixture
def with_agent(tmp_path: Path) -> Path:
    """A configuration with one more agent."""
    file = tmp_path / "config.yaml"
    file.write_text("agents:\n  mine: {max_steps: 2, tools: [shout]}\n")
    return file


def test_an_agent_that_there_is_not_is_named(with_agent: Path) -> None:
    result = chat("-p", "x", "--config", str(with_agent), "--agent", "mime", "--max-steps", "3")

    assert result.stderr == "error: unknown agent 'mime'; available: 'mine'\n"
    assert result.exit_code == 1


def test_a_flag_goes_before_what_the_agent_says(with_agent: Path) -> None:
    result = chat("-p", "x", "--config", str(with_agent), "--agent", "mine", "--max-steps", "0")

    assert result.stderr.startswith("error: --max-steps: agents.mine.max_steps: ")


def test_the_agent_that_was_chosen_answers(capsys: pytest.CaptureFixture[str]) -> None:
    model = ScriptedModel(["It is 3."])

    async def main(interrupts: Interrupts) -> int:
        config = Config(tools=(), agents={"mine": NamedAgentConfig(tools=("shout",))})
        async with Runtime.open(config, tools=[add], model=model) as runtime:
            return await converse(
                runtime,
                interrupts,
                Terminal(),
                question="What is 1 + 2?",
                as_json=False,
                chat_options=ChatOptions("mine"),
            )

    with pytest.raises(click.exceptions.Exit):
        run(main)
    assert model.requests[0].tools == ()
    assert capsys.readouterr().out == "It is 3.\n"
