"""Rewrites the references of JSON Schemas so that each is ``#/$defs/NAME``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.walking import with_all_schemas, without_reversals

if TYPE_CHECKING:
    from referencing._core import Resolved, Resolver

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_DROPPED_KEYWORDS: Final = frozenset(
    {"$schema", "$id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$defs", "definitions"}
)
_ROOT: Final = "root"


def resolved(schema: JsonObject) -> tuple[JsonObject, list[tuple[str, str]]]:
    """Move referenced schemas into ``$defs``, and remove ``$id`` and anchors.

    Dynamic references that are ambiguous are dropped. References to other documents are never
    fetched.

    Args:
        schema: a valid schema of draft 2020-12.

    Returns:
        The schema, and the path and text of each reference that was dropped as unresolvable.
    """
    if not _has_references(schema):
        return _without_bases(schema), []
    from referencing import Registry  # heavy: 40 ms
    from referencing.jsonschema import DRAFT202012

    registry: Registry[Any] = Registry()  # an empty registry fetches nothing
    resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
    resolution = _Resolution(schema)
    root = resolution.read(schema, resolver, "")
    assert isinstance(root, dict)
    return resolution.complete(root), resolution.dangling


class _Resolution:
    """Rewrites the references of one schema."""

    def __init__(self, root: JsonObject) -> None:
        self.dangling: list[tuple[str, str]] = []
        self._root = root
        self._is_static = _is_static(root)
        self._names: dict[int, str] = {}
        """Names of referenced schemas, by identity."""
        self._definitions: dict[str, JsonValue] = {}

    def read(self, schema: JsonValue, resolver: Resolver[Any], path: str) -> JsonValue:
        """Rewrite the references of a schema; referenced schemas are processed on the way."""
        if not isinstance(schema, dict):
            return schema
        from referencing.jsonschema import DRAFT202012

        resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        kept: JsonObject = {key: v for key, v in schema.items() if key not in _DROPPED_KEYWORDS}
        lost: set[str] = set()
        for keyword in _REFERENCES:
            reference = kept.pop(keyword, None)
            if isinstance(reference, str) and (keyword == "$ref" or self._is_static):
                target = _lookup(resolver, reference)
                if target is None or _is_endless(schema, target):
                    self.dangling.append((path, reference))
                    lost.add(keyword)
                else:
                    kept["$ref"] = f"#/$defs/{self._named(target, reference)}"

        def step(key: str, value: JsonValue) -> JsonValue:
            """Process a subschema."""
            num_dangling = len(self.dangling)
            read = self.read(value, resolver, f"{path}.{key}" if path else key)
            if len(self.dangling) > num_dangling:
                lost.add(key.partition(".")[0])
            return read

        return without_reversals(with_all_schemas(kept, step), lost)

    def complete(self, root: JsonObject) -> JsonObject:
        """Return the root schema with the definitions, in place of its own or at the end."""
        if not self._definitions:
            return root
        definitions: JsonObject = {
            name: root if value is None else value for name, value in self._definitions.items()
        }
        keys = [*self._root]
        at = next((keys.index(key) for key in ("$defs", "definitions") if key in keys), len(keys))
        before = {key: value for key, value in root.items() if key in keys[:at]}
        return {**before, "$defs": definitions, **root}

    def _named(self, target: Resolved[Any], reference: str) -> str:
        name = self._names.get(id(target.contents))
        if name is None:
            name = self._names[id(target.contents)] = self._free_name(target, reference)
            self._definitions[name] = None  # registered first, for references to itself
            if target.contents is not self._root:
                self._definitions[name] = self.read(
                    target.contents, target.resolver, f"$defs.{name}"
                )
        return name

    def _free_name(self, target: Resolved[Any], reference: str) -> str:
        last = _ROOT if target.contents is self._root else reference.rpartition("/")[2]
        name = base = re.sub(r"[^A-Za-z0-9_.-]+", "_", last).strip("_") or "schema"
        number = 1
        while name in self._definitions:
            number += 1
            name = f"{base}_{number}"
        return name


def _has_references(schema: JsonValue) -> bool:
    if not isinstance(schema, dict):
        return False
    found = any(keyword in schema for keyword in _REFERENCES)

    def visit(_: str, value: JsonValue) -> JsonValue:
        nonlocal found
        found = found or _has_references(value)
        return value

    with_all_schemas(schema, visit)
    return found


def _without_bases(schema: JsonObject) -> JsonObject:
    """Remove keywords that only references need."""

    def step(_: str, value: JsonValue) -> JsonValue:
        return _without_bases(value) if isinstance(value, dict) else value

    return with_all_schemas({k: v for k, v in schema.items() if k not in _DROPPED_KEYWORDS}, step)


def _is_static(schema: JsonObject) -> bool:
    """True if every dynamic reference has a single possible target."""
    found: list[tuple[str, str]] = []

    def visit(_: str, value: JsonValue) -> JsonValue:
        if isinstance(value, dict):
            found.extend(
                (key, str(value[key])) for key in ("$id", "$dynamicAnchor") if key in value
            )
            with_all_schemas(value, visit)
        return value

    visit("", schema)
    anchors = [name for key, name in found if key == "$dynamicAnchor"]
    return len(found) - len(anchors) <= 1 and len(anchors) == len(set(anchors))


def _lookup(resolver: Resolver[Any], reference: str) -> Resolved[Any] | None:
    """Resolve a reference to a schema of the same document; None if it has no such target."""
    moved = re.sub(r"/items/(\d+)", r"/prefixItems/\1", reference)
    for spelling in (reference, moved):
        try:
            target = resolver.lookup(spelling)
        except Exception:  # noqa: BLE001  # boundary: a broken reference may raise anything
            continue
        if isinstance(target.contents, dict | bool):
            return target
    return None


def _is_endless(schema: JsonObject, target: Resolved[Any]) -> bool:
    """True if references form a cycle without any other schema."""
    seen = {id(schema)}
    contents, resolver = target.contents, target.resolver
    while id(contents) not in seen:
        seen.add(id(contents))
        reference = contents.get("$ref") if isinstance(contents, dict) else None
        following = _lookup(resolver, reference) if isinstance(reference, str) else None
        if following is None:
            return False
        contents, resolver = following.contents, following.resolver
    return True
