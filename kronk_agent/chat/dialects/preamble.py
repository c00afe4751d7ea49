"""Plain-text tools for templates without tool support.

The system message describes the tools, a call is assistant text, and a result is a user message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kronk_agent.chat.dialects.formats.call_format import CallFormat
from kronk_agent.chat.templates.conversation import join_messages, tool_text, with_valid_arguments
from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.tools import Tool
from kronk_agent.tools.signature import describe_tool

_INSTRUCTIONS = """\
You can use these tools:

{tools}

To use a tool, write nothing but a line like this:
{call}
You are then told the result. If no tool is needed, answer in plain words."""


def to_plain_text(
    messages: Sequence[Message], tools: Sequence[Tool], format: CallFormat
) -> list[Message]:
    """Rewrite a conversation with its tools, calls and results as plain text."""
    converted: list[Message] = []
    is_after_result = False
    for message in messages:
        turn = _message_to_plain_text(message, format)
        if is_after_result and turn.role == "user":
            # Many templates require user and assistant messages to alternate.
            converted[-1] = join_messages(converted[-1], turn)
        else:
            converted.append(turn)
        is_after_result = message.role == "tool"
    return with_instructions(converted, tools, format) if tools else converted


def _message_to_plain_text(message: Message, format: CallFormat) -> Message:
    if message.role == "tool":
        return Message.user(f"Result of {message.name or 'the tool'}:\n{tool_text(message)}")
    if not message.tool_calls:
        return message
    parts = [message.text] if message.text else []
    text = "\n".join([*parts, format.write(with_valid_arguments(message).tool_calls)])
    return replace(message, content=(TextPart(text),), tool_calls=())


def with_instructions(
    messages: Sequence[Message], tools: Sequence[Tool], format: CallFormat
) -> list[Message]:
    """Add a description of the tools to the system message; the rest stays unchanged."""
    sample = ToolCall("", "NAME", '{"ARGUMENT": "VALUE"}')
    text = _INSTRUCTIONS.format(
        tools="\n\n".join(describe_tool(tool) for tool in tools), call=format.write([sample])
    )
    instructions = Message.system(text)
    if messages[0].role == "system":
        return [join_messages(messages[0], instructions), *messages[1:]]
    return [instructions, *messages]
