from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kronk_agent.cli.app import app

MY_TOOLS = '''
from kronk_agent import ToolContext, ToolError, ToolOutput, tool
from kronk_agent.messages import ImagePart, TextPart


@tool
def divide(a: float, b: float) -> dict[str, float]:
    """Divide two numbers.

    And a second paragraph.
    """
    if b == 0:
        raise ToolError("b must not be 0")
    return {"quotient": a / b}


@tool
def chart() -> ToolOutput:
    """Draw."""
    return ToolOutput((TextPart("a chart"), ImagePart(b"1234", "image/png")))


@tool
def fail() -> None:
    """Fail."""
    raise ValueError("no such row")


@tool
async def count(context: ToolContext) -> str:
    """Count."""
    context.report_progress(1, 2, "counting")
    return "2\\n"
'''
TOOLS = "tools: [./my_tools.py:divide, ./my_tools.py:chart, ./my_tools.py:count]\n"
MISSING_SERVER = "mcp_servers: {gone: {command: no-such-program}}\n"

Invoke = Callable[..., Result]


@pytest.fixture
def tools(tmp_path: Path, own_folders: None) -> Invoke:
    """Runs ``kronk-agent tools`` on a configuration; the tools' file lies beside it."""
    (tmp_path / "my_tools.py").write_text(MY_TOOLS)
    file = tmp_path / "config.yaml"

    def invoke(*arguments: str, config: str = TOOLS) -> Result:
        file.write_text(config)
        return CliRunner().invoke(app, ["--config", str(file), "tools", *arguments])

    return invoke


def outcome(result: Result) -> tuple[str, str, int]:
    return result.stdout, result.stderr, result.exit_code


def test_list_is_a_table_of_name_toolset_and_first_line(tools: Invoke) -> None:
    assert outcome(tools("list")) == (
        "NAME    TOOLSET      DESCRIPTION\n"
        "divide  kronk-agent  Divide two numbers.\n"
        "chart   kronk-agent  Draw.\n"
        "count   kronk-agent  Count.\n",
        "",
        0,
    )


def test_list_as_json_has_the_schemas(tools: Invoke) -> None:
    result = tools("list", "--json", config="tools: [./my_tools.py:divide]\n")
    assert json.loads(result.stdout) == [
        {
            "name": "divide",
            "toolset": "kronk-agent",
            "description": "Divide two numbers.\n\nAnd a second paragraph.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        }
    ]


LONG_TOOL = '''
from kronk_agent import tool


@tool
def remember(text: str) -> str:
    """Write a text down."""
    return text


@tool
def explain(text: str) -> str:
    """Explain a text. It may be as long as it likes, and in any language there is, for it is read
    by a model that has seen them all. Nobody has to know which one it is."""
    return text
'''


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_list_tells_what_tools_cost_in_the_prompt(tools: Invoke, tmp_path: Path) -> None:
    (tmp_path / "long_tool.py").write_text(LONG_TOOL)
    config = "tools: [./long_tool.py:remember, ./long_tool.py:explain]\n"
    config += "engine: {context_length: 2048}\n"
    result = tools("list", "--tokens", config=config)
    shorter = tools(
        "list", "--json", "--tokens", config=config + "agent: {max_tool_description_tokens: 5}\n"
    )

    assert result.exit_code == 0, result.stderr
    header, dearest, cheapest, shared, total, context = result.stdout.splitlines()
    assert header.split() == ["NAME", "TOOLSET", "TOKENS"]
    assert (dearest.split()[0], cheapest.split()[0]) == ("explain", "remember")
    explain, remember, once, everything = (
        int(line.split()[-1].replace(",", "")) for line in (dearest, cheapest, shared, total)
    )
    assert explain + remember + once == everything
    assert explain > remember > 0
    assert context == "Context length of SmolLM2-135M-Instruct.Q4_1: 2,048 tokens"
    counted = {tool["name"]: tool["tokens"] for tool in json.loads(shorter.stdout)}
    assert counted["remember"] == remember
    assert counted["explain"] < explain


def test_no_tools_are_an_empty_list(tools: Invoke) -> None:
    assert outcome(tools("list", config="tools: []\n")) == ("", "", 0)
    assert outcome(tools("list", "--json", config="tools: []\n")) == ("[]\n", "", 0)


def test_a_server_that_failed_is_told_and_the_others_are_listed(tools: Invoke) -> None:
    result = tools("list", config=TOOLS + MISSING_SERVER)
    assert "divide" in result.stdout
    assert result.stderr.startswith("warning: MCP server 'gone' ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == 0


def test_when_all_that_is_configured_failed_so_does_the_list(tools: Invoke) -> None:
    result = tools("list", config="tools: []\n" + MISSING_SERVER)
    assert (result.stdout, result.exit_code) == ("", 1)


def test_a_servers_tools_are_listed_and_called(tools: Invoke) -> None:
    config = (
        f'mcp_servers: {{time: {{command: "{sys.executable}", args: [-m, mcp_server_time]}}}}\n'
    )
    assert "time__convert_time" in tools("list", config=config).stdout
    result = tools("call", "time__get_current_time", '{"timezone": "UTC"}', config=config)
    assert '"UTC"' in result.stdout
    assert result.exit_code == 0


def test_only_the_server_of_the_tool_is_started_for_a_call(tools: Invoke) -> None:
    """The other one could not be started, and nobody would have to wait for it or hear of it."""
    config = (
        f"{TOOLS}mcp_servers:\n"
        f'  time: {{command: "{sys.executable}", args: [-m, mcp_server_time]}}\n'
        "  gone: {command: no-such-program, required: true}\n"
    )
    zone = '{"timezone": "UTC"}'

    served = tools("call", "time__get_current_time", zone, config=config)
    own = tools("call", "count", config=config)
    unknown = tools("call", "tim__get_current_time", zone, config=config)

    assert (served.stderr, served.exit_code) == ("", 0)
    assert outcome(own) == ("2\n", "", 0)
    assert "gone" in unknown.stderr


def test_call_prints_the_result(tools: Invoke) -> None:
    result = tools("call", "divide", '{"a": 3, "b": 2}')
    assert outcome(result) == ('{"quotient": 1.5}\n', "", 0)


def test_call_without_arguments_gives_none(tools: Invoke) -> None:
    assert outcome(tools("call", "count")) == ("2\n", "", 0)


def test_text_that_the_output_cannot_encode_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("def echo(text: str) -> str:\n    return text\n")
    (tmp_path / "config.yaml").write_text("tools: [./tools.py:echo]\n")
    command = [sys.executable, "-m", "kronk_agent", "--config", str(tmp_path / "config.yaml")]
    run = subprocess.run(
        [*command, "tools", "call", "echo", r'{"text": "caf\u00e9 \ud800"}'],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert (run.stdout, run.stderr, run.returncode) == (b"caf? ?\n", b"", 0)


def test_call_as_json_is_the_event_of_the_chat(tools: Invoke) -> None:
    result = tools("call", "divide", '{"a": 3, "b": 2}', "--json")
    event = json.loads(result.stdout)
    assert event.pop("seconds") > 0
    assert event == {
        "type": "tool_finished",
        "result": {
            "call_id": "call_1",
            "name": "divide",
            "content": [{"type": "text", "text": '{"quotient": 1.5}'}],
            "is_error": False,
            "structured": {"quotient": 1.5},
        },
    }


def test_what_is_no_text_is_told_of(tools: Invoke) -> None:
    assert outcome(tools("call", "chart")) == (
        "a chart\n",
        "notice: image/png, 4 bytes, cannot be printed\n",
        0,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"a": 1, "b": 0}', "error: b must not be 0\n"),
        ('{"a": 1}', "'b' is a required property"),
        ('{"a": 1, "b": "two"}', "divide.b: 'two' is not of type 'number'"),
        ("{a: 1}", "JSON: Expecting property name enclosed in double quotes"),
        ("{a: 1}", '. Valid would be, for example: {"a": 1, "b": 1}'),
        ("b=1", "'a' is a required property"),
        ("a=x b=1", "divide.a: 'x' is not of type 'number'"),
        ("[1, 2]", "object"),
    ],
)
def test_a_failure_is_told_on_stderr(tools: Invoke, arguments: str, said: str) -> None:
    words = [arguments] if arguments.startswith(("{", "[")) else arguments.split()
    result = tools("call", "divide", *words)
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("error") == 1
    assert (result.stdout, result.exit_code) == ("", 1)


def test_a_failure_is_said_once(tools: Invoke) -> None:
    result = tools("call", "fail", config=TOOLS.replace("count]", "fail]"))
    assert (result.stdout, result.stderr) == ("", "error: failed: ValueError: no such row\n")
    assert result.exit_code == 1


@pytest.mark.parametrize("word", ["1", "a=1", '{"a": 1}'])
def test_arguments_are_of_one_form(tools: Invoke, word: str) -> None:
    result = tools("call", "divide", "a=1", word)
    assert result.exit_code == 2


def test_a_failure_as_json_is_still_json(tools: Invoke) -> None:
    result = tools("call", "divide", '{"a": 1, "b": 0}', "--json")
    assert json.loads(result.stdout)["result"]["is_error"] is True
    assert (result.stderr, result.exit_code) == ("", 1)


def test_a_tool_that_never_ends_is_stopped(tools: Invoke, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import anyio\n\nasync def wait() -> None:\n    await anyio.sleep_forever()\n"
    )
    config = "tools: [./slow.py:wait]\nagent: {tool_timeout_seconds: 0.01}\n"
    result = tools("call", "wait", config=config)
    assert "0.01 seconds" in result.stderr
    assert result.exit_code == 1


def test_a_thread_that_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Nothing can stop a plain function, and Python itself would wait for it."""
    (tmp_path / "hang.py").write_text(
        "import time\n\ndef hang() -> None:\n    while True:\n        time.sleep(1)\n"
    )
    file = tmp_path / "config.yaml"
    file.write_text("tools: [./hang.py:hang]\nagent: {tool_timeout_seconds: 0.01}\n")

    run = subprocess.run(
        [sys.executable, "-m", "kronk_agent", "--config", str(file), "tools", "call", "hang"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert run.stderr == "error: hang was stopped: it took longer than 0.01 seconds\n"
    assert (run.stdout, run.returncode) == ("", 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("devide", "did you mean divide?"), ("zzz", "`kronk-agent tools list` lists them")],
)
def test_an_unknown_tool_is_told_with_the_nearest_ones(tools: Invoke, name: str, hint: str) -> None:
    result = tools("call", name, "{}")
    assert f"unknown tool '{name}': {hint}" in result.stderr
    assert (result.stdout, result.exit_code) == ("", 2)


def test_neither_loads_the_model(tools: Invoke) -> None:
    config = TOOLS + "model: no-such-file.gguf\n"
    assert tools("list", config=config).exit_code == 0
    assert tools("call", "count", config=config).exit_code == 0
