"""Turns pydantic's validation errors into readable messages with their origins."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kronk_agent.config.schema.config import Config
from kronk_agent.config.schema.model import MODEL_TAGS
from kronk_agent.config.schema.schema_path import setting_at
from kronk_agent.config.secrets import secrets_in_args
from kronk_agent.config.yaml.sourced import KeyPath, SourcedValue, dotted, find
from kronk_agent.errors import ConfigError
from kronk_agent.redaction import Redactor, secrets_in_url

_MAX_SHOWN = 60


def explain(error: ValidationError, tree: SourcedValue) -> Iterator[ConfigError]:
    """Yield an error for each mistake that pydantic found."""
    for detail in error.errors(include_url=False):
        loc = tuple(key for key in detail["loc"] if key not in MODEL_TAGS)
        path, node = find(tree, loc)
        yield node.origin.mistake(_message(detail, path, node), path)


def _message(detail: ErrorDetails, path: KeyPath, node: SourcedValue) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_key(path)
        case "missing":
            return f"{detail['loc'][-1]} is missing"
        case "model_type" | "dict_type":
            return "must be a mapping, with 'key: value' lines" + _not(path, node)
        case "tuple_type":
            return "must be a list, such as [a, b]" + _not(path, node)
        case "string_type":
            in_quotes = isinstance(node.value, bool | int | float)
            return f"must be text{': put it in quotes' if in_quotes else _not(path, node)}"
        case "int_type":
            return "must be a whole number" + _not(path, node)
        case "float_type" | "finite_number":
            return "must be a number" + _not(path, node)
        case "bool_type":
            return "must be true or false" + _not(path, node)
        case "greater_than":
            return f"must be more than {_number(context['gt'])}" + _not(path, node)
        case "greater_than_equal":
            return f"must be at least {_number(context['ge'])}" + _not(path, node)
        case "less_than_equal":
            return f"must be at most {_number(context['le'])}" + _not(path, node)
        case "string_too_short":
            return "must not be empty"
        case "literal_error":
            return f"must be {context['expected']}" + _not(path, node)
        case "value_error":
            is_about_one_value = isinstance(node.value, str | int | float)
            return str(context["error"]) + (_not(path, node) if is_about_one_value else "")
        case _:
            return detail["msg"]


def _unknown_key(path: KeyPath) -> str:
    """Return the message for an unknown key, with the most similar one."""
    name = str(path[-1])
    keys = _keys_at(path[:-1])
    if name in keys:
        return f"{name!r} cannot be combined with the other keys here"
    if nearest := difflib.get_close_matches(name, keys, n=1):
        return f"unknown key {name!r}: did you mean {nearest[0]!r}?"
    if name in Config.model_fields:
        parent = dotted(path[:-1])
        return f"unknown key {name!r}: it belongs to the top level, not under {parent}"
    if candidates := [repr(dotted(other)) for other in _paths_of_nearest(name)]:
        return f"unknown key {name!r}: did you mean {' or '.join(candidates)}?"
    return f"unknown key {name!r}: known keys: {', '.join(keys)}"


def _keys_at(path: KeyPath) -> Sequence[str]:
    setting = setting_at(path)
    return list(setting.fields) if setting else []


def _paths_of_nearest(name: str) -> Sequence[KeyPath]:
    """Return the paths of keys with this or the most similar name in the whole schema."""
    top: list[KeyPath] = [(key,) for key in Config.model_fields]
    paths = top + [(*path, key) for path in top for key in _keys_at(path)]
    nearest = difflib.get_close_matches(name, [str(path[-1]) for path in paths], n=1)
    return [path for path in paths if path[-1] in nearest]


def _not(path: KeyPath, node: SourcedValue) -> str:
    """Return what was given instead, unless it may be a secret."""
    setting = setting_at(path)
    if node.is_from_variable or (setting is not None and setting.is_secret):
        return ""
    match node.value:
        case dict():
            return ", not a mapping"
        case list():
            return ", not a list"
        case str() as text:
            redact = Redactor([*secrets_in_url(text), *secrets_in_args(text.split())])
            shown = redact(text)
            is_cut = len(shown) > _MAX_SHOWN
            return f", not {shown[:_MAX_SHOWN]!r}" + ("…" if is_cut else "")
        case scalar:
            return f", not {json.dumps(scalar)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
