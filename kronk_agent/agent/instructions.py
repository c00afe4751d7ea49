"""The system message: the agent's instructions, and notes of toolsets about their tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kronk_agent.agent.options import AgentOptions
from kronk_agent.messages import Message, TextPart
from kronk_agent.tools import Toolset, instructions_of


def tool_notes(toolsets: Sequence[Toolset]) -> str:
    """Return the toolsets' current instructions; empty if they have none."""
    return "\n\n".join(filter(None, map(instructions_of, toolsets)))


def with_notes(options: AgentOptions, notes: str) -> AgentOptions:
    """Append the notes to the options' instructions."""
    text = "\n\n".join(filter(None, (options.instructions, notes)))
    return replace(options, instructions=text)


def with_instructions(
    messages: Sequence[Message], options: AgentOptions, notes: str = ""
) -> list[Message]:
    """Prepend the instructions to a conversation without a system message.

    An existing system message is kept; the notes are appended to it.
    """
    index = next((i for i, message in enumerate(messages) if message.role == "system"), None)
    if index is None:
        text = with_notes(options, notes).instructions
        return [*([Message.system(text)] if text else []), *messages]
    if not notes:
        return list(messages)
    system = messages[index]
    extended = replace(system, content=(TextPart(f"{system.text}\n\n{notes}"),))
    return [*messages[:index], extended, *messages[index + 1 :]]
