"""Values before they are checked: plain data in which every value knows where it was given."""

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
    """Where a value was given."""

    source: Path | str | None
    """The file, or the name of an environment variable or a flag; None: none of these."""
    line: int | None = None

    def mistake(self, message: str, path: KeyPath = ()) -> ConfigError:
        """The error that says what is wrong here."""
        return ConfigError(
            message, path=self.source, line=self.line, key=dotted(path) if path else None
        )


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was given."""

    value: Scalar | list[Node] | dict[str, Node] = field(repr=False)
    origin: Origin
    text: str | None = field(default=None, repr=False)
    """A single value as it was written; None for lists and mappings of a file."""
    is_from_variable: bool = False
    """Given by an environment variable: may be a secret, and only the setting can tell whether
    ``5`` means the number or the text."""
    written: str | None = None
    """How the file writes a text that takes variables, e.g. ``Bearer ${TOKEN}``."""


def dotted(path: KeyPath) -> str:
    """The path as people write it: ``mcp_servers.time.args[0]``."""
    return "".join(_step(part) for part in path).removeprefix(".")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    plain = re.fullmatch(r"[\w-]+", part)
    return f".{part}" if plain else f".{json.dumps(part)}"


def merge(lower: Node, upper: Node) -> Node:
    """Both, where ``upper`` wins; mappings are merged key by key, lists are replaced."""
    if not (isinstance(lower.value, dict) and isinstance(upper.value, dict)):
        return upper
    merged = dict(lower.value)
    for key, node in upper.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, lower.origin)


def nest(path: tuple[str, ...], node: Node) -> Node:
    """The mappings that lead to a value."""
    for key in reversed(path):
        node = Node({key: node}, node.origin)
    return node


def find(node: Node, path: KeyPath) -> tuple[KeyPath, Node]:
    """The value at the path, or the last there is on the way to it."""
    for depth, key in enumerate(path):
        match node.value, key:
            case dict() as children, str() if key in children:
                node = children[key]
            case list() as items, int() if key < len(items):
                node = items[key]
            case _:
                return path[:depth], node
    return path, node


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Every value, the ones that hold others before those."""
    yield path, node
    match node.value:
        case dict() as children:
            for key, child in children.items():
                yield from walk(child, (*path, key))
        case list() as items:
            for index, item in enumerate(items):
                yield from walk(item, (*path, index))


def plain(node: Node, setting: Setting | None) -> JsonValue:
    """The value as JSON; what variables say becomes what the setting takes."""
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


def from_python(value: object, origin: Origin) -> Node:
    """A value that a caller gave."""
    match value:
        case Mapping():
            return Node({str(k): from_python(v, origin) for k, v in value.items()}, origin)
        case list() | tuple():
            return Node([from_python(item, origin) for item in value], origin)
        case str() | int() | float() | None:
            return Node(value, origin)
        case _:
            return Node(str(value), origin)
