"""A JSON Schema validator that skips keywords it cannot check.

Such a keyword must not prevent a tool from being called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.patterns import search
from kronk_agent.tools.schema.reading import read_schema

if TYPE_CHECKING:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

logger = logging.getLogger(__name__)

_DECIMAL_DIGITS: Final = 700
"""Exceeds the exponent range of floating-point numbers, so that ``%`` is exact."""

_Errors: TypeAlias = "Iterator[ValidationError]"
_Keyword: TypeAlias = "Callable[[Validator, Any, Any, JsonObject], _Errors | None]"


def lenient_validator(schema: JsonObject, formats: FormatChecker | None = None) -> Validator:
    """Return a validator for a schema of any draft, normalized by ``read_schema``.

    A keyword that cannot be checked is skipped and logged once. References to other documents are
    never fetched.

    Args:
        schema: any JSON object.
        formats: checks ``format``; None leaves it unchecked.
    """
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry

    keywords: dict[str, _Keyword] = dict(Draft202012Validator.VALIDATORS)
    keywords |= {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties(keywords["additionalProperties"]),
        "multipleOf": _multiple_of,
    }
    skipped: set[str] = set()
    checks = {name: _skipping(name, check, skipped) for name, check in keywords.items()}
    lenient: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, checks
    )
    # An own registry: the default one downloads any URL that a $ref names.
    return lenient(read_schema(schema).schema, registry=Registry(), format_checker=formats)


def _skipping(name: str, check: _Keyword, skipped: set[str]) -> _Keyword:
    """Wrap a keyword's check so that it reports no error if it fails itself."""

    def checked(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors:
        """Run the check."""
        try:
            yield from check(validator, value, instance, schema) or ()
        except RecursionError:
            raise  # continuing would try every branch at every depth
        except Exception as error:  # noqa: BLE001  # boundary: a broken schema may raise anything
            if name not in skipped:
                skipped.add(name)
                reason = str(error).partition("\n")[0]
                kind = type(error).__name__
                logger.warning("JSON Schema: %r is not checked: %s: %s", name, kind, reason)

    return checked


def _multiple_of(
    validator: Validator, step: JsonValue, instance: JsonValue, schema: JsonObject
) -> _Errors:
    """Check exactly for decimals: 19.99 is a multiple of 0.01, unlike in floating point."""
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    with localcontext() as context:
        context.prec = _DECIMAL_DIGITS
        if Decimal(str(instance)) % Decimal(str(step)):
            yield ValidationError(f"{instance!r} is not a multiple of {step!r}")


def _pattern(
    validator: Validator, pattern: str, instance: JsonValue, schema: JsonObject
) -> _Errors:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not search(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], instance: JsonValue, schema: JsonObject
) -> _Errors:
    if not isinstance(instance, dict):
        return
    for pattern, below in patterns.items():
        for key, value in instance.items():
            if search(pattern, key):
                yield from validator.descend(value, below, path=key, schema_path=pattern)


def _additional_properties(standard_check: _Keyword) -> _Keyword:
    """Wrap the standard check so that it respects our ``patternProperties``."""

    def check(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors | None:
        """Run the standard check with the properties that match a pattern."""
        patterns = schema.get("patternProperties")
        if not (isinstance(patterns, dict) and isinstance(instance, dict)):
            return standard_check(validator, value, instance, schema)
        declared = schema.get("properties")
        properties = dict(declared) if isinstance(declared, dict) else {}
        for key in instance:
            if any(search(pattern, key) for pattern in patterns):
                properties[key] = True
        return standard_check(validator, value, instance, {"properties": properties})

    return check
