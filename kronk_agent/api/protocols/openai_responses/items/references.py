"""Replaces ``item_reference`` items with the stored items they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from kronk_agent.api.errors import HttpError
from kronk_agent.api.model_router import ModelRouter
from kronk_agent.api.protocols.openai_responses.context import store_of
from kronk_agent.api.protocols.openai_responses.items.schema import (
    InputItem,
    ItemReference,
    WireItem,
)
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject

_ITEM: TypeAdapter[InputItem] = TypeAdapter(InputItem)
_MAX_REFERENCES = 1000


async def resolve_references(models: ModelRouter, items: Sequence[WireItem]) -> list[InputItem]:
    """Replace the references among a request's items with the items they name.

    Args:
        models: provides the session store, which is only opened if there are references.
        items: the items of the request.

    Raises:
        HttpError: the client has no item with such an id (404).
        InvalidRequestError: there are too many references, or an item cannot be an input.
    """
    ids = [item.id for item in items if isinstance(item, ItemReference)]
    if len(ids) > _MAX_REFERENCES:
        raise InvalidRequestError(
            f"input: at most {_MAX_REFERENCES} item references, got {len(ids)}", param="input"
        )
    stored = await (await store_of(models)).find_items(ids) if ids else {}
    return [
        _resolve(item, stored, f"input.{index}") if isinstance(item, ItemReference) else item
        for index, item in enumerate(items)
    ]


def _resolve(wire: ItemReference, stored: Mapping[str, JsonObject], path: str) -> InputItem:
    if wire.id not in stored:
        # The first sentence is OpenAI's.
        raise HttpError(
            f"Item with id '{wire.id}' not found. Only items of responses with store: true and of "
            "conversations are stored.",
            status=404,
            param="input",
        )
    try:
        return _ITEM.validate_python(stored[wire.id])
    except ValidationError:
        raise InvalidRequestError(
            f"{path}.id: item {wire.id!r} cannot be an input", param=f"{path}.id"
        ) from None
