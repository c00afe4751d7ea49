"""Structured content: shown to the model unless the text already contains it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from kronk_agent.messages import JsonObject, JsonValue

_UNUSABLE = (re.error, AttributeError, KeyError, RecursionError, TypeError, ValueError)
"""Exceptions of validating against a malformed schema."""
_MIN_SHOWN = 24
"""Total characters of all values from which finding each of them in the text is no coincidence."""
_MAX_SEARCHED = 200_000
_MAX_LEAVES = 2000


def to_text(value: JsonValue) -> str:
    """Strings as they are, null as an empty string, and everything else as JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case _:
            return json.dumps(value, ensure_ascii=False)


def is_shown(value: JsonValue, texts: Sequence[str]) -> bool:
    """True if the texts contain the value, as JSON or with each part in other words."""
    if value in ({}, [], None):
        return True
    wanted = _same_as(value)
    parsed = [found for text in texts for found in _json_in(text)]
    if any(found in wanted for found in parsed) or parsed in wanted:
        return True
    joined = "\n".join(texts)
    if any(isinstance(each, str) and each in joined for each in wanted):
        return True
    return _contains_all(value, joined)


def violation(value: JsonValue, schema: JsonObject) -> str | None:
    """Location at which the value violates a schema, without quoting the value.

    None if it is valid, or if the schema cannot be checked.
    """
    from jsonschema import Draft202012Validator  # heavy, like the next four
    from jsonschema.exceptions import UnknownType, best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        validator = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
        error = best_match(validator.iter_errors(value))
    except (*_UNUSABLE, Unresolvable, UnknownType):
        return None
    return None if error is None else f"{error.json_path} ({error.validator})"


def _same_as(value: JsonValue) -> list[JsonValue]:
    """The value, and what it wraps: SDKs put values that are not objects under a single key."""
    if isinstance(value, dict) and len(value) == 1:
        return [value, *value.values()]
    return [value]


def _json_in(text: str) -> Iterator[JsonValue]:
    """The text itself if it is JSON, else the first object or list in it."""
    try:
        yield json.loads(text)
        return
    except (ValueError, RecursionError):
        pass
    if match := re.search(r"[{\[]", text):
        try:
            yield json.JSONDecoder().raw_decode(text, match.start())[0]
        except (ValueError, RecursionError):
            return


def _contains_all(value: JsonValue, text: str) -> bool:
    """True if every part of the value occurs in the text as a word, and they are long enough."""
    if len(text) > _MAX_SEARCHED:
        return False
    leaves: set[str] = set()
    for leaf in _leaves(value):
        leaves.add(leaf)
        if len(leaves) > _MAX_LEAVES:
            return False
    if sum(map(len, leaves)) < _MIN_SHOWN:
        return False
    return all(re.search(rf"(?<![\w.]){re.escape(leaf)}(?![\w])", text) for leaf in leaves)


def _leaves(value: JsonValue) -> Iterator[str]:
    match value:
        case dict():
            for item in value.values():
                yield from _leaves(item)
        case list():
            for item in value:
                yield from _leaves(item)
        case bool():
            yield json.dumps(value)
        case str():
            if value.strip():
                yield value.strip()
        case None:
            return
        case _:
            yield json.dumps(value)
