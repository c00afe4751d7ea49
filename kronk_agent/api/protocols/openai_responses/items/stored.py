"""Items as stored and listed: with ids and complete message parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kronk_agent.api.protocols.common.schema import new_id
from kronk_agent.api.protocols.openai_responses.items.schema import InputItem
from kronk_agent.messages import JsonObject

_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "reasoning": "rs_",
    "mcp_approval_response": "mcpa_",
    "compaction": "cmp_",
}


def to_stored(items: Sequence[InputItem]) -> list[JsonObject]:
    """Complete a request's items with the fields that clients may leave out."""
    return [_complete(item.model_dump(mode="json", exclude_none=True)) for item in items]


def _complete(item: dict[str, Any]) -> JsonObject:
    kind = item["type"]
    item.setdefault("id", new_id(_PREFIXES.get(kind, "item_")))
    if kind == "message":
        item.setdefault("status", "completed")
        if isinstance(item["content"], str):
            is_ours = item["role"] == "assistant"
            part: dict[str, Any] = {
                "type": "output_text" if is_ours else "input_text",
                "text": item["content"],
            }
            item["content"] = [{**part, "annotations": [], "logprobs": []} if is_ours else part]
        for part in item["content"]:
            if part["type"] == "output_text":
                part.setdefault("annotations", [])
                part.setdefault("logprobs", [])
    elif kind in ("function_call", "function_call_output"):
        item.setdefault("status", "completed")
    return item
