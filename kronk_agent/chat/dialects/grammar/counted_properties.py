"""Support for ``minProperties`` and ``maxProperties`` in schemas that list properties."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue

_MAX_OPTIONS: Final = 64
"""Alternative objects that a schema is expanded to. Beyond that the keyword is checked after the
call."""


def with_counted_properties(schema: JsonObject) -> JsonObject:
    """Replace the counts of an object's properties by alternatives that list properties.

    llguidance supports the keywords only if no listed property is optional, see
    https://github.com/guidance-ai/llguidance/issues/168.
    """
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    listed = schema.get("properties")
    if (least is None and most is None) or not isinstance(listed, dict) or not listed:
        return schema
    rest = {k: v for k, v in schema.items() if k not in ("minProperties", "maxProperties")}
    if "anyOf" in schema:
        return rest
    required = {name for name in _names(schema.get("required")) if name in listed}
    optional = [name for name in listed if name not in required]
    is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
    fewest = max(0, (least if isinstance(least, int) else 0) - len(required))
    greatest = len(optional) if not isinstance(most, int) else most - len(required)
    if is_closed:
        options = _choices(optional, fewest, min(greatest, len(optional)))
    else:
        counts: JsonObject = {
            key: schema[key] for key in ("minProperties", "maxProperties") if key in schema
        }
        options = _choices_beside_others(optional, counts)
    return {**rest, "anyOf": options} if options else rest


def _choices(names: list[str], fewest: int, greatest: int) -> list[JsonValue]:
    """List objects with between ``fewest`` and ``greatest`` of these properties, and no others."""
    if (not fewest and greatest >= len(names)) or greatest < 0:
        return []
    if math.comb(len(names), greatest) * math.comb(greatest, fewest) > _MAX_OPTIONS:
        return []
    return [
        {"required": [*needed], "properties": {n: False for n in names if n not in allowed}}
        for allowed in combinations(names, greatest)
        for needed in combinations(allowed, fewest)
    ]


def _choices_beside_others(names: list[str], counts: JsonObject) -> list[JsonValue]:
    """List objects with each subset of these properties; others make up the numbers."""
    if 2 ** len(names) > _MAX_OPTIONS:
        return []
    return [
        {"required": [*some], "properties": {n: False for n in names if n not in some}, **counts}
        for size in range(len(names) + 1)
        for some in combinations(names, size)
    ]


def _names(value: JsonValue) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
