"""A JSON Schema validator that checks what it can and skips what it cannot.

Schemas come from MCP servers and clients: of every draft, with patterns of JavaScript, sometimes
broken. A keyword that cannot be checked must not keep a tool from being called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tool.ecma_regex import search

if TYPE_CHECKING:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

logger = logging.getLogger(__name__)

_Errors: TypeAlias = "Iterator[ValidationError]"
_Keyword: TypeAlias = "Callable[[Validator, Any, Any, JsonObject], _Errors | None]"


def lenient_validator(schema: JsonObject, formats: FormatChecker | None = None) -> Validator:
    """A validator of the draft that ``$schema`` names, else of 2020-12 with older drafts' forms.

    A keyword that cannot be checked is skipped, and said once in the log. References to other
    documents are never fetched.

    Args:
        schema: any JSON object.
        formats: checks ``format``; None leaves it unchecked.
    """
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry

    named = schema.get("$schema")
    dialect = {"$schema": named} if isinstance(named, str) else {}
    draft = validators.validator_for(dialect, default=Draft202012Validator)
    keywords: dict[str, _Keyword] = dict(draft.VALIDATORS)
    if draft is Draft202012Validator:
        keywords |= _older_forms()
    keywords |= {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties(keywords["additionalProperties"]),
    }
    skipped: set[str] = set()
    checks = {name: _skipping(name, check, skipped) for name, check in keywords.items()}
    lenient: type[Validator] = validators.extend(draft, checks)  # type: ignore[no-untyped-call]
    # Where `$schema` stays, jsonschema goes on with its own validator behind a reference to it.
    root = {key: value for key, value in schema.items() if key != "$schema"}
    # A registry of our own: the default one downloads whatever URL a $ref names.
    return lenient(root, registry=Registry(), format_checker=formats)


def _skipping(name: str, check: _Keyword, skipped: set[str]) -> _Keyword:
    """The keyword's check, which ends without an error where it cannot be made."""

    def checked(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors:
        try:
            yield from check(validator, value, instance, schema) or ()
        except RecursionError:
            raise  # going on would try every branch at every depth
        except Exception as error:  # noqa: BLE001  # boundary: a broken schema fails in any way
            if name not in skipped:
                skipped.add(name)
                reason = str(error).partition("\n")[0]
                kind = type(error).__name__
                logger.warning("JSON Schema: %r is not checked: %s: %s", name, kind, reason)

    return checked


def _older_forms() -> dict[str, _Keyword]:
    """Keywords as drafts 4 to 7 have them, where 2020-12 has no other meaning for them."""
    from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator

    newest = Draft202012Validator.VALIDATORS

    def bound(name: str, exclusive: str) -> _Keyword:
        """``minimum``, beside which ``exclusiveMinimum`` may be a boolean, as in draft 4."""

        def check(
            validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
        ) -> _Errors | None:
            is_old = isinstance(schema.get(exclusive), bool)
            checks = Draft4Validator.VALIDATORS if is_old else newest
            errors: _Errors | None = checks[name](validator, value, instance, schema)
            return errors

        return check

    def exclusive_bound(name: str) -> _Keyword:
        def check(
            validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
        ) -> _Errors | None:
            if isinstance(value, bool):
                return None
            errors: _Errors | None = newest[name](validator, value, instance, schema)
            return errors

        return check

    def items(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors | None:
        checks = Draft7Validator.VALIDATORS if isinstance(value, list) else newest
        errors: _Errors | None = checks["items"](validator, value, instance, schema)
        return errors

    def additional_items(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors | None:
        if not isinstance(schema.get("items"), list):
            return None
        errors: _Errors | None = Draft7Validator.VALIDATORS["additionalItems"](
            validator, value, instance, schema
        )
        return errors

    return {
        "minimum": bound("minimum", "exclusiveMinimum"),
        "maximum": bound("maximum", "exclusiveMaximum"),
        "exclusiveMinimum": exclusive_bound("exclusiveMinimum"),
        "exclusiveMaximum": exclusive_bound("exclusiveMaximum"),
        "items": items,
        "additionalItems": additional_items,
        "dependencies": Draft7Validator.VALIDATORS["dependencies"],
    }


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


def _additional_properties(stock: _Keyword) -> _Keyword:
    """The draft's own check, told which properties have a pattern."""

    def check(
        validator: Validator, value: JsonValue, instance: JsonValue, schema: JsonObject
    ) -> _Errors | None:
        patterns = schema.get("patternProperties")
        if not (isinstance(patterns, dict) and isinstance(instance, dict)):
            return stock(validator, value, instance, schema)
        named = schema.get("properties")
        known = dict(named) if isinstance(named, dict) else {}
        for key in instance:
            if any(search(pattern, key) for pattern in patterns):
                known[key] = True
        return stock(validator, value, instance, {"properties": known})

    return check
