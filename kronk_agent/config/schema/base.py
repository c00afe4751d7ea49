"""Types and the base class shared by all sections of the file."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from kronk_agent.tools.policy import Rule

_SERVER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"

_T = TypeVar("_T")


def _parse_network(value: object) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("must be text such as 127.0.0.0/8")
    try:
        return ip_network(value)
    except ValueError:
        message = "must be an address, or a network such as 127.0.0.0/8 (not 127.0.0.1/8)"
        raise ValueError(message) from None


def _check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return url


def check_not_empty(values: tuple[_T, ...]) -> tuple[_T, ...]:
    """Return ``values``.

    Raises:
        ValueError: it is empty.
    """
    if not values:
        raise ValueError("must not be empty")
    return values


def _check_server_name(name: str) -> str:
    if not re.fullmatch(_SERVER_NAME, name):
        raise ValueError(
            "a server's name is 1-32 of A-Z a-z 0-9 _ -, starting with a letter or digit"
        )
    return name


def _check_tool_pattern(pattern: str) -> str:
    Rule.parse(pattern, "ask")
    return pattern


Seconds: TypeAlias = Annotated[float, Field(gt=0)]
Network: TypeAlias = Annotated[
    IPv4Network | IPv6Network, PlainValidator(_parse_network, json_schema_input_type=str)
]
# Validators instead of pydantic's `pattern`, whose error message shows a regular expression.
Url: TypeAlias = Annotated[
    str, AfterValidator(_check_url), Field(json_schema_extra={"pattern": "^https?://"})
]
ServerName: TypeAlias = Annotated[
    str, AfterValidator(_check_server_name), Field(json_schema_extra={"pattern": _SERVER_NAME})
]
ToolPattern: TypeAlias = Annotated[str, AfterValidator(_check_tool_pattern)]
# Pydantic's `min_length` would also report an error if only an item in the list is invalid.
NotEmptyNames: TypeAlias = Annotated[
    tuple[str, ...], AfterValidator(check_not_empty), Field(json_schema_extra={"minItems": 1})
]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and values are immutable."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
