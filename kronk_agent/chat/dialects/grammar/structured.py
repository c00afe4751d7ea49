"""Grammars from JSON Schemas for arguments in a notation other than JSON.

A notation defines how strings, object members and array items are written; the schema defines which
values are allowed. Gemma 4, LFM2 and MiniMax M3 have such notations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from kronk_agent.chat.dialects.grammar.lark import Lark, either
from kronk_agent.chat.dialects.grammar.property_names import with_property_names
from kronk_agent.chat.dialects.grammar.schema import enforced_schema
from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.walking import schemas_in

_MAX_MEMBERS: Final = 60
"""Members of an object that may come in any order; llguidance counts them in 64 bits."""
_MAX_DEPTH: Final = 8
_SCALARS: Final = ("integer", "number", "boolean", "null")
_ANY: Final = ("string", "integer", "number", "boolean", "null", "array", "object")


class Notation(Protocol):
    """Notation of argument values. All methods return expressions."""

    def string(self, lark: Lark, schema: JsonObject) -> str:
        """A string that the schema allows, including ``value_end``."""
        ...

    def constant(self, lark: Lark, value: JsonValue) -> str:
        """Exactly this value."""
        ...

    def boolean(self, lark: Lark) -> str:
        """True or false."""
        ...

    def null(self, lark: Lark) -> str:
        """Null."""
        ...

    def member(self, lark: Lark, key: str, value: str, *, is_nested: bool) -> str:
        """A member of an object; ``is_nested`` is false for an argument of the call."""
        ...

    def any_member(self, lark: Lark, value: str) -> str:
        """A member with any key."""
        ...

    def item(self, lark: Lark, value: str) -> str:
        """An item of an array."""
        ...

    @property
    def value_end(self) -> str:
        """Text that ends every value; ``string`` includes it."""
        ...

    @property
    def separator(self) -> str:
        """Text between members and between items."""
        ...

    @property
    def object_delimiters(self) -> tuple[str, str]:
        """Text before and after the members of an object."""
        ...

    @property
    def array_delimiters(self) -> tuple[str, str]:
        """Text before and after the items of an array."""
        ...


class StructuredRules:
    """Adds the rules for one tool's arguments to a grammar.

    Args:
        lark: receives the rules.
        notation: how values are written.
        root: schema of the arguments, with its definitions.
        name: prefix of the rules' names.
    """

    def __init__(self, lark: Lark, notation: Notation, root: JsonObject, name: str) -> None:
        self._lark = lark
        self._notation = notation
        self._root = with_property_names(root)
        self._name = name
        self._num_rules = 0

    def arguments(self) -> str:
        """Return the members of the root, and record the keywords that are not enforced."""
        self._lark.unenforced |= {*_unenforced(self._root)}
        return self.members(self._root)

    def members(self, schema: JsonObject, depth: int = _MAX_DEPTH) -> str:
        """Return the members of an object in any order, without its delimiters.

        Required members are always present.
        """
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = [str(name) for name in required] if isinstance(required, list) else []
        schemas: dict[str, JsonValue] = {**{name: {} for name in names}, **properties}
        schemas = {name: schemas[name] for name in (*properties, *names)}
        if not schemas:
            others = schema.get("additionalProperties")
            by_pattern = schema.get("patternProperties")
            if isinstance(by_pattern, dict) and by_pattern:
                # Which pattern a name matches is checked after the call.
                any_of: JsonObject = {"anyOf": list(by_pattern.values())}
                others = any_of if others is False else True
            is_open = depth < _MAX_DEPTH or others
            return self._open_members(others, depth) if is_open else '""'
        is_nested = depth < _MAX_DEPTH
        values = {name: self.value(inner, depth - 1) for name, inner in schemas.items()}
        rules = [
            self._rule(self._notation.member(self._lark, name, value, is_nested=is_nested))
            for name, value in values.items()
        ]
        needed = [at for at, name in enumerate(schemas) if name in names]
        return self._in_any_order(rules, needed)

    def value(self, schema: JsonValue, depth: int) -> str:
        """Return an expression for a value that the schema allows."""
        if not isinstance(schema, dict) or depth < 0:
            schema = {}
        schema = self._resolved(schema)
        for key in ("anyOf", "oneOf"):
            options = schema.get(key)
            if isinstance(options, list) and options:
                return either(*(self.value(option, depth) for option in options))
        if "const" in schema:
            return self._ended(self._notation.constant(self._lark, schema["const"]))
        if isinstance(values := schema.get("enum"), list):
            constants = [self._notation.constant(self._lark, value) for value in values]
            return self._ended(either(*constants))
        kinds = schema.get("type", list[JsonValue](_ANY if depth > 0 else _ANY[:5]))
        kinds = kinds if isinstance(kinds, list) else [kinds]
        return either(*(self._value_of(str(kind), schema, depth) for kind in kinds))

    def _value_of(self, kind: str, schema: JsonObject, depth: int) -> str:
        notation, lark = self._notation, self._lark
        match kind:
            case "string":
                return notation.string(lark, schema)
            case "boolean":
                return self._ended(notation.boolean(lark))
            case "null":
                return self._ended(notation.null(lark))
            case "array":
                return self._ended(self._array(schema, depth))
            case "object":
                begin, end = notation.object_delimiters
                inner = self.members(schema, min(depth, _MAX_DEPTH - 1))
                return self._ended(f"{lark.exactly(begin)} {inner} {lark.exactly(end)}")
            case _:
                bounds = {k: v for k, v in schema.items() if k in _BOUNDS}
                json = lark.json(enforced_schema({"type": kind, **bounds}, strict=True))
                return self._ended(json)

    def _ended(self, value: str) -> str:
        return f"{value} {self._lark.exactly(self._notation.value_end)}"

    def _array(self, schema: JsonObject, depth: int) -> str:
        notation = self._notation
        begin, end = notation.array_delimiters
        items = schema.get("items", {})
        item = self._rule(notation.item(self._lark, self.value(items, depth - 1)))
        least, most = _count(schema.get("minItems"), 0), _count(schema.get("maxItems"), None)
        separator = self._lark.exactly(notation.separator)
        fewest, greatest = max(0, (least or 0) - 1), "" if most is None else most - 1
        some = f"{item} ( {separator} {item} ){{{fewest},{greatest}}}"
        if most == 0:
            some = '""'
        elif not least:
            some = f"( {some} )?"
        return f"{self._lark.exactly(begin)} {some} {self._lark.exactly(end)}"

    def _open_members(self, schema: JsonValue, depth: int) -> str:
        """Return members with any names."""
        if depth <= 0 or schema is False:
            return '""'
        value = self.value(schema if isinstance(schema, dict) else {}, min(depth - 1, 1))
        member = self._rule(self._notation.any_member(self._lark, value))
        separator = self._lark.exactly(self._notation.separator)
        return f"( {member} ( {separator} {member} )* )?"

    def _in_any_order(self, rules: Sequence[str], needed: Sequence[int]) -> str:
        separator = self._lark.exactly(self._notation.separator)
        name = self._next_name()
        conditions = [f"bit_set({at})" for at in needed]
        if len(rules) > _MAX_MEMBERS:
            return f" {separator} ".join(rules)
        first, more = f"{name}", f"{name}_more"
        lines = [f'"" %if {all_of(conditions)}']
        lines += [f"{r} {more}::set_bit({at}) %if bit_clear({at})" for at, r in enumerate(rules)]
        following = [f'"" %if {all_of(conditions)}']
        following += [
            f"{separator} {r} {more}::set_bit({at}) %if bit_clear({at})"
            for at, r in enumerate(rules)
        ]
        self._lark.add(f"{first}::_", "\n  | ".join(lines))
        self._lark.add(f"{more}::_", "\n  | ".join(following))
        return f"{first}::0"

    def _rule(self, body: str) -> str:
        return self._lark.add(self._next_name(), body)

    def _next_name(self) -> str:
        self._num_rules += 1
        return f"{self._name}_{self._num_rules}"

    def _resolved(self, schema: JsonObject) -> JsonObject:
        for _ in range(20):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            target: JsonValue = self._root
            for key in reference.removeprefix("#/").split("/"):
                target = target.get(key) if isinstance(target, dict) else None
            schema = target if isinstance(target, dict) else {}
        return schema


_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


_UNENFORCED: Final = frozenset(
    [
        *("allOf", "not", "if", "dependentRequired", "dependentSchemas", "$dynamicRef"),
        *("propertyNames", "patternProperties", "minProperties", "maxProperties"),
        *("prefixItems", "contains", "minContains", "maxContains", "uniqueItems"),
        *("unevaluatedProperties", "unevaluatedItems"),
    ]
)


def _unenforced(schema: JsonObject) -> Iterator[str]:
    """Yield the keywords of a schema and its subschemas that the rules do not fully enforce."""
    yield from schema.keys() & _UNENFORCED
    options = schema.get("oneOf")
    if isinstance(options, list) and not _are_exclusive(options):
        yield "oneOf"
    for inner in schemas_in(schema):
        yield from _unenforced(inner)


def _are_exclusive(options: Sequence[JsonValue]) -> bool:
    """Return true if no value fits two options.

    Options are told apart by type, by constant, or by the constant of a required member.
    """
    schemas = [option for option in options if isinstance(option, dict)]
    if len(schemas) < len(options):
        return len(options) < 2
    types = ["number" if one.get("type") == "integer" else one.get("type") for one in schemas]
    if _are_distinct(types) or _are_distinct([one.get("const") for one in schemas]):
        return True
    members = [one.get("properties") for one in schemas]
    required = [one.get("required") for one in schemas]
    first = required[0] if required and isinstance(required[0], list) else []
    return any(
        all(isinstance(names, list) and name in names for names in required)
        and _are_distinct([_constant(each, name) for each in members])
        for name in first
    )


def _constant(members: JsonValue, name: JsonValue) -> JsonValue:
    """Return the only value of a member; None if it may have several."""
    member = members.get(str(name)) if isinstance(members, dict) else None
    match member:
        case {"const": value} | {"enum": [value]}:
            return value
        case _:
            return None


def _are_distinct(values: Sequence[JsonValue]) -> bool:
    texts = [value for value in values if isinstance(value, str)]
    return len(texts) == len(values) == len({*texts})


def all_of(conditions: Sequence[str]) -> str:
    """Return the conjunction of conditions in a parametric rule, whose ``and`` takes two."""
    if not conditions:
        return "true"
    first, *others = conditions
    return f"and({first}, {all_of(others)})" if others else first


def _count(value: JsonValue, default: int | None) -> int | None:
    return value if isinstance(value, int) else default


def dumped(value: JsonValue) -> str:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False)
