"""Limits of JSON Schemas and Lark grammars, checked in their text before compiling.

llguidance bounds its own work by fuel, with two gaps: if many patterns apply to one string
(``allOf``, Lark's ``&`` and ``~``), a single derivative takes unbounded time and memory; and a
``multipleOf`` takes one state per remainder. Grammars that may contain these are *unbounded*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from kronk_agent.errors import ConstraintError
from kronk_agent.messages import JsonObject, JsonValue

MAX_MINIMUM: Final = 100_000
"""Maximum of ``minItems``, ``minLength`` and ``minProperties``."""
MAX_MAXIMUM: Final = 1_000_000_000
"""Maximum of ``maxItems``, ``maxLength`` and ``maxProperties``."""
MAX_ENUM: Final = 50_000
"""Maximum values of one ``enum``."""
MAX_TEXT: Final = 20_000
"""Maximum characters of one fixed text (``const``, ``enum``, a literal), and of a pattern with its
counted repeats expanded: ``(a{10}){10}`` has 100."""
MAX_MEETING_PATTERNS: Final = 8
"""Maximum patterns that may apply to one string; with more the grammar is unbounded. Fuel refuses
8 in 12 ms; 14 take 30 s and 640 MiB; 25 never end."""
MAX_MULTIPLE: Final = 1_000
"""Maximum ``multipleOf``; a larger one is unbounded: it takes 1.7 µs per remainder."""

_SIZES: Final = {
    **dict.fromkeys(("minItems", "minLength", "minProperties"), MAX_MINIMUM),
    **dict.fromkeys(("maxItems", "maxLength", "maxProperties"), MAX_MAXIMUM),
}
_COMBINING: Final = frozenset({"allOf", "anyOf", "oneOf", "$ref", "$dynamicRef"})
_COMBINED: Final = _COMBINING | {
    "format",
    "multipleOf",
    "pattern",
    "patternProperties",
    "properties",
}
_JSON: Final = re.compile(r"%json\b\s*")
_LITERAL: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?!/)((?:\\.|[^/\\\n])+)/')
_PIECE: Final = re.compile(
    r"(?P<repeat>\{(?P<least>\d+)(?:,(?P<most>\d*))?\})|(?P<open>\()|(?P<close>\))"
    r"|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.",
    re.DOTALL,
)


def check_grammar(grammar: str, parts: Mapping[str, str], *, is_ours: bool) -> bool:
    """Check a Lark grammar, its parts and the JSON Schemas in them against the limits.

    Args:
        grammar: Lark source.
        parts: further grammars by name, written by a client.
        is_ours: the grammar itself is trusted; a client may have written schemas and patterns in
            it.

    Returns:
        True if the grammar is unbounded.

    Raises:
        ConstraintError: it is over a limit.
    """
    untrusted = [*parts.values(), *([] if is_ours else [grammar])]
    has_algebra = any("&" in text or "~" in text for text in untrusted)
    schemas = [schema for text in (grammar, *parts.values()) for schema in _check_lark(text)]
    unbounded = [_is_unbounded(schema) for schema in schemas]  # all of them, to check their limits
    return has_algebra or any(unbounded)


def _check_lark(text: str) -> list[JsonValue]:
    """Check the literals of a Lark grammar and return the JSON Schemas in it."""
    schemas: list[JsonValue] = []
    at = 0
    decoder = json.JSONDecoder()
    while True:
        found = _JSON.search(text, at)
        for literal in _LITERAL.finditer(text, at, found.start() if found else len(text)):
            _check_text(literal[0])
            if literal[1] is not None:
                _check_pattern(literal[1])
        if found is None:
            return schemas
        try:
            schema, at = decoder.raw_decode(text, found.end())
        except RecursionError:
            raise ConstraintError("the JSON Schema is nested too deeply: flatten it") from None
        except ValueError:  # the compiler reports this better
            at = found.end()
        else:
            schemas.append(schema)


def _is_unbounded(schema: JsonValue) -> bool:
    """Check a JSON Schema; True if llguidance's fuel does not bound its cost."""
    num_patterns, multiples, is_combining = 0, list[Decimal](), False
    for inner in _objects(schema):
        _check_object(inner)
        num_patterns += len({"pattern", "format"} & inner.keys())
        by_pattern = inner.get("patternProperties")
        if isinstance(by_pattern, dict):
            num_patterns += len(by_pattern)
            is_combining = is_combining or len(by_pattern) > 1
        if isinstance(multiple := inner.get("multipleOf"), int | float):
            multiples.append(Decimal(str(multiple)))
        is_combining = is_combining or _combines_schemas(inner)
    is_large = any(_remainders(multiple) > MAX_MULTIPLE for multiple in multiples)
    meets = num_patterns > MAX_MEETING_PATTERNS or len(multiples) > 1
    return is_large or (is_combining and meets)


def _objects(schema: JsonValue) -> Iterator[JsonObject]:
    """All JSON objects in a schema. Some are not schemas, which does no harm."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _combines_schemas(schema: JsonObject) -> bool:
    """True if it combines the keywords of several schemas."""
    several = schema.get("allOf")
    if isinstance(several, list) and len(several) > 1:
        return True
    return bool(schema.keys() & _COMBINING) and len(schema.keys() & _COMBINED) > 1


def _remainders(multiple: Decimal) -> int:
    """Number of states it takes to recognize a multiple by its digits."""
    return int("".join(map(str, multiple.normalize().as_tuple().digits)))


def _check_object(schema: JsonObject) -> None:
    for key, most in _SIZES.items():
        number = schema.get(key)
        if isinstance(number, int | float) and number > most:
            raise ConstraintError(f"{key} must be at most {most}, not {number:g}")
    values = schema.get("enum")
    if isinstance(values, list):
        if len(values) > MAX_ENUM:
            raise ConstraintError(
                f"enum: at most {MAX_ENUM} values, got {len(values)}: use fewer or a pattern"
            )
        _check_texts(values)
    _check_texts([schema.get("const")])
    if isinstance(pattern := schema.get("pattern"), str):
        _check_pattern(pattern)
    by_pattern = schema.get("patternProperties")
    if isinstance(by_pattern, dict):
        for pattern in by_pattern:
            _check_pattern(pattern)


def _check_texts(values: Iterable[JsonValue]) -> None:
    for value in values:
        if isinstance(value, str):
            _check_text(value)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ConstraintError(
            f"a fixed text may have at most {MAX_TEXT} characters, got {len(text)}: shorten it"
        )


def _check_pattern(pattern: str) -> None:
    length = _expanded_length(pattern)
    if length > MAX_TEXT:
        raise ConstraintError(
            f"the pattern {pattern[:60]!r} has {length} characters with its repeats expanded, at "
            f"most {MAX_TEXT} are allowed: lower its counts"
        )


def _expanded_length(pattern: str) -> int:
    """Characters of a pattern with its counted repeats expanded."""
    totals, last = [0], 0
    for piece in _PIECE.finditer(pattern):
        if piece["open"]:
            totals.append(0)
        elif piece["close"] and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        elif piece["repeat"]:
            times = int((piece["most"] or piece["least"])[:10])
            totals[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            totals[-1] += 1
    return sum(totals)
