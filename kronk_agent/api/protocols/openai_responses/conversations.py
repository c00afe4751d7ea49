"""``/v1/conversations``: stored conversations that responses can continue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from kronk_agent.api.errors import HttpError
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.common.schema import UnicodeBody, new_id
from kronk_agent.api.protocols.openai_responses.context import store_of
from kronk_agent.api.protocols.openai_responses.items.included import Included, with_included
from kronk_agent.api.protocols.openai_responses.items.paging import page
from kronk_agent.api.protocols.openai_responses.items.references import resolve_references
from kronk_agent.api.protocols.openai_responses.items.schema import WireItem
from kronk_agent.api.protocols.openai_responses.items.stored import to_stored
from kronk_agent.api.protocols.openai_responses.items.to_messages import to_messages
from kronk_agent.api.protocols.openai_responses.request import Metadata
from kronk_agent.sessions import Session, SessionStore

_MAX_ITEMS = 20


class CreateConversation(UnicodeBody):
    """A request to create a conversation."""

    items: list[WireItem] | None = None
    """Initial items."""
    metadata: Metadata | None = None


class UpdateConversation(UnicodeBody):
    """A request to change a conversation's metadata."""

    metadata: Metadata


class AddItems(UnicodeBody):
    """A request to add items to a conversation."""

    items: list[WireItem]


def router(models: ModelRouter) -> APIRouter:
    """The routes for conversations."""
    routes = APIRouter(prefix="/v1/conversations", tags=["conversations"])

    @routes.post("")
    async def create_conversation(body: CreateConversation) -> dict[str, Any]:
        """Create a conversation."""
        store = await store_of(models)
        items = await resolve_references(models, body.items or ())
        messages = to_messages(items)
        session = await store.create_session(new_id("conv_"), metadata=body.metadata)
        if items:
            await store.append(session.id, messages, shown=to_stored(items))
        return _wire(session)

    @routes.get("/{id}")
    async def get_conversation(id: str) -> dict[str, Any]:
        """Retrieve a conversation."""
        return _wire(await _found(await store_of(models), id))

    @routes.post("/{id}")
    async def update_conversation(id: str, body: UpdateConversation) -> dict[str, Any]:
        """Change the metadata of a conversation."""
        session = await (await store_of(models)).update_session(id, metadata=body.metadata)
        if session is None:
            raise _unknown(id)
        return _wire(session)

    @routes.delete("/{id}")
    async def delete_conversation(id: str) -> dict[str, Any]:
        """Delete a conversation and its items."""
        if not await (await store_of(models)).delete_session(id):
            raise _unknown(id)
        return {"id": id, "object": "conversation.deleted", "deleted": True}

    @routes.post("/{id}/items")
    async def add_items(id: str, body: AddItems, include: Included) -> dict[str, Any]:
        """Add items to a conversation."""
        store = await store_of(models)
        await _found(store, id)
        items = await resolve_references(models, body.items)
        shown = to_stored(items)
        added = page(shown, limit=max(len(shown), 1), order="asc", after=None, include=include)
        earlier = await store.messages(id)
        await store.append(id, to_messages(items, earlier), shown=shown)
        return added

    @routes.get("/{id}/items")
    async def list_items(
        id: str,
        include: Included,
        limit: Annotated[int, Query(ge=1, le=100)] = _MAX_ITEMS,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        """List the items of a conversation, in pages."""
        store = await store_of(models)
        await _found(store, id)
        return page(await store.items(id), limit=limit, order=order, after=after, include=include)

    @routes.get("/{id}/items/{item_id}")
    async def get_item(id: str, item_id: str, include: Included) -> dict[str, Any]:
        """Retrieve an item of a conversation."""
        store = await store_of(models)
        await _found(store, id)
        for item in await store.items(id):
            if item["id"] == item_id:
                return with_included(item, include)
        raise HttpError(
            f"unknown item {item_id!r} in conversation {id!r}", status=404, param="item_id"
        )

    return routes


async def _found(store: SessionStore, id: str) -> Session:
    session = await store.session(id)
    if session is None:
        raise _unknown(id)
    return session


def _unknown(id: str) -> HttpError:
    return HttpError(f"unknown conversation {id!r}", status=404, param="conversation_id")


def _wire(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "object": "conversation",
        "created_at": int(session.created_at),
        "metadata": session.metadata,
    }
