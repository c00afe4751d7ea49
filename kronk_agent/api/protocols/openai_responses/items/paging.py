"""Pages of items, in OpenAI's list format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kronk_agent.api.protocols.openai_responses.items.included import with_included
from kronk_agent.api.protocols.openai_responses.request import Includable
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject


def page(
    items: Sequence[JsonObject],
    *,
    limit: int,
    order: Literal["asc", "desc"],
    after: str | None,
    include: Sequence[Includable],
) -> JsonObject:
    """The page of items after the item ``after``.

    Args:
        items: all items, oldest first.
        limit: maximum number of items.
        order: oldest or newest first.
        after: id of the last item of the previous page.
        include: additional data for each item.

    Raises:
        InvalidRequestError: the item is unknown, or additional data was not stored.
    """
    ordered = list(items) if order == "asc" else list(items)[::-1]
    ids = [str(item["id"]) for item in ordered]
    if after is not None:
        if after not in ids:
            raise InvalidRequestError(f"after: unknown item {after!r}", param="after")
        ordered = ordered[ids.index(after) + 1 :]
    data = [with_included(item, include) for item in ordered[:limit]]
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }
