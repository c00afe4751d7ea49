"""Base classes and helpers for the wire formats of all protocols."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from kronk_agent import __version__
from kronk_agent.errors import InvalidRequestError

logger = logging.getLogger(__name__)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_MAX_PADDING = 16
_MAX_NOTICES = 20
_MAX_PLACE = 200

Count: TypeAlias = Annotated[int, Field(ge=1)]
CacheSalt: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]


FINGERPRINT = f"kronk-agent-{__version__}"
"""``system_fingerprint`` of responses."""


class RequestModel(BaseModel):
    """Base class of request models: unknown fields are rejected by name.

    An optional field that is ``null`` counts as left out.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        if not isinstance(value, dict) or None not in value.values():
            return value
        needed = {
            field.alias or name for name, field in cls.model_fields.items() if field.is_required()
        }
        return {key: one for key, one in value.items() if one is not None or key in needed}


class LenientModel(RequestModel):
    """A request model that keeps unknown fields instead of rejecting them.

    Used for parts that clients send back as received, and that proxies extend. ``unknown_fields``
    names the unknown ones.
    """

    model_config = ConfigDict(extra="allow")


def unknown_fields(value: object, path: str = "") -> Iterator[str]:
    """The paths of a request's unknown fields."""
    match value:
        case BaseModel():
            if isinstance(value, LenientModel):
                yield from (f"{path}{name}" for name in value.model_extra or ())
            for name in type(value).model_fields:
                yield from unknown_fields(getattr(value, name), f"{path}{name}.")
        case list() | tuple():
            for index, item in enumerate(value):
                yield from unknown_fields(item, f"{path}{index}.")
        case _:
            return


def left_out(body: BaseModel) -> Iterator[str]:
    """A notice for each unknown field of a request, up to a maximum."""
    for path in islice(unknown_fields(body), _MAX_NOTICES):
        logger.info("unknown field in a request: %s", path[:_MAX_PLACE])
        yield f"{path[:_MAX_PLACE]}: unknown field, ignored"


class UnicodeBody(RequestModel):
    """A request body whose texts are valid Unicode; JSON can encode unpaired surrogates.

    Raises:
        InvalidRequestError: a text has an unpaired surrogate.
    """

    @model_validator(mode="before")
    @classmethod
    def _is_whole(cls, value: object) -> object:
        if isinstance(value, bytes):  # a body that is not JSON; rejected as such elsewhere
            return value
        try:
            encode(value).encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"the body contains an unpaired surrogate: {error.object[error.start]!a}"
            ) from None
        return value


def encode(value: object) -> str:
    """Compact JSON, without ASCII escapes."""
    return _ENCODER.encode(value)


def one_or_many(
    given: str | list[int] | list[str] | list[list[int]],
) -> list[str | list[int]]:
    """The inputs of a field that takes one text or token list, or several."""
    if isinstance(given, str):
        return [given]
    tokens = [item for item in given if isinstance(item, int)]
    return [tokens] if tokens else [item for item in given if not isinstance(item, int)]


def new_id(prefix: str) -> str:
    """A random id: the prefix and 24 hexadecimal digits."""
    return f"{prefix}{secrets.token_hex(12)}"


def padding() -> str:
    """Random padding, so that the size of a chunk does not reveal the length of its text."""
    return secrets.token_hex(secrets.randbelow(_MAX_PADDING) + 1)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Marks a field that is accepted but has no effect here.

    Args:
        reason: why it has no effect.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Marks a field of other servers that is rejected here, unless it is null.

    Args:
        remedy: what to do instead.
    """

    remedy: str

    def __get_pydantic_core_schema__(
        self, source: type[object], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "null", "description": f"Not supported: {self.remedy}."}

    def _check(self, value: object) -> None:
        if value is not None:
            raise ValueError(f"not supported here: {self.remedy}")
