"""Validates a tool's arguments against its JSON Schema; errors include a valid example."""

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

_MAX_MESSAGE_CHARS = 300
_MAX_EXAMPLE_LENGTH = 20
_MAX_EXAMPLE_DEPTH = 20


def parse_json(text: str) -> JsonValue:
    """Parse JSON like ``json.loads``, but strictly by the standard.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class ArgumentsCheck:
    """Validates arguments against one schema; the validator is compiled on first use."""

    def __init__(self, schema: JsonObject, *, check_formats: bool = False) -> None:
        self._schema = schema
        self._check_formats = check_formats

    def problem(self, arguments: JsonValue) -> str | None:
        """Describe what is wrong, to be appended to the tool's name; None if valid.

        Keywords that the validator cannot check are ignored; see ``lenient_validator``.
        """
        from jsonschema import exceptions  # heavy: 60 ms

        try:
            error = exceptions.best_match(self._validator.iter_errors(arguments))
            return None if error is None else self._explain(error)
        except RecursionError:  # an endless self-reference, or data that is nested too deeply
            logger.warning("JSON Schema: not checked: its references are endlessly recursive")
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
        location = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        message = f"{location or ' arguments'}: {_truncated(error.message)}."
        if error.validator == "additionalProperties" and isinstance(error.schema, dict):
            message += f" Known are: {', '.join(error.schema.get('properties', ())) or 'none'}."
        return message + self.example_sentence(also=path[0] if path else None)

    def example_sentence(self, *, also: str | int | None = None) -> str:
        """Return a sentence with valid arguments; empty if none were found.

        Args:
            also: an argument to include even if it is not required.
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


def _truncated(message: str) -> str:
    # The message starts with the value and ends with what was expected.
    if len(message) <= _MAX_MESSAGE_CHARS:
        return message
    return f"{message[:60]} ... {message[60 - _MAX_MESSAGE_CHARS :]}"


class _Example:
    """Creates a minimal value from types, bounds and choices; ignores other keywords."""

    def __init__(self, schema: JsonObject) -> None:
        self._root = schema
        self._depth = 0

    def arguments(self, *, also: str | int | None) -> JsonValue:
        """Return the required arguments, and optionally one more."""
        return self._object(self._root, also=also)

    def _value(self, schema: JsonValue) -> JsonValue:
        # A recursive schema may be endless; an example that is cut off is invalid.
        if not isinstance(schema, dict) or self._depth == _MAX_EXAMPLE_DEPTH:
            return None
        self._depth += 1
        value = self._of_schema(schema)
        self._depth -= 1
        return value

    def _of_schema(self, schema: JsonObject) -> JsonValue:
        for keyword in ("const", "default"):
            if keyword in schema:
                return schema[keyword]
        for keyword in ("examples", "enum"):
            values = schema.get(keyword)
            if isinstance(values, list) and values:
                return values[0]
        if "$ref" in schema:
            return self._value(self._resolved(schema["$ref"]))
        for choice in ("anyOf", "oneOf"):
            variants = schema.get(choice)
            if isinstance(variants, list) and variants:
                # Prefer a variant without a reference: it may end a recursion.
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
    return min(_int(minimum, 0), _MAX_EXAMPLE_LENGTH)
