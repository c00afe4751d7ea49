"""Removes invisible characters from texts that servers write and models read."""

from __future__ import annotations

import re
import unicodedata

from kronk_agent.messages import JsonValue

_ANSI_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Letters and marks in Unicode that render as nothing: joiner, fillers, variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs"}
"""Control and format (zero-width, bidi, tags), unassigned, private use, lone surrogates."""


def strip_invisible(text: str) -> str:
    """Remove control, zero-width, bidi and other invisible characters."""
    text = _BLANK.sub("", _ANSI_SEQUENCE.sub("", text))
    return "".join(
        char
        for char in text
        if char in "\n\t" or unicodedata.category(char) not in _HIDDEN_CATEGORIES
    )


def escape_invisible(text: str) -> str:
    """Replace each character that ``strip_invisible`` removes by its code point."""
    return "".join(
        char if strip_invisible(char) == char else f"\\u{{{ord(char):x}}}" for char in text
    )


_TEXT_KEYWORDS = {"description", "title", "$comment"}
_VALUE_KEYWORDS = {"const", "enum", "default", "examples"}
"""Keywords whose values must reach the server unchanged."""
_NAME_KEYWORDS = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
"""Keywords whose keys are names, not keywords."""


def strip_invisible_in_schema(schema: JsonValue) -> JsonValue:
    """Apply ``strip_invisible`` to the descriptions in a schema."""
    match schema:
        case dict():
            return {key: _strip_keyword(key, value) for key, value in schema.items()}
        case list():
            return [strip_invisible_in_schema(item) for item in schema]
        case _:
            return schema


def _strip_keyword(key: str, value: JsonValue) -> JsonValue:
    if key in _TEXT_KEYWORDS and isinstance(value, str):
        return strip_invisible(value)
    if key in _NAME_KEYWORDS and isinstance(value, dict):
        return {name: strip_invisible_in_schema(schema) for name, schema in value.items()}
    return value if key in _VALUE_KEYWORDS else strip_invisible_in_schema(value)
