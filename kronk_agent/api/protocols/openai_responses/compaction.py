"""Compaction: keeps the user's messages and replaces the rest of a conversation by a summary."""

from __future__ import annotations

import time
from dataclasses import replace

from kronk_agent.agent import Agent
from kronk_agent.api.protocols.common.schema import new_id
from kronk_agent.api.protocols.openai_responses.context import Given
from kronk_agent.api.protocols.openai_responses.items.opaque import pack
from kronk_agent.api.protocols.openai_responses.state import usage_to_wire
from kronk_agent.errors import EngineError
from kronk_agent.messages import JsonObject, JsonValue, Message

_ASK = (
    "Summarise this conversation so that it can be gone on with by somebody who has only the "
    "summary: what was asked for, what was found out and done, what is still open, and every name, "
    "number, path and address that matters. Write the summary and nothing else."
)


async def compact(agent: Agent, given: Given, *, instructions: str | None) -> JsonObject:
    """Compact a conversation to items that a later request can continue.

    Raises:
        KronkError: the model failed to write the summary.
    """
    ask = _ASK if not instructions else f"{_ASK} The assistant was told: {instructions}"
    writer = Agent(agent.model, (), replace(agent.options, instructions=""))
    conversation = given.conversation(given.new)
    finished = await writer.answer([*conversation, Message.user(ask)])
    if finished.reason == "error":
        raise finished.exception or EngineError(finished.error or "the model wrote no summary")
    kept: list[JsonValue] = [
        _user_item(message.text) for message in conversation if message.role == "user"
    ]
    summary: JsonObject = {
        "id": new_id("cmp_"),
        "type": "compaction",
        "encrypted_content": pack(finished.text),
    }
    return {
        "id": new_id("resp_"),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*kept, summary],
        "usage": usage_to_wire(finished.usage),
    }


def _user_item(text: str) -> JsonObject:
    return {
        "id": new_id("msg_"),
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": text}],
    }
