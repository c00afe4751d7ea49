"""Find the part of a JSON Schema that a grammar can enforce."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.reading import SchemaProblem
from kronk_agent.tools.schema.walking import with_all_schemas, without_reversals

logger = logging.getLogger(__name__)

Refusal: TypeAlias = Callable[[JsonObject], Awaitable[str]]
"""Tries a schema: returns why no grammar can be made of it, or an empty string if one can."""

_MAX_TRIES: Final = 200
_MAX_SECONDS: Final = 5.0
_FIRST: Final = (
    *("maxLength", "minLength", "pattern", "patternProperties", "format"),
    *("multipleOf", "enum", "const", "allOf"),
)
"""Keywords that are dropped first. A pattern and a length may be enforceable separately but not
together; the pattern is dropped last because it says more."""
_LAST: Final = ("items", "prefixItems", "additionalProperties", "properties")
_KEPT: Final = frozenset({"type", "title", "description", "default", "examples", "$defs"})
_ANYTHING: Final[JsonObject] = {"additionalProperties": True}
_LONGEST_SHOWN: Final = 60
"""Characters of a keyword's value shown in an error."""
_LONGEST_REASON: Final = 160
"""Characters of llguidance's message shown in an error; it may quote a whole pattern."""
_REMEMBERED: Final = 256
"""Schemas whose results are cached."""
_REMARKS: Final = {"oneOf": ": several of its options may match, as with anyOf"}
"""Remarks for the log on keywords that are enforced in part, by keyword."""


@dataclass(frozen=True, slots=True)
class Enforceable:
    """A schema that a grammar can enforce."""

    schema: JsonObject
    left_out: tuple[SchemaProblem, ...] = ()
    """Keywords that the grammar does not enforce."""


class EnforceableSchemas:
    """Finds the enforceable part of schemas and caches the latest results."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, Enforceable] = OrderedDict()
        self._logged: OrderedDict[str, None] = OrderedDict()

    async def find(self, kind: str, schema: JsonObject, refusal: Refusal) -> Enforceable:
        """Return the cached result of ``enforceable``, or compute it.

        Args:
            kind: what a refusal depends on besides the schema; part of the cache key, shown in the
            log.
            schema: any JSON Schema.
            refusal: tries a schema.
        """
        key = f"{kind} {json.dumps(schema)}"
        if key not in self._found:
            found = self._found[key] = await enforceable(schema, refusal)
            for problem in found.left_out:
                logger.warning("%s: not enforced by the grammar: %s", kind, problem)
            while len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        self._found.move_to_end(key)
        return self._found[key]

    async def log_unenforced(
        self, kind: str, schema: JsonObject, find: Callable[[], Awaitable[Set[str]]]
    ) -> None:
        """Log the keywords of a schema that its grammar does not enforce, once for each schema.

        Args:
            kind: what the schema belongs to; shown in the log.
            schema: any JSON Schema.
            find: finds the keywords; not called for a schema that was logged before.
        """
        key = f"{kind} {json.dumps(schema)}"
        if key not in self._logged:
            self._logged[key] = None
            for keyword in sorted(await find()):
                remark = _REMARKS.get(keyword, "")
                logger.warning("%s: not enforced by the grammar: %s%s", kind, keyword, remark)
        self._logged.move_to_end(key)
        while len(self._logged) > _REMEMBERED:
            self._logged.popitem(last=False)


async def enforceable(schema: JsonObject, refusal: Refusal) -> Enforceable:
    """Drop the keywords that no grammar can enforce, as few as the search finds.

    An enforceable schema takes one try. Any other takes several tries for each such keyword, at
    most 5 seconds in all; when the time is up, the result allows any object.

    Args:
        schema: as ``read_schema`` returns it.
        refusal: tries a schema.
    """
    whole = await refusal(schema)
    if not whole:
        return Enforceable(schema)
    search = _Search(refusal)
    try:
        return await search.relaxed(schema)
    except _GaveUpError:
        problem = SchemaProblem("", "schema", whole)
        return Enforceable(_ANYTHING, (problem,))


class _GaveUpError(Exception):
    """The search took too many tries or too long."""


@dataclass(slots=True)
class _Search:
    refusal: Refusal
    left_out: list[SchemaProblem] = field(default_factory=list)
    _num_tries: int = 0
    _start: float = field(default_factory=time.monotonic)

    async def relaxed(self, root: JsonObject) -> Enforceable:
        """Return the root schema without the keywords that cannot be enforced.

        Raises:
            _GaveUpError: the search takes too long, or the result is still refused.
        """
        schema = await self._part(root, "")
        definitions = root.get("$defs")
        if isinstance(definitions, dict):
            found: JsonObject = {
                name: await self._part(inner, f"$defs.{name}")
                for name, inner in definitions.items()
            }
            schema = {**schema, "$defs": found} if isinstance(schema, dict) else schema
        if not isinstance(schema, dict) or await self._refused(schema):
            raise _GaveUpError
        return Enforceable(schema, tuple(self.left_out))

    async def _part(self, schema: JsonValue, path: str) -> JsonValue:
        """Relax a subschema on its own; its references are resolved elsewhere."""
        if not isinstance(schema, dict) or not await self._refused(_alone(schema, path)):
            return schema
        schema = await self._with_parts(schema, path)
        reason = await self._refused(_alone(schema, path))
        if not reason:
            return schema
        suspects: list[str] = [key for key in _FIRST if key in schema]
        suspects += [key for key in schema if key not in {*suspects, *_KEPT, *_LAST}]
        suspects += [key for key in _LAST if key in schema]
        for key in suspects:
            less = _without(schema, {key})
            if not await self._refused(_alone(less, path)):
                self.left_out.append(_problem(path, schema, key, reason))
                return less
        for at in range(2, len(suspects) + 1):
            less = _without(schema, {*suspects[:at]})
            if not await self._refused(_alone(less, path)):
                return await self._with_what_can_stay(schema, suspects[:at], path)
        self.left_out.append(SchemaProblem(path, "schema", reason))
        return _ANYTHING

    async def _with_what_can_stay(
        self, schema: JsonObject, suspects: list[str], path: str
    ) -> JsonObject:
        """Restore those of the dropped keywords that can be enforced after all."""
        lost = {*suspects}
        for key in suspects:
            reason = await self._refused(_alone(_without(schema, lost - {key}), path))
            if reason:
                self.left_out.append(_problem(path, schema, key, reason))
            else:
                lost.remove(key)
        return _without(schema, lost)

    async def _with_parts(self, schema: JsonObject, path: str) -> JsonObject:
        """Relax the subschemas that need it."""
        parts: dict[str, JsonValue] = {}

        def collect(step: str, value: JsonValue) -> JsonValue:
            parts[step] = value
            return value

        with_all_schemas({k: v for k, v in schema.items() if k != "$defs"}, collect)
        lost: set[str] = set()
        for step, part in parts.items():
            parts[step] = await self._part(part, f"{path}.{step}" if path else step)
            if parts[step] is not part:
                lost.add(step.partition(".")[0])
        changed = with_all_schemas(schema, lambda step, value: parts.get(step, value))
        return without_reversals(changed, lost)

    async def _refused(self, schema: JsonObject) -> str:
        self._num_tries += 1
        if self._num_tries > _MAX_TRIES or time.monotonic() - self._start > _MAX_SECONDS:
            raise _GaveUpError
        return await self.refusal(schema)


def _problem(path: str, schema: JsonObject, keyword: str, reason: str) -> SchemaProblem:
    value = schema[keyword]
    shown = f"{value[:_LONGEST_SHOWN]!r}: " if isinstance(value, str) else ""
    is_long = len(reason) > _LONGEST_REASON
    why = f"{reason[:_LONGEST_REASON]}…" if is_long else reason
    return SchemaProblem(path, keyword, shown + why)


def _alone(schema: JsonObject, path: str) -> JsonObject:
    """Return an object schema with this schema for a member, and its references removed.

    The root schema is an object schema itself.
    """
    alone = _without_references("", schema)
    if not path:
        assert isinstance(alone, dict)
        return alone
    return {"type": "object", "properties": {"value": alone}}


def _without_references(_: str, schema: JsonValue) -> JsonValue:
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("$ref", "$defs")}
    return with_all_schemas(kept, _without_references)


def _without(schema: JsonObject, keywords: set[str]) -> JsonObject:
    return without_reversals({k: v for k, v in schema.items() if k not in keywords}, keywords)
