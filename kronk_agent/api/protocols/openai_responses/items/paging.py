"""Lists of items, a page at a time, as OpenAI's are."""

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
    """The items behind the one called ``after``.

    Args:
        items: all there are, the oldest first.
        limit: how many at most.
        order: the oldest or the newest first.
        after: the last item of the page before.
        include: what each item is to have beside what it has anyway.

    Raises:
        InvalidRequestError: there is no such item, or it was not kept with all that.
    """
    ordered = list(items) if order == "asc" else list(items)[::-1]
    ids = [str(item["id"]) for item in ordered]
    if after is not None:
        if after not in ids:
            raise InvalidRequestError(f"after: there is no item {after!r} here", param="after")
        ordered = ordered[ids.index(after) + 1 :]
    data = [with_included(item, include) for item in ordered[:limit]]
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }
