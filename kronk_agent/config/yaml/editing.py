"""Adds and removes servers in the YAML file, keeping all other bytes as they are."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kronk_agent.config.yaml.document import compose, parse_document
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject, JsonValue

_KEYS = ("mcp_servers", "mcpServers")
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class _Servers:
    """The servers' mapping in the YAML text; positions are characters."""

    key: Node
    value: Node

    @property
    def entries(self) -> list[tuple[ScalarNode, Node]]:
        """The names and values of the servers."""
        if not isinstance(self.value, MappingNode):
            return []
        return [(key, value) for key, value in self.value.value if isinstance(key, ScalarNode)]

    @property
    def is_flow(self) -> bool:
        """True if the mapping is in flow style, ``{...}``."""
        return isinstance(self.value, MappingNode) and bool(self.value.flow_style)


def with_servers(text: str, servers: Mapping[str, JsonObject], file: Path) -> str:
    """Return the text with these servers, replacing any of the same name.

    Raises:
        ConfigError: the text is not YAML, or ``mcp_servers`` is not a mapping.
    """
    for name in servers:
        text = without_server(text, name, file)
    for name, server in servers.items():
        text = _with_server(text, name, server, file)
        edited = _find(text, file)
        assert edited is not None, text
        assert name in [key.value for key, _ in edited.entries], text
    return text


def without_server(text: str, name: str, file: Path) -> str:
    """Return the text without this server; unchanged if it has no such server.

    Raises:
        ConfigError: the text is not YAML, or ``mcp_servers`` is not a mapping.
    """
    found = _find(text, file)
    if found is None:
        return text
    entries = found.entries
    for index, (key, value) in enumerate(entries):
        if key.value == name:
            following = entries[index + 1][0] if index + 1 < len(entries) else None
            if found.is_flow:
                return _cut_from_flow(text, key, following, found.value)
            start, end = _line_start(text, key), _end_of_lines(text, value)
            return text[:start] + text[end:]
    return text


def _with_server(text: str, name: str, server: JsonObject, file: Path) -> str:
    found = _find(text, file)
    if found is None and (brace := _brace(text)) is not None:
        pair = f'"mcp_servers": {json.dumps({name: server})}'
        rest = text[brace + 1 :]
        return f"{text[: brace + 1]}{pair}{'' if rest.lstrip().startswith('}') else ', '}{rest}"
    if found is None:
        ending = "" if not text or text.endswith("\n") else "\n"
        gap = "\n" if text.strip() else ""
        return f"{text}{ending}{gap}mcp_servers:\n{_block(name, server, _INDENT)}"
    if found.is_flow and found.entries:
        start = found.value.start_mark.index + 1
        return f"{text[:start]}{json.dumps(name)}: {json.dumps(server)}, {text[start:]}"
    if found.is_flow:  # an empty {} becomes a block mapping
        start, end = found.value.start_mark.index, found.value.end_mark.index
        text = text[:start].rstrip(" ") + text[end:]
    if entries := found.entries:
        indent = " " * entries[0][0].start_mark.column
        at = _end_of_lines(text, entries[-1][1])
    else:
        indent = " " * found.key.start_mark.column + _INDENT
        at = _end_of_line(text, found.key.end_mark.index)
    ending = "" if text[:at].endswith("\n") else "\n"
    return text[:at] + ending + _block(name, server, indent) + text[at:]


def write_config(file: Path, text: str) -> None:
    """Write the file atomically. A new file is readable by its owner only.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        target = file.resolve()  # keep symbolic links, e.g. of dotfiles
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode if target.exists() else 0o600
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
                opened.write(text)
            Path(draft).chmod(mode & 0o777)
            Path(draft).replace(target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=file) from error


def _find(text: str, file: Path) -> _Servers | None:
    parse_document(text, file)  # raises if the file is invalid
    root = compose(text)
    if not isinstance(root, MappingNode):
        return None
    for key, value in root.value:
        if isinstance(key, ScalarNode) and key.value in _KEYS:
            is_null = isinstance(value, ScalarNode) and str(value.tag).endswith(":null")
            # A block cannot be added inside a flow mapping.
            is_null = is_null and not root.flow_style
            if not is_null and not isinstance(value, MappingNode):
                line = int(key.start_mark.line) + 1
                raise ConfigError(
                    "must be a mapping, such as {}", path=file, line=line, key=key.value
                )
            return _Servers(key, value)
    return None


def _brace(text: str) -> int | None:
    """Return the position of the opening brace of a file in flow style, such as JSON."""
    root = compose(text)
    is_flow = isinstance(root, MappingNode) and root.flow_style
    return int(root.start_mark.index) if root is not None and is_flow else None


def _cut_from_flow(text: str, key: ScalarNode, following: ScalarNode | None, mapping: Node) -> str:
    start = key.start_mark.index
    if following is not None:
        return text[:start] + text[following.start_mark.index :]
    before = text[:start].rstrip().removesuffix(",")
    return before + text[mapping.end_mark.index - 1 :]


def _line_start(text: str, node: Node) -> int:
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _end_of_line(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end + 1


def _end_of_lines(text: str, node: Node) -> int:
    """Return the end of the node's last line; comments below it do not belong to it."""
    return max(_end_of_line(text, end) for end in _ends(node))


def _ends(node: Node) -> Iterator[int]:
    match node:
        case MappingNode() if not node.flow_style:
            yield node.start_mark.index
            for key, value in node.value:
                yield key.end_mark.index
                yield from _ends(value)
        case SequenceNode() if not node.flow_style:
            yield node.start_mark.index
            for item in node.value:
                yield from _ends(item)
        case ScalarNode() if node.style in ("|", ">"):
            # Its end mark is at the start of the following line.
            yield max(node.end_mark.index - 1, node.start_mark.index)
        case _:
            yield node.end_mark.index


def _block(name: str, server: JsonObject, indent: str) -> str:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 2**31
    out = io.StringIO()
    yaml.dump({name: _styled(server)}, out)
    return "".join(f"{indent}{line}" for line in out.getvalue().splitlines(keepends=True))


def _styled(value: JsonValue) -> object:
    """Set the style people use: lists on one line, mappings in block style."""
    match value:
        case dict():
            return CommentedMap({key: _styled(item) for key, item in value.items()})
        case list():
            items = CommentedSeq([_styled(item) for item in value])
            items.fa.set_flow_style()
            return items
        case _:
            return value
