"""Detects tool calls that a model wrote as text instead of making them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from kronk_agent.messages import JsonValue

ARGUMENT_KEYS: Final = ("arguments", "parameters")
"""Keys that models use for the arguments of a call in JSON."""

_MAX_CANDIDATES: Final = 1000
"""Maximum positions in a text that are tried; bounds the time for hostile text."""
_CALL_OBJECT: Final = re.compile(r'\{\s*"(?:name|arguments|parameters|id|type|function)"')
_PAREN_PART: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[()]""", re.DOTALL)
_DECODER: Final = json.JSONDecoder()


def find_written_call(text: str, names: Collection[str]) -> str | None:
    """Return the name of the tool that the text contains a complete call of, or None.

    A call is complete if its arguments are. These forms are recognized within any delimiters and
    code blocks: ``{"name": NAME, "arguments": {...}}`` (or ``"parameters"``),
    ``<function=NAME>...</function>``, and, on lines of their own, ``NAME({...})`` and
    ``NAME(key=value)``.

    Args:
        text: the model's output.
        names: names of the tools; a call of any other is plain text.
    """
    if not any(name in text for name in names):
        return None
    found = next(_object_calls(text, names), None)
    return found or _tagged_call(text, names) or _python_call(text, names)


def _object_calls(text: str, names: Collection[str]) -> Iterator[str]:
    for start in islice(_CALL_OBJECT.finditer(text), _MAX_CANDIDATES):
        try:
            value, _ = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        name = value.get("name")
        if isinstance(name, str) and name in names and _has_arguments(value):
            yield name


def _has_arguments(call: dict[str, JsonValue]) -> bool:
    return any(_is_arguments(call[key]) for key in ARGUMENT_KEYS if key in call)


def _is_arguments(value: JsonValue) -> bool:
    """True for an object, or JSON text of one, that is not a JSON Schema."""
    if isinstance(value, str):
        return value.lstrip().startswith("{")
    return isinstance(value, dict) and not ("type" in value and "properties" in value)


def _tagged_call(text: str, names: Collection[str]) -> str | None:
    pattern = rf"<(?:function|invoke)(?:=| name=)[\"']?({_any_of(names)})[\"']?\s*>"
    for found in islice(re.finditer(pattern, text), _MAX_CANDIDATES):
        if re.compile(r"</(?:function|invoke)>").search(text, found.end()):
            return found.group(1)
    return None


def _python_call(text: str, names: Collection[str]) -> str | None:
    pattern = rf"^[ \t]*\[?({_any_of(names)})\((?=\s*(?:\{{|\w+\s*=(?!=)))"
    for found in islice(re.finditer(pattern, text, re.MULTILINE), _MAX_CANDIDATES):
        end = _closing_paren(text, found.end())
        rest = "" if end is None else text[end:].partition("\n")[0]
        if end is not None and not rest.strip(" \t\r`];,"):
            return found.group(1)
    return None


def _closing_paren(text: str, start: int) -> int | None:
    """Return the end of the parenthesis opened before ``start``; None if it is not closed."""
    depth = 1
    for part in _PAREN_PART.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(part.group(), 0)
        if depth == 0:
            return part.end()
    return None


def _any_of(names: Collection[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
