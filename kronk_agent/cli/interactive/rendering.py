"""Rendering of a run's events for the user, or as JSON for a program."""

from __future__ import annotations

import json
from typing import Protocol, TextIO

from kronk_agent.cli.interactive.terminal import Terminal
from kronk_agent.messages import (
    ContextCompacted,
    Event,
    Notice,
    ReasoningDelta,
    RunFinished,
    StepFinished,
    StepStarted,
    TextDelta,
    TextPart,
    ToolCallStart,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    event_to_json,
)

_MAX_RESULT_CHARS_SHOWN = 100


class Renderer(Protocol):
    """Renders every event of every run, in order."""

    def render(self, event: Event) -> None:
        """Render one event."""


class JsonRenderer:
    """Writes each event as one line of JSON, in ASCII to work in any locale."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def render(self, event: Event) -> None:
        """Write the event as a line of JSON."""
        self._stdout.write(json.dumps(event_to_json(event)) + "\n")
        self._stdout.flush()


class TextRenderer:
    """Shows the answer as it streams, with calls, reasoning, progress and timing on stderr."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._call_numbers: dict[str, int] = {}
        self._generation_seconds = 0.0

    def render(self, event: Event) -> None:
        """Show the event."""
        match event:
            case StepStarted():
                self._terminal.status("thinking ...")
            case TextDelta(text):
                self._terminal.answer(text)
            case ReasoningDelta(text):
                self._terminal.aside(text)
            case ToolCallStart(name=name):
                self._terminal.status(f"calling {name} ...")
            case ToolStarted(call):
                label = f"{self._label(call.id)} {call.name}"
                self._terminal.say(f"{label} {call.arguments}", style="cyan")
            case ToolProgress(call_id):
                self._terminal.status(f"{self._label(call_id)}: {progress_text(event)}")
            case ToolFinished(result, seconds):
                self._tool_finished(result, seconds)
            case StepFinished(timings=timings):
                self._generation_seconds += timings.generation_seconds
                self._terminal.end_answer()
            case Notice(text):
                self._terminal.say(f"notice: {text}", style="yellow")
            case ContextCompacted():
                self._terminal.say(event.text, style="dim")
            case RunFinished():
                self._run_finished(event)
            case _:  # argument fragments of a call: ToolStarted shows the complete call
                pass

    def _tool_finished(self, result: ToolResult, seconds: float) -> None:
        outcome, style = ("failed", "red") if result.is_error else ("ok", "green")
        label = f"{self._label(result.call_id)} {result.name}"
        self._terminal.say(f"{label}: {outcome} in {seconds:.2f} s{_gist(result)}", style=style)

    def _run_finished(self, event: RunFinished) -> None:
        self._terminal.close()
        ending = _ending(event)
        if ending:
            self._terminal.say(ending, style="red" if event.reason == "error" else "yellow")
        for source in event.sources:
            title = f" {source.title}" if source.title else ""
            self._terminal.say(f"[{source.number}] {source.url}{title}", style="dim")
        if event.usage.completion_tokens:
            self._terminal.say(_summary(event, self._generation_seconds), style="dim")
        self._call_numbers.clear()
        self._generation_seconds = 0.0

    def _label(self, call_id: str) -> str:
        """Return a label that tells concurrent calls of one run apart."""
        number = self._call_numbers.setdefault(call_id, len(self._call_numbers) + 1)
        return f"call {number}"


def progress_text(event: ToolProgress) -> str:
    """Format a tool's progress, such as ``3/10 reading``."""
    done = f"{event.progress:g}" if event.total is None else f"{event.progress:g}/{event.total:g}"
    return f"{done} {event.message or ''}".rstrip()


def _gist(result: ToolResult) -> str:
    """Summarize a result: a failure's first line, a short result itself, or the length."""
    lines = result.text.strip().splitlines()
    if result.is_error:
        return f": {lines[0]}" if lines else ""
    others = sum(not isinstance(part, TextPart) for part in result.content)
    if len(lines) == 1 and len(lines[0]) <= _MAX_RESULT_CHARS_SHOWN and not others:
        return f": {lines[0]}"
    attachments = f" and {others} attachment{'s' if others > 1 else ''}" if others else ""
    return f", {len(result.text):,} characters{attachments}"


def _ending(event: RunFinished) -> str | None:
    """Return the message for a run that ended without an answer; None if it has one."""
    match event.reason:
        case "stop" | "tool_calls":
            return None
        case "length":
            return "notice: truncated: max_tokens (--max-tokens) or the context limit was reached"
        case "max_steps":
            return f"notice: stopped after {event.steps} steps: max_steps (--max-steps) was reached"
        case "max_tool_calls":
            return "notice: no more tool calls were made: max_tool_calls was reached"
        case "malformed_tool_call":
            return "error: the model wrote a tool call as text instead of an answer"
        case "approval":
            names = ", ".join(call.name for call in event.pending)
            return f"notice: stopped: calling {names} needs approval"
        case "cancelled":
            return "cancelled"
        case "error":
            return f"error: {' '.join((event.error or '').split())}"


def _summary(event: RunFinished, generation_seconds: float) -> str:
    usage = event.usage
    steps = "1 step" if event.steps == 1 else f"{event.steps} steps"
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    speed = ""
    if generation_seconds > 0:
        speed = f" at {usage.completion_tokens / generation_seconds:.1f} tokens/s"
    return (
        f"{steps}, {usage.prompt_tokens:,} prompt tokens{cached}, "
        f"{usage.completion_tokens:,} generated{speed}"
    )
