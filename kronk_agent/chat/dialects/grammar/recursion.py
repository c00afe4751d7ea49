"""Limit the depth of recursive schemas, so that a model that repeats itself comes to an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.walking import schemas_in, with_schemas

_MAX_DEPTH: Final = 12
"""Nested references to recursive definitions."""


def unroll(schema: JsonObject) -> JsonObject:
    """Replace each recursive definition by one copy for every depth, up to the limit."""
    definitions = {
        f"#/{key}/{name}": definition
        for key in ("$defs", "definitions")
        for name, definition in _object(schema.get(key)).items()
        if isinstance(definition, dict)
    }
    recursive = {ref: d for ref, d in definitions.items() if ref in _reachable(d, definitions)}
    if not recursive:
        return schema
    unrolling = _Unrolling(recursive)
    for depth in reversed(range(_MAX_DEPTH)):
        unrolling.add_depth(depth)
    return unrolling.complete(schema)


def _reachable(schema: JsonObject, definitions: Mapping[str, JsonObject]) -> set[str]:
    """Return all references that can be reached from a schema."""
    reached: set[str] = set()
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        waiting.extend(schemas_in(current))
        reference = current.get("$ref")
        if isinstance(reference, str) and reference not in reached:
            reached.add(reference)
            waiting.extend([definitions[reference]] if reference in definitions else [])
    return reached


@dataclass(slots=True)
class _Unrolling:
    """Copies of recursive definitions."""

    recursive: Mapping[str, JsonObject]
    """Definitions by reference."""
    copies: dict[str, JsonValue] = field(default_factory=dict)
    """By reference, including the depth. False is a copy that no value satisfies."""

    def add_depth(self, depth: int) -> None:
        """Copy every definition for a depth; deeper copies must exist already."""
        for reference, definition in self.recursive.items():
            self.copies[f"{reference}@{depth}"] = self._at(definition, depth + 1)

    def complete(self, schema: JsonObject) -> JsonObject:
        """Return the schema with references to the copies, and the copies among its definitions."""
        completed = self._at(schema, 0)
        if not isinstance(completed, dict):
            return schema  # no finite value satisfies it
        for reference, copy in self.copies.items():
            _, key, name = reference.split("/", 2)
            completed[key] = {**_object(completed[key]), name: copy}
        return completed

    def _at(self, schema: JsonValue, depth: int) -> JsonValue:
        """Return a schema that refers to the copies of a depth; false if no value satisfies it."""
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref")
        if reference in self.recursive:
            # Beyond the deepest copy no value is allowed.
            copy = f"{reference}@{depth}"
            return {**schema, "$ref": copy} if self.copies.get(copy, False) is not False else False
        changed = with_schemas(schema, lambda inner: self._at(inner, depth))
        return _without_impossible(changed)


def _without_impossible(schema: JsonObject) -> JsonValue:
    """Remove options that are false; return false if no value satisfies the rest."""
    properties, required = _object(schema.get("properties")), schema.get("required")
    if isinstance(required, list) and any(properties.get(str(name)) is False for name in required):
        return False
    if schema.get("items") is False and schema.get("minItems"):
        return False
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list):
            possible = [option for option in options if option is not False]
            if not possible:
                return False
            schema = {**schema, key: possible}
    return schema


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}
