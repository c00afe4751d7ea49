"""Finds items by id, in the outputs and inputs of responses and in conversations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kronk_agent.messages import JsonObject
from kronk_agent.sessions.schema import items, responses, sessions


async def find_item_and_siblings(
    connection: AsyncConnection, owner: str, id: str
) -> list[JsonObject]:
    """The latest item with this id and the other outputs of its response; empty if not found.

    Responses are searched before their inputs and before conversations, the latest first, because
    references mostly name recent outputs.
    """
    latest = (
        select(responses.c.body)
        .where(responses.c.owner == owner, _holds(responses.c.body, id))
        .order_by(responses.c.created_at.desc())
    )
    async with connection.stream_scalars(latest) as bodies:
        async for body in bodies:
            if any(item["id"] == id for item in body["output"]):
                return list(body["output"])
    given = (
        select(items.c.body)
        .outerjoin(sessions, sessions.c.id == items.c.session_id)
        .outerjoin(responses, responses.c.id == items.c.response_id)
        .where(or_(sessions.c.owner == owner, responses.c.owner == owner), _holds(items.c.body, id))
        .order_by(items.c.number.desc())
    )
    async with connection.stream_scalars(given) as bodies:
        async for item in bodies:
            if item["id"] == id:
                return [item]
    return []


def _holds(body: ColumnElement[Any], id: str) -> ColumnElement[bool]:
    """True if the JSON has a string equal to the id; quotes inside strings are escaped."""
    return cast(body, Text).contains(f'"{id}"', autoescape=True)
