"""``include`` when retrieving items: thinking is encoded on demand, other data must be stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from fastapi import Depends, Query

from kronk_agent.api.protocols.openai_responses.items.opaque import pack
from kronk_agent.api.protocols.openai_responses.request import Includable
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, JsonValue


def _included(
    include: Annotated[list[Includable] | None, Query()] = None,
    bracketed: Annotated[list[Includable] | None, Query(alias="include[]")] = None,
) -> tuple[Includable, ...]:
    """OpenAI's SDKs send ``include[]``."""
    return (*(include or ()), *(bracketed or ()))


Included: TypeAlias = Annotated[tuple[Includable, ...], Depends(_included)]


def with_included(item: JsonObject, include: Sequence[Includable]) -> JsonObject:
    """Return an item with the requested data; image URLs are always included.

    Raises:
        InvalidRequestError: the data was not stored with the item.
    """
    kind = item["type"]
    if kind == "reasoning" and "reasoning.encrypted_content" in include:
        if item.get("encrypted_content"):
            return item
        text = "".join(_texts(item.get("content") or item["summary"]))
        return {**item, "encrypted_content": pack(text) if text else None}
    if kind == "web_search_call" and "web_search_call.action.sources" in include:
        action = item["action"]
        if isinstance(action, dict) and action["type"] == "search" and "sources" not in action:
            raise _not_kept(item, "web_search_call.action.sources")
    if kind == "message" and "message.output_text.logprobs" in include:
        for part in _objects(item["content"]):
            if part["type"] == "output_text" and part["text"] and not part["logprobs"]:
                raise _not_kept(item, "message.output_text.logprobs")
    return item


def _not_kept(item: JsonObject, what: Includable) -> InvalidRequestError:
    return InvalidRequestError(
        f"include: {item['id']!r} was stored without {what}: request it when creating the response",
        param="include",
    )


def _texts(parts: JsonValue) -> list[str]:
    return [str(part["text"]) for part in _objects(parts)]


def _objects(values: JsonValue) -> list[JsonObject]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )
