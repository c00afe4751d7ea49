"""The system message: the agent's instructions, and what its toolsets say of their tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kronk_agent.agent.options import AgentOptions
from kronk_agent.messages import Message, TextPart
from kronk_agent.tools import Toolset, instructions_of


def tool_notes(toolsets: Sequence[Toolset]) -> str:
    """What the toolsets say of their tools, as of now; empty for nothing."""
    return "\n\n".join(filter(None, map(instructions_of, toolsets)))


def with_notes(options: AgentOptions, notes: str) -> AgentOptions:
    """The options whose instructions end with the notes."""
    text = "\n\n".join(filter(None, (options.instructions, notes)))
    return replace(options, instructions=text)


def with_instructions(
    messages: Sequence[Message], options: AgentOptions, notes: str = ""
) -> list[Message]:
    """The conversation with the instructions first; where it has a system message of its own, that
    is left, and followed by the notes."""
    index = next((i for i, message in enumerate(messages) if message.role == "system"), None)
    if index is None:
        text = with_notes(options, notes).instructions
        return [*([Message.system(text)] if text else []), *messages]
    if not notes:
        return list(messages)
    told = messages[index]
    whole = replace(told, content=(TextPart(f"{told.text}\n\n{notes}"),))
    return [*messages[:index], whole, *messages[index + 1 :]]
