"""Parses YAML text to a tree of values. Objects are never constructed from tags."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError

from kronk_agent.config.yaml.sourced import KeyPath, Origin, Scalar, SourcedValue
from kronk_agent.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_MAX_DEPTH = 20


def parse_document(text: str, file: Path) -> tuple[SourcedValue, list[ConfigError]]:
    """Parse a file to a tree, and return the mistakes that do not prevent that.

    Raises:
        ConfigError: the text is not YAML, or its top level is not a mapping.
    """
    try:
        tree, mistakes = _parse(text, file)
    except (YAMLError, RecursionError) as error:
        line, problem = _explain(error, text)
        # From None: the parser's message quotes the file, and thus possibly a secret.
        raise Origin(file, line).mistake(f"not valid YAML: {problem}") from None
    if tree.value is None:
        return SourcedValue({}, tree.origin), mistakes
    if not isinstance(tree.value, dict):
        problem = "the file must be a mapping, with lines such as 'model: PATH'"
        raise tree.origin.mistake(problem)
    return tree, mistakes


def parse_value(text: str, origin: Origin) -> SourcedValue:
    """Parse the value of a variable as YAML, or take it as text if it is not YAML."""
    try:
        tree, mistakes = _parse(text, origin.source)
    except (YAMLError, RecursionError):
        return SourcedValue(text, origin, text=text, is_from_variable=True)
    is_text = isinstance(tree.value, str) or bool(mistakes)
    value = text if is_text else _from_variable(tree, origin).value
    return SourcedValue(value, origin, text=text, is_from_variable=True)


def _from_variable(node: SourcedValue, origin: Origin) -> SourcedValue:
    match node.value:
        case dict() as children:
            value: Scalar | list[SourcedValue] | dict[str, SourcedValue] = {
                key: _from_variable(child, origin) for key, child in children.items()
            }
        case list() as items:
            value = [_from_variable(item, origin) for item in items]
        case scalar:
            value = scalar
    return SourcedValue(value, origin, text=node.text, is_from_variable=True)


def _parse(text: str, source: Path | str | None) -> tuple[SourcedValue, list[ConfigError]]:
    root = compose(text)
    if root is None:
        return SourcedValue(None, Origin(source, 1), text=""), []
    parser = _YamlParser(source)
    return parser.node(root, parser.origin(root), ()), parser.mistakes


class _YamlParser:
    """Converts composed YAML to values with their line numbers, and collects mistakes."""

    def __init__(self, source: Path | str | None) -> None:
        self._source = source
        self.mistakes: list[ConfigError] = []

    def origin(self, node: YamlNode) -> Origin:
        """Return the origin of a YAML node: the file and the line."""
        return Origin(self._source, int(node.start_mark.line) + 1)

    def node(self, node: YamlNode, origin: Origin, path: KeyPath) -> SourcedValue:
        """Convert a YAML node; ``origin`` is the position of its key."""
        if len(path) > _MAX_DEPTH:
            raise RecursionError  # probably an alias inside its own anchor
        match node:
            case ScalarNode():
                return self._scalar(node, origin, path)
            case MappingNode():
                value: dict[str, SourcedValue] | list[SourcedValue] = self._mapping(node, path)
            case SequenceNode():
                value = self._sequence(node, path)
            case _:
                raise AssertionError(node)
        if _tag(node) not in ("map", "seq"):
            self._refuse_tag(node, origin, path)
        return SourcedValue(value, origin)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, SourcedValue]:
        children: dict[str, SourcedValue] = {}
        for key, value in node.value:
            origin = self.origin(key)
            if not isinstance(key, ScalarNode):
                self.mistakes.append(origin.mistake("a key must be a name", path))
                continue
            name = str(key.value)
            if name in children:
                message = f"given twice; the first is on line {children[name].origin.line}"
                self.mistakes.append(origin.mistake(message, (*path, name)))
                continue
            children[name] = self.node(value, origin, (*path, name))
        return children

    def _sequence(self, node: SequenceNode, path: KeyPath) -> list[SourcedValue]:
        return [
            self.node(item, self.origin(item), (*path, index))
            for index, item in enumerate(node.value)
        ]

    def _scalar(self, node: ScalarNode, origin: Origin, path: KeyPath) -> SourcedValue:
        text = str(node.value)
        read = _SCALARS.get(_tag(node))
        if read is None:
            self._refuse_tag(node, origin, path)
            return SourcedValue(text, origin, text=text)
        try:
            return SourcedValue(read(text), origin, text=text)
        except ValueError:
            self.mistakes.append(origin.mistake(f"cannot be read as !!{_tag(node)}", path))
            return SourcedValue(text, origin, text=text)

    def _refuse_tag(self, node: YamlNode, origin: Origin, path: KeyPath) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self.mistakes.append(origin.mistake(f"the tag {tag} is not supported", path))


def compose(text: str) -> YamlNode | None:
    """Compose the text to YAML nodes, which know their positions.

    Raises:
        YAMLError: the text is not YAML.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # YAML allows to redefine an anchor
    root: YamlNode | None = yaml.compose(text)
    return root


def _tag(node: YamlNode) -> str:
    return str(node.tag).removeprefix(_TAG)


def _explain(error: YAMLError | RecursionError, text: str) -> tuple[int | None, str]:
    """Return the line of a syntax error and its description."""
    match error:
        case ReaderError():
            line = text.count("\n", 0, error.position) + 1
            return line, f"the character {chr(error.character)!r} is not allowed"
        case MarkedYAMLError() if error.problem_mark is not None:
            line = error.problem_mark.line + 1
            return line, _problem(error, line)
        case RecursionError():
            return None, "nested too deeply"
        case _:
            return None, "it cannot be parsed"


def _problem(error: MarkedYAMLError, line: int) -> str:
    problem = str(error.problem)
    if r"'\t' that cannot start" in problem:
        return "a tab cannot indent: use spaces"
    if "mapping values are not allowed" in problem:
        return f"{problem}: quote a text that contains ': '"
    if problem.endswith("but got '{'"):
        return f"{problem}: quote a text with ${{VAR}} inside [ ] and {{ }}"
    if problem.startswith("but "):
        return f"{error.context}, {problem}"
    if error.context_mark is not None and error.context_mark.line + 1 != line:
        return f"{problem} {error.context} that began on line {error.context_mark.line + 1}"
    return problem


def _read_null(text: str) -> None:
    if text not in ("", "~", "null", "Null", "NULL"):
        raise ValueError


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _read_int(text: str) -> int:
    return int(text, 0 if text.lstrip("+-")[:2].lower() in ("0x", "0o") else 10)


def _read_float(text: str) -> float:
    if text.lstrip("+-").lower() == ".inf":
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text.lower() == ".nan" else float(text)


_SCALARS: Mapping[str, Callable[[str], Scalar]] = {
    "null": _read_null,
    "bool": _read_bool,
    "int": _read_int,
    "float": _read_float,
    "str": str,
    # Taken as text: dates (such as `protocol: 2026-07-28`), '<<' and '='.
    "timestamp": str,
    "merge": str,
    "value": str,
}
