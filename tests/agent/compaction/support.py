"""Scripts and conversations for tests of long runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from kronk_agent.agent import Agent
from kronk_agent.messages import ContextCompacted, Message, RunFinished, TextPart, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, collect
from kronk_agent.tools import Tool, tool

SUMMARY = json.dumps(
    {"summary": "Keys were looked up.", "facts": ["k1 is blue", "k1 is blue"], "open_tasks": []}
)
SUMMARY_TEXT = (
    "Summary of the conversation so far, in place of older messages:\n"
    "Keys were looked up.\nFacts:\n- k1 is blue"
)


def is_summary(request: ChatRequest) -> bool:
    """True if the request asks for a summary."""
    return request.response_format.type == "json_schema"


def summarising(
    turn: Callable[[ChatRequest], Piece | Sequence[Piece]], summary: Piece = SUMMARY
) -> Callable[[ChatRequest], Piece | Sequence[Piece]]:
    """A turn of a script, or a summary where one is asked for."""
    return lambda request: summary if is_summary(request) else turn(request)


def looking_up(words: int) -> Tool:
    """A tool whose results have so many words."""

    @tool
    async def look(key: str) -> str:
        """Look up a key."""
        return f"{key}: " + " ".join(f"word{n}" for n in range(words))

    return look


def call_message(id: str, name: str = "look", **arguments: str) -> Message:
    return Message.assistant("", (ToolCall(id, name, json.dumps(arguments)),))


def result_message(id: str, text: str, name: str = "look") -> Message:
    return Message("tool", (TextPart(text),), tool_call_id=id, name=name)


async def run(
    agent: Agent, messages: Sequence[Message]
) -> tuple[list[ContextCompacted], RunFinished]:
    """The compactions of a run and its end."""
    async with agent.run(messages) as running:
        events = await collect(running)
    last = events[-1]
    assert isinstance(last, RunFinished)
    return [event for event in events if isinstance(event, ContextCompacted)], last
