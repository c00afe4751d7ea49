"""Texts that servers write and models read, without what a person reviewing them cannot see."""

from __future__ import annotations

import re
import unicodedata

from kronk_agent.messages import JsonValue

_ANSI_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Letters and marks to Unicode, yet drawn as nothing: joiner, fillers, variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs"}
"""Control and format (zero-width, bidi, tags), unassigned, private use, lone surrogates."""


def strip_invisible(text: str) -> str:
    """The text without control, zero-width, bidi and other invisible characters."""
    text = _BLANK.sub("", _ANSI_SEQUENCE.sub("", text))
    return "".join(
        char
        for char in text
        if char in "\n\t" or unicodedata.category(char) not in _HIDDEN_CATEGORIES
    )


def escape_invisible(text: str) -> str:
    """The text with each character that ``visible`` takes out written as its number instead."""
    return "".join(
        char if strip_invisible(char) == char else f"\\u{{{ord(char):x}}}" for char in text
    )


_WORDS = {"description", "title", "$comment"}
_VALUES = {"const", "enum", "default", "examples"}
"""Keywords whose values must reach the server as they are."""
_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
"""Keywords whose own keys are names, whatever they look like."""


def strip_invisible_in_schema(schema: JsonValue) -> JsonValue:
    """The schema with its descriptions made ``visible``."""
    match schema:
        case dict():
            return {key: _visible_keyword(key, value) for key, value in schema.items()}
        case list():
            return [strip_invisible_in_schema(item) for item in schema]
        case _:
            return schema


def _visible_keyword(key: str, value: JsonValue) -> JsonValue:
    if key in _WORDS and isinstance(value, str):
        return strip_invisible(value)
    if key in _NAMED and isinstance(value, dict):
        return {name: strip_invisible_in_schema(schema) for name, schema in value.items()}
    return value if key in _VALUES else strip_invisible_in_schema(value)
