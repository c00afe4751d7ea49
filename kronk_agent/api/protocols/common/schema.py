"""What the wire formats of all protocols are made of."""

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
"""``system_fingerprint`` of answers: what made them."""


class RequestModel(BaseModel):
    """A part of a request: a field we do not know is refused by name, never ignored.

    ``null`` is as if the field were left out, where it may be left out.
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
    """A part of a request that clients give back as they got it, and programs between add to: a
    field we do not know is left out, and named by ``unknown_fields``."""

    model_config = ConfigDict(extra="allow")


def unknown_fields(value: object, path: str = "") -> Iterator[str]:
    """The places of fields that are in no table, in a request or a part of it."""
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
    """A notice for each field of a request that nobody knows; of many only the first few."""
    for path in islice(unknown_fields(body), _MAX_NOTICES):
        logger.info("a request has a field that is not known here: %s", path[:_MAX_PLACE])
        yield f"{path[:_MAX_PLACE]}: not known here, and left out"


class UnicodeBody(RequestModel):
    """A body whose texts are all Unicode: JSON can write half a character, which nothing can keep.

    Raises:
        InvalidRequestError: half a character stands alone.
    """

    @model_validator(mode="before")
    @classmethod
    def _is_whole(cls, value: object) -> object:
        if isinstance(value, bytes):  # of another content type; no object, as is said elsewhere
            return value
        try:
            encode(value).encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"the body has half a character alone (a surrogate): {error.object[error.start]!a}"
            ) from None
        return value


def encode(value: object) -> str:
    """JSON without blanks, any character as itself."""
    return _ENCODER.encode(value)


def one_or_many(
    given: str | list[int] | list[str] | list[list[int]],
) -> list[str | list[int]]:
    """The inputs of a request that may have one, or several: texts or token ids."""
    if isinstance(given, str):
        return [given]
    tokens = [item for item in given if isinstance(item, int)]
    return [tokens] if tokens else [item for item in given if not isinstance(item, int)]


def new_id(prefix: str) -> str:
    """An id nobody can guess: the prefix and 24 hexadecimal digits."""
    return f"{prefix}{secrets.token_hex(12)}"


def padding() -> str:
    """Letters without meaning, so that the size of what is sent tells nothing of the text."""
    return secrets.token_hex(secrets.randbelow(_MAX_PADDING) + 1)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Marks a field that others have and that changes nothing here: it is read and left alone.

    Args:
        reason: why nothing depends on it.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Marks a field that others have and we do not: null is let pass, all else refused.

    Args:
        remedy: what would do instead.
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


# Former names, for the request modules that still use them.
Wire = RequestModel
OpenWire = LenientModel
WholeText = UnicodeBody
Refused = Unsupported
