"""Values before validation: plain data in which every value has its origin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from kronk_agent.config.schema.schema_path import Setting
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonValue

KeyPath: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Origin:
    """The place where a value was given."""

    source: Path | str | None
    """The file, or the name of an environment variable or flag; None if none of these."""
    line: int | None = None
    """The line in the file, 1-based; None if it is not from a file."""

    def mistake(self, message: str, path: KeyPath = ()) -> ConfigError:
        """Return an error about this place."""
        return ConfigError(
            message, path=self.source, line=self.line, key=dotted(path) if path else None
        )


@dataclass(frozen=True, slots=True)
class SourcedValue:
    """A value and its origin. Lists and mappings contain such values, so they form a tree."""

    value: Scalar | list[SourcedValue] | dict[str, SourcedValue] = field(repr=False)
    origin: Origin
    text: str | None = field(default=None, repr=False)
    """A scalar as it was written; None for lists and mappings of a file."""
    is_from_variable: bool = False
    """True if given by an environment variable.

    Then it may be a secret, and only the setting decides whether ``5`` is a number or text.
    """
    written: str | None = None
    """The text in the file before variables were resolved, e.g. ``Bearer ${TOKEN}``."""


def dotted(path: KeyPath) -> str:
    """Format a key path: ``mcp_servers.time.args[0]``."""
    return "".join(_step(part) for part in path).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    plain = re.fullmatch(r"[\w-]+", part)
    return f".{part}" if plain else f".{json.dumps(part)}"


def merge(lower: SourcedValue, upper: SourcedValue) -> SourcedValue:
    """Merge two values; ``upper`` takes precedence. Mappings are merged, lists replaced."""
    if not (isinstance(lower.value, dict) and isinstance(upper.value, dict)):
        return upper
    merged = dict(lower.value)
    for key, node in upper.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return SourcedValue(merged, lower.origin)


def nest(path: tuple[str, ...], node: SourcedValue) -> SourcedValue:
    """Wrap a value in mappings, so that it is at ``path``."""
    for key in reversed(path):
        node = SourcedValue({key: node}, node.origin)
    return node


def find(node: SourcedValue, path: KeyPath) -> tuple[KeyPath, SourcedValue]:
    """Return the value at the path, or the deepest existing one on the way, and its path."""
    for depth, key in enumerate(path):
        match node.value, key:
            case dict() as children, str() if key in children:
                node = children[key]
            case list() as items, int() if key < len(items):
                node = items[key]
            case _:
                return path[:depth], node
    return path, node


def walk(node: SourcedValue, path: KeyPath = ()) -> Iterator[tuple[KeyPath, SourcedValue]]:
    """Yield every value with its path, containers before their items."""
    yield path, node
    match node.value:
        case dict() as children:
            for key, child in children.items():
                yield from walk(child, (*path, key))
        case list() as items:
            for index, item in enumerate(items):
                yield from walk(item, (*path, index))


def plain(node: SourcedValue, setting: Setting | None) -> JsonValue:
    """Convert to plain JSON; values of variables get the type that the setting takes."""
    is_mapping = isinstance(node.value, dict) and setting is not None and setting.is_mapping
    if node.is_from_variable and setting is not None and setting.takes_text and not is_mapping:
        return None if node.value is None and setting.takes_null else node.text
    match node.value:
        case dict() as children:
            return {k: plain(child, setting and setting.below(k)) for k, child in children.items()}
        case list() as items:
            return [plain(item, setting and setting.below(0)) for item in items]
        case None if setting is not None and setting.is_mapping and not setting.takes_text:
            return {}  # a section whose keys are all commented out
        case value:
            return value


def from_python(value: object, origin: Origin) -> SourcedValue:
    """Convert a Python value; ``origin`` is that of all its parts."""
    match value:
        case Mapping():
            return SourcedValue({str(k): from_python(v, origin) for k, v in value.items()}, origin)
        case list() | tuple():
            return SourcedValue([from_python(item, origin) for item in value], origin)
        case str() | int() | float() | None:
            return SourcedValue(value, origin)
        case _:
            return SourcedValue(str(value), origin)
