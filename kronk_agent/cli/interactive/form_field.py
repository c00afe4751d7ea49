"""One field of a form that an MCP server asks the user to fill in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kronk_agent.messages import JsonObject, JsonValue
from kronk_agent.tools.schema.formats import EXAMPLES, format_checker
from kronk_agent.tools.schema.validator import lenient_validator

if TYPE_CHECKING:
    from kronk_agent.host import FormElicitation

FormValue: TypeAlias = "str | int | float | bool | list[str]"

_YES, _NO = ("y", "yes", "true"), ("n", "no", "false")
_YES_NO: dict[object, str] = {True: "Y/n", False: "y/N"}
_FORMATS = {
    "email": "an e-mail address",
    "uri": "a URI",
    "date": "a date",
    "date-time": "a date and time",
}


@dataclass(frozen=True, slots=True)
class FormChoice:
    """One of the values that a field allows."""

    value: str
    title: str

    def __str__(self) -> str:
        return self.value if self.title == self.value else f"{self.value} ({self.title})"

    def matches(self, text: str) -> bool:
        """True if the user typed this value or its title, ignoring case."""
        return text.casefold() in (self.value.casefold(), self.title.casefold())


@dataclass(frozen=True, slots=True)
class FormField:
    """A form field: its label for the user and the parser of the user's input."""

    name: str
    schema: JsonObject
    is_required: bool = False

    @property
    def default(self) -> FormValue | None:
        """The value that the server suggests; None without one."""
        match self.schema.get("default"):
            case str() | int() | float() as value:
                return value
            case list() as values:
                return [value for value in values if isinstance(value, str)]
            case _:
                return None

    @property
    def label(self) -> str:
        """The field's name, description, allowed input and, in brackets, the suggestion."""
        about = self.schema.get("description") or self.schema.get("title")
        label = self.name if about is None else f"{self.name} ({about})"
        if choices := _choices(self.schema):
            label += f", {self._kind(choices)}"
        if self.schema.get("type") == "boolean":
            return f"{label} [{_YES_NO.get(self.default, 'y/n')}]"
        if self.default is None:
            return label
        return f"{label} [{self.format_value(self.default)}]"

    def format_value(self, value: FormValue) -> str:
        """Return the value as the user would type it."""
        match value:
            case bool():
                return "yes" if value else "no"
            case list():
                return ", ".join(value)
            case _:
                return str(value)

    def parse(self, text: str) -> FormValue:
        """Parse the user's input.

        Raises:
            ValueError: the input is invalid; the message says what is expected.
        """
        value = self._value(text)
        as_json: JsonValue = [*value] if isinstance(value, list) else value
        if (problem := self._problem(as_json)) is not None:
            raise ValueError(problem)
        return value

    def _value(self, text: str) -> FormValue:
        choices = _choices(self.schema)
        match self.schema.get("type"):
            case "boolean":
                return _boolean(text)
            case "integer" | "number" as kind:
                return _number(text, is_integer=kind == "integer")
            case "array":
                items = [item.strip() for item in text.split(",") if item.strip()]
                return [_chosen(item, choices, self._kind(choices)) for item in items]
            case _:
                return _chosen(text, choices, self._kind(choices))

    def _kind(self, choices: Sequence[FormChoice]) -> str:
        listed = ", ".join(map(str, choices))
        is_list = self.schema.get("type") == "array"
        return f"any of {listed}, separated by commas" if is_list else f"one of {listed}"

    def _problem(self, value: JsonValue) -> str | None:
        from jsonschema import exceptions  # heavy

        validator = lenient_validator(self.schema, format_checker())
        error = exceptions.best_match(validator.iter_errors(value))
        if error is None:
            return None
        format_ = str(error.validator_value)
        if error.validator == "format" and format_ in _FORMATS:
            return f"must be {_FORMATS[format_]}, such as {EXAMPLES[format_]}"
        return str(error.message)


def fields_of(form: FormElicitation) -> list[FormField]:
    """Return the form's fields in order."""
    properties, required = form.schema.get("properties"), form.schema.get("required")
    names = required if isinstance(required, list) else ()
    return [
        FormField(name, field if isinstance(field, dict) else {}, name in names)
        for name, field in (properties.items() if isinstance(properties, dict) else ())
    ]


def _choices(schema: JsonObject) -> list[FormChoice]:
    """Return the values that a field allows; empty if it does not list them."""
    items = schema.get("items")
    if isinstance(items, dict):
        return _choices(items)
    if isinstance(values := schema.get("enum"), list):
        titles = schema.get("enumNames")
        titles = titles if isinstance(titles, list) and len(titles) == len(values) else values
        return [FormChoice(str(v), str(t)) for v, t in zip(values, titles, strict=True)]
    titled = schema.get("oneOf") or schema.get("anyOf")
    return [
        FormChoice(str(choice["const"]), str(choice.get("title", choice["const"])))
        for choice in (titled if isinstance(titled, list) else ())
        if isinstance(choice, dict) and "const" in choice
    ]


def _chosen(text: str, choices: Sequence[FormChoice], expected: str) -> str:
    if not choices:
        return text
    matching = [choice.value for choice in choices if choice.matches(text)]
    if not matching:
        raise ValueError(f"must be {expected}")
    return text if text in matching else matching[0]


def _boolean(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError("must be y or n")
    return text.lower() in _YES


def _number(text: str, *, is_integer: bool) -> int | float:
    try:
        value = int(text)
    except ValueError:
        pass
    else:
        return value
    if is_integer:
        raise ValueError("must be a whole number")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number
