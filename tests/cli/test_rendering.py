from __future__ import annotations

import io
import json
import re

import pytest

from kronk_agent.cli.interactive.rendering import JsonRenderer, TextRenderer
from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    ImagePart,
    Message,
    Notice,
    Part,
    ReasoningDelta,
    RunEnd,
    RunFinished,
    Source,
    StepFinished,
    StepStarted,
    TextDelta,
    TextPart,
    Timings,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    Usage,
    event_to_json,
)

FETCH = ToolCall("c1", "web_fetch", '{"url": "http://a/"}')
ADD = ToolCall("c2", "add", '{"a": 1, "b": 2}')
PAGE = ToolResult("c1", "web_fetch", (TextPart("# Title\n" + "word " * 300),))
THREE = ToolResult("c2", "add", (TextPart("3"),), structured={"result": 3})
CALLING = Message.assistant("Let me look.", (FETCH, ADD))
ANSWER = Message.assistant("It is 3.")

A_WHOLE_RUN: list[Event] = [
    Notice("tool add of b is hidden: a has a tool of the same name"),
    StepStarted(1),
    ReasoningDelta("I need"),
    ReasoningDelta(" a page."),
    TextDelta("Let me"),
    TextDelta(" look."),
    ToolCallStart(0, "c1", "web_fetch"),
    ToolCallArguments(0, FETCH.arguments),
    ToolCallEnd(0),
    ToolStarted(FETCH),
    ToolProgress("c1", 1, 3, "reading"),
    ToolCallStart(1, "c2", "add"),
    ToolCallArguments(1, ADD.arguments),
    ToolCallEnd(1),
    ToolStarted(ADD),
    ToolFinished(THREE, 0.004),
    ToolFinished(PAGE, 1.25),
    StepFinished(1, CALLING, Usage(1200, 40), Timings(generation_seconds=1.5)),
    StepStarted(2),
    TextDelta("It is"),
    TextDelta(" 3."),
    StepFinished(2, ANSWER, Usage(1300, 10, cached_tokens=1000), Timings(generation_seconds=0.5)),
    RunFinished(
        "stop",
        (CALLING, PAGE.to_message(), THREE.to_message(), ANSWER),
        Usage(2500, 50, cached_tokens=1000),
        steps=2,
    ),
]


class Screen(io.StringIO):
    """Where both streams of a terminal end up."""

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        """All that was written, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Screen()


def render(events: list[Event]) -> tuple[str, str]:
    """What a run writes to two files."""
    stdout, stderr = io.StringIO(), io.StringIO()
    renderer = TextRenderer(Terminal(stdout, stderr))
    for event in events:
        renderer.render(event)
    return stdout.getvalue(), stderr.getvalue()


def test_the_answer_goes_to_stdout_and_all_else_to_stderr() -> None:
    assert render(A_WHOLE_RUN) == (
        "Let me look.\nIt is 3.\n",
        "notice: tool add of b is hidden: a has a tool of the same name\n"
        "I need a page.\n"
        'call 1 web_fetch {"url": "http://a/"}\n'
        'call 2 add {"a": 1, "b": 2}\n'
        "call 2 add: ok in 0.00 s: 3\n"
        "call 1 web_fetch: ok in 1.25 s, 1,508 characters\n"
        "2 steps, 2,500 prompt tokens (1,000 cached), 50 generated at 25.0 tokens/s\n",
    )


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            ContextCompacted("tool_results", 3400, 2000),
            "context: older tool results were shortened, 3400 → 2000 tokens\n",
        ),
        (
            ContextCompacted("summary", 3400, 1300),
            "context: older messages were replaced by a summary, 3400 → 1300 tokens\n",
        ),
        (
            ContextCompacted("dropped", 3400, 1300, "no summary: the model wrote none"),
            "context: the oldest messages were left out, 3400 → 1300 tokens "
            "(no summary: the model wrote none)\n",
        ),
    ],
)
def test_a_shortened_conversation_is_told_in_one_line(event: Event, line: str) -> None:
    assert render([event]) == ("", line)


def test_one_screen_shows_both_without_running_lines_together(screen: Screen) -> None:
    renderer = TextRenderer(Terminal(screen, screen))
    for event in A_WHOLE_RUN:
        renderer.render(event)
    # What a status line showed is erased before anything else is written.
    shown = [line.rpartition("\x1b[2K")[2] for line in screen.shown.split("\n")]
    assert shown == [
        "notice: tool add of b is hidden: a has a tool of the same name",
        "I need a page.",
        "Let me look.",
        'call 1 web_fetch {"url": "http://a/"}',
        'call 2 add {"a": 1, "b": 2}',
        "call 2 add: ok in 0.00 s: 3",
        "call 1 web_fetch: ok in 1.25 s, 1,508 characters",
        "It is 3.",
        "2 steps, 2,500 prompt tokens (1,000 cached), 50 generated at 25.0 tokens/s",
        "",
    ]


def test_a_screen_shows_how_far_a_tool_is(screen: Screen) -> None:
    renderer = TextRenderer(Terminal(screen, screen))
    renderer.render(ToolStarted(FETCH))
    renderer.render(ToolProgress("c1", 1, 3, "reading"))
    renderer.render(ToolProgress("c1", 2.5))
    assert screen.shown == (
        'call 1 web_fetch {"url": "http://a/"}\ncall 1: 1/3 reading\r\x1b[2Kcall 1: 2.5'
    )


def test_a_status_never_takes_more_than_one_line(screen: Screen) -> None:
    Terminal(screen, screen).status("words\nand " + "字" * 100)
    assert screen.shown == "words and " + "字" * 34 + " "


def test_escape_sequences_in_a_page_do_not_reach_the_screen(screen: Screen) -> None:
    bad = "\x1b[2J\x1b]0;title\x07\x9b31mred\r\b"
    renderer = TextRenderer(Terminal(screen, screen))
    renderer.render(TextDelta(bad + "\n"))
    renderer.render(ReasoningDelta(bad + "\n"))
    renderer.render(ToolFinished(ToolResult("c1", "f", (TextPart(bad),), is_error=True), 0.1))
    clean = "[2J]0;title31mred"
    assert screen.shown == f"{clean}\n{clean}\ncall 1 f: failed in 0.10 s: {clean}\n"


def test_a_file_gets_the_answer_exactly_as_the_model_wrote_it() -> None:
    stdout = io.StringIO()
    terminal = Terminal(stdout, io.StringIO())
    terminal.answer("\n  a\x1b[0m")
    terminal.say("a notice in the middle of it")
    terminal.answer("\t\r\n")
    terminal.close()
    assert stdout.getvalue() == "\n  a\x1b[0m\t\r\n"


@pytest.mark.parametrize(
    ("content", "gist"),
    [
        ((TextPart("one line\n"),), ": one line"),
        ((), ", 0 characters"),
        ((TextPart("x" * 101),), ", 101 characters"),
        ((TextPart("a"), TextPart("b")), ", 3 characters"),
        ((TextPart("a chart"), ImagePart(b"png", "image/png")), ", 7 characters and 1 attachment"),
        ((ImagePart(b"", "image/png"),) * 2, ", 0 characters and 2 attachments"),
    ],
)
def test_a_result_is_told_in_one_line(content: tuple[Part, ...], gist: str) -> None:
    _, stderr = render([ToolFinished(ToolResult("c1", "f", content), 2)])
    assert stderr == f"call 1 f: ok in 2.00 s{gist}\n"


@pytest.mark.parametrize(
    ("text", "gist"), [("no such host\nat line 3\n", ": no such host"), ("", "")]
)
def test_a_failure_is_told_by_its_first_line(text: str, gist: str) -> None:
    result = ToolResult("c1", "f", (TextPart(text),), is_error=True)
    assert render([ToolFinished(result, 2)]) == ("", f"call 1 f: failed in 2.00 s{gist}\n")


@pytest.mark.parametrize(
    ("reason", "error", "said"),
    [
        ("stop", None, ""),
        (
            "length",
            None,
            "notice: truncated: max_tokens (--max-tokens) or the context limit was reached\n",
        ),
        ("max_steps", None, "notice: stopped after 3 steps: max_steps (--max-steps) was reached\n"),
        (
            "max_tool_calls",
            None,
            "notice: no more tool calls were made: max_tool_calls was reached\n",
        ),
        ("cancelled", None, "cancelled\n"),
        ("error", "the engine\n is gone", "error: the engine is gone\n"),
    ],
)
def test_an_end_without_an_answer_says_why(reason: RunEnd, error: str | None, said: str) -> None:
    events: list[Event] = [TextDelta("half"), RunFinished(reason, (), Usage(), 3, error)]
    assert render(events) == ("half\n", said)


def test_the_sources_of_an_answer_are_listed_after_it() -> None:
    sources = (Source(1, "https://a.example/x", "About x"), Source(2, "https://b.example/", None))
    events: list[Event] = [
        TextDelta("So says [1]."),
        RunFinished("stop", (), Usage(), 1, sources=sources),
    ]

    assert render(events) == (
        "So says [1].\n",
        "[1] https://a.example/x About x\n[2] https://b.example/\n",
    )


def test_calls_are_numbered_anew_in_every_run() -> None:
    end = RunFinished("stop", (), Usage(), 1)
    _, stderr = render([ToolStarted(FETCH), end, ToolStarted(ADD), end])
    assert stderr == 'call 1 web_fetch {"url": "http://a/"}\ncall 1 add {"a": 1, "b": 2}\n'


def test_json_lines_are_all_the_events_and_nothing_else() -> None:
    stdout = io.StringIO()
    renderer = JsonRenderer(stdout)
    for event in A_WHOLE_RUN:
        renderer.render(event)
    lines = stdout.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [event_to_json(event) for event in A_WHOLE_RUN]


def test_json_lines_survive_any_encoding() -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    JsonRenderer(stdout).render(TextDelta("ü\u2028\ud800"))
    stdout.seek(0)
    assert json.loads(stdout.read()) == {"type": "text_delta", "text": "ü\u2028\ud800"}


def test_a_run_that_waits_for_approval_says_for_what() -> None:
    end = RunFinished("approval", (), Usage(), 1, pending=(ToolCall("c1", "rm", "{}"),))

    assert render([end])[1] == "notice: stopped: calling rm needs approval\n"
