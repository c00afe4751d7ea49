"""Tool arguments on the command line: one JSON object, or KEY=VALUE pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import click

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.arguments import ArgumentsCheck, parse_json

_PAIR = re.compile(r"(?P<key>[^=\s{\[\"]+)=(?P<value>.*)", re.DOTALL)


def arguments_as_json(words: Sequence[str], schema: JsonObject) -> str:
    """Return the arguments as JSON text, for the tool to check.

    Args:
        words: nothing, one JSON object, or a KEY=VALUE pair for each argument. A value is parsed as
            JSON if the schema accepts the result, else taken as text.
        schema: the schema of the tool's arguments.

    Raises:
        click.UsageError: a word is not KEY=VALUE, or a key is given twice.
    """
    pairs = [_PAIR.fullmatch(word) for word in words]
    if not any(pairs) and len(words) <= 1:
        return words[0] if words else "{}"
    arguments: JsonObject = {}
    for word, pair in zip(words, pairs, strict=True):
        if pair is None:
            raise click.UsageError(
                f"{word!r} is not KEY=VALUE; give KEY=VALUE pairs or one JSON object"
            )
        if pair["key"] in arguments:
            raise click.UsageError(f"{pair['key']} is given twice")
        arguments[pair["key"]] = _value(pair["value"], pair["key"], schema)
    return json.dumps(arguments, ensure_ascii=False)


def _value(text: str, name: str, schema: JsonObject) -> JsonValue:
    """Parse the text as JSON if the schema accepts that, else return it unchanged."""
    properties = schema.get("properties")
    property_schema = properties.get(name) if isinstance(properties, dict) else None
    alone: JsonObject = {**schema, "properties": {name: property_schema}, "required": []}
    check = ArgumentsCheck(alone if property_schema is not None else {})
    try:
        candidates: list[JsonValue] = [parse_json(text), text]
    except ValueError:
        return text
    if isinstance(property_schema, dict) and property_schema.get("type") == "string":
        candidates.reverse()
    valid = [value for value in candidates if check.problem({name: value}) is None]
    return (valid or candidates)[0]
