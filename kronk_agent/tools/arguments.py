"""Validates a tool's arguments under its JSON Schema; an error names a valid example."""

from __future__ import annotations

import json
import logging
import math
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.formats import EXAMPLES, format_checker
from kronk_agent.tools.schema.validator import lenient_validator

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 300
_LONGEST_IN_EXAMPLE = 20
_DEEPEST_EXAMPLE = 20


def parse_json(text: str) -> JsonValue:
    """Like ``json.loads``, but only what the JSON standard allows.

    Raises:
        ValueError: it is not JSON, or cannot be held.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class ArgumentsCheck:
    """One schema's check; the validator is compiled when it is first used, and kept."""

    def __init__(self, schema: JsonObject, *, check_formats: bool = False) -> None:
        self._schema = schema
        self._check_formats = check_formats

    def problem(self, arguments: JsonValue) -> str | None:
        """Describe what is wrong, to be written right behind the tool's name; None if nothing is.

        What the validator cannot check is taken to be right; see ``json_schema``.
        """
        from jsonschema import exceptions  # heavy: 60 ms

        try:
            error = exceptions.best_match(self._validator.iter_errors(arguments))
            return None if error is None else self._explain(error)
        except RecursionError:  # a reference to itself, or data as deep
            logger.warning("JSON Schema: not checked, it refers to itself without an end")
            return None

    @property
    def example(self) -> JsonValue:
        """The smallest valid arguments; None if none were found."""
        example = _Example(self._schema).arguments(also=None)
        return example if self._is_valid(example) else None

    @cached_property
    def _validator(self) -> Validator:
        return lenient_validator(self._schema, format_checker() if self._check_formats else None)

    def _explain(self, error: ValidationError) -> str:
        path = list(error.absolute_path)
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        words = f"{where or ' arguments'}: {_shortened(error.message)}."
        if error.validator == "additionalProperties" and isinstance(error.schema, dict):
            words += f" Known are: {', '.join(error.schema.get('properties', ())) or 'none'}."
        return words + self.example_sentence(also=path[0] if path else None)

    def example_sentence(self, *, also: str | int | None = None) -> str:
        """A sentence with valid arguments, to follow what is wrong; empty where none was found.

        Args:
            also: an argument to show even if it is not required.
        """
        example = _Example(self._schema).arguments(also=also)
        if not self._is_valid(example):
            return ""
        return f" Valid would be, for example: {json.dumps(example, ensure_ascii=False)}"

    def _is_valid(self, example: JsonValue) -> bool:
        try:
            return bool(self._validator.is_valid(example))
        except RecursionError:
            return False


def _shortened(message: str) -> str:
    # The message starts with the value and ends with what was expected.
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[:60]} ... {message[60 - _LONGEST_MESSAGE :]}"


class _Example:
    """Makes the smallest value that its types, bounds and choices ask for; may miss the rest."""

    def __init__(self, schema: JsonObject) -> None:
        self._root = schema
        self._depth = 0

    def arguments(self, *, also: str | int | None) -> JsonValue:
        """The required arguments, and one more."""
        return self._object(self._root, also=also)

    def _value(self, schema: JsonValue) -> JsonValue:
        # A schema that refers to itself may have no end; what is cut off there is not valid.
        if not isinstance(schema, dict) or self._depth == _DEEPEST_EXAMPLE:
            return None
        self._depth += 1
        value = self._of_schema(schema)
        self._depth -= 1
        return value

    def _of_schema(self, schema: JsonObject) -> JsonValue:
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("examples", "enum"):
            values = schema.get(listed)
            if isinstance(values, list) and values:
                return values[0]
        if "$ref" in schema:
            return self._value(self._resolved(schema["$ref"]))
        for choice in ("anyOf", "oneOf"):
            variants = schema.get(choice)
            if isinstance(variants, list) and variants:
                # One that is not a reference, if there is one: it may be what ends a recursion.
                plain = [v for v in variants if isinstance(v, dict) and "$ref" not in v]
                return self._value((plain or variants)[0])
        return self._of_type(schema)

    def _of_type(self, schema: JsonObject) -> JsonValue:
        kind = schema.get("type")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                text = EXAMPLES.get(str(schema.get("format")), "text")
                return text.ljust(_length(schema.get("minLength")), ".")
            case "integer" | "number":
                low = _int(schema.get("minimum"), _int(schema.get("exclusiveMinimum"), 0) + 1)
                return min(low, _int(schema.get("maximum"), low))
            case "boolean":
                return True
            case _:
                return None

    def _array(self, schema: JsonObject) -> JsonValue:
        for name in ("prefixItems", "items"):
            each = schema.get(name)
            if isinstance(each, list):
                return [self._value(item) for item in each]
        return [self._value(schema.get("items"))] * _length(schema.get("minItems"))

    def _object(self, schema: JsonObject, *, also: str | int | None = None) -> JsonObject:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict):
            return {}
        wanted = [also, *(required if isinstance(required, list) else ())]
        return {name: self._value(sub) for name, sub in properties.items() if name in wanted}

    def _resolved(self, reference: JsonValue) -> JsonValue:
        target: JsonValue = self._root
        for key in str(reference).removeprefix("#").strip("/").split("/"):
            target = target.get(key) if isinstance(target, dict) else None
        return target


def _int(value: JsonValue, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise


def _length(minimum: JsonValue) -> int:
    return min(_int(minimum, 0), _LONGEST_IN_EXAMPLE)
