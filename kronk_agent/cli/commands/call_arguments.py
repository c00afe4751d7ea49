"""Arguments of a call as a person types them: a JSON object, or KEY=VALUE for each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import click

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.arguments import ArgumentsCheck, parse_json

_PAIR = re.compile(r"(?P<key>[^=\s{\[\"]+)=(?P<value>.*)", re.DOTALL)


def arguments_as_json(words: Sequence[str], schema: JsonObject) -> str:
    """The arguments as JSON text, for the tool to check.

    Args:
        words: nothing, one JSON object, or a KEY=VALUE for each argument. A value is JSON where the
            schema takes it as such, else text.
        schema: of the tool's arguments.

    Raises:
        click.UsageError: they are none of these.
    """
    pairs = [_PAIR.fullmatch(word) for word in words]
    if not any(pairs) and len(words) <= 1:
        return words[0] if words else "{}"
    found: JsonObject = {}
    for word, pair in zip(words, pairs, strict=True):
        if pair is None:
            raise click.UsageError(f"{word!r} is not KEY=VALUE; give these, or one JSON object")
        if pair["key"] in found:
            raise click.UsageError(f"{pair['key']} is given twice")
        found[pair["key"]] = _value(pair["value"], pair["key"], schema)
    return json.dumps(found, ensure_ascii=False)


def _value(text: str, name: str, schema: JsonObject) -> JsonValue:
    """The text as the schema takes it: as JSON or as it is."""
    properties = schema.get("properties")
    own = properties.get(name) if isinstance(properties, dict) else None
    alone: JsonObject = {**schema, "properties": {name: own}, "required": []}
    check = ArgumentsCheck(alone if own is not None else {})
    try:
        candidates: list[JsonValue] = [parse_json(text), text]
    except ValueError:
        return text
    if isinstance(own, dict) and own.get("type") == "string":
        candidates.reverse()
    fitting = [value for value in candidates if check.problem({name: value}) is None]
    return (fitting or candidates)[0]
