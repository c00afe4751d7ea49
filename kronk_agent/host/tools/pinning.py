"""Tools are pinned as they were first seen: one that changes later is quarantined until approved.

A server can describe its tools harmlessly until it is trusted, and otherwise afterwards. What was
seen is kept whole, so that the person who approves a change sees what it is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ConfigError
from kronk_agent.files import UNREADABLE, write_whole
from kronk_agent.host.tools.definitions import ToolDefinition
from kronk_agent.host.tools.injection_scan import suspicions
from kronk_agent.host.tools.sanitize import escape_invisible
from kronk_agent.messages import JsonObject, JsonValue

logger = logging.getLogger(__name__)

_FORMAT = 1


def pins_directory() -> Path:
    """The person's own folder of pins, with NAME.json for each server."""
    return platformdirs.user_state_path("kronk-agent", appauthor=False) / "mcp" / "pins"


@dataclass(frozen=True, slots=True)
class Change:
    """A tool that is not as it was pinned."""

    pinned: ToolDefinition
    now: ToolDefinition

    def diff(self) -> list[str]:
        """Line by line, with invisible characters made visible."""
        before, after = _lines(self.pinned), _lines(self.now)
        return list(difflib.unified_diff(before, after, "approved", "now", lineterm=""))[2:]


@dataclass(frozen=True, slots=True)
class Review:
    """What came of looking at a server's tools."""

    allowed: list[ToolDefinition] = field(default_factory=list)
    """Those that may be used."""
    new: list[ToolDefinition] = field(default_factory=list)
    """Those among them that were never seen before, and whose server is not trusted."""
    changes: list[Change] = field(default_factory=list)
    """Those that are quarantined."""


class PinnedTools:
    """One server's tools as they were first seen or approved, and those that wait for it.

    Pins hold for a command line or a URL: whoever changes that in the configuration has another
    server, and starts anew.
    """

    def __init__(self, file: Path, config: McpServerConfig) -> None:
        self._file = file
        self._trust = config.trust
        told = config.model_dump_json(include={"command", "args", "url"})
        self._server = hashlib.sha256(told.encode()).hexdigest()

    def review(self, definitions: Sequence[ToolDefinition]) -> Review:
        """See which of these may be used. New ones are pinned."""
        pinned, _ = self._read()
        review = Review()
        for definition in definitions:
            known = pinned.get(definition.name)
            if known is not None and known.digest != definition.digest and not self._trust:
                review.changes.append(Change(known, definition))
                continue
            if known is None and not self._trust:
                review.new.append(definition)
            pinned[definition.name] = definition
            review.allowed.append(definition)
        waiting = {change.now.name: change.now for change in review.changes}
        try:
            self._write(pinned, waiting)
        except ConfigError as error:
            logger.warning("the tools of an MCP server are not pinned: %s", error)
        return review

    def pinned(self) -> list[ToolDefinition]:
        """The tools as they may be used."""
        return list(self._read()[0].values())

    def changes(self) -> list[Change]:
        """Those that waited for approval when the server was last seen."""
        pinned, waiting = self._read()
        return [Change(pinned[name], now) for name, now in waiting.items() if name in pinned]

    def approve(self, changes: Sequence[Change]) -> None:
        """Pin these as they are now.

        Raises:
            ConfigError: the file cannot be written.
        """
        pinned, waiting = self._read()
        for change in changes:
            pinned[change.now.name] = change.now
            waiting.pop(change.now.name, None)
        self._write(pinned, waiting)

    def _read(self) -> tuple[dict[str, ToolDefinition], dict[str, ToolDefinition]]:
        try:
            kept = json.loads(self._file.read_bytes())
            if kept["format"] != _FORMAT or kept["server"] != self._server:
                return {}, {}
            return _definitions(kept["pinned"]), _definitions(kept["waiting"])
        except FileNotFoundError:
            return {}, {}
        except UNREADABLE as error:
            logger.warning("%s is unreadable, so tools are pinned anew: %s", self._file, error)
            return {}, {}

    def _write(self, pinned: dict[str, ToolDefinition], waiting: dict[str, ToolDefinition]) -> None:
        if (pinned, waiting) == self._read():
            return
        kept: JsonObject = {
            "format": _FORMAT,
            "server": self._server,
            "pinned": _digests(pinned),
            "waiting": _digests(waiting),
        }
        try:
            write_whole(self._file, json.dumps(kept).encode())
        except OSError as error:
            words = f"cannot be written: {error.strerror}"
            raise ConfigError(words, path=self._file) from error


def warnings(server: str, review: Review) -> Iterator[str]:
    """What the person should know of it, a line each."""
    for change in review.changes:
        yield (
            f"MCP server {server!r} changed its tool {escape_invisible(change.now.name)}, which is "
            f"quarantined: `kronk-agent mcp approve {server}` shows the change"
        )
    for definition in review.new:
        for sign in suspicions(definition):
            yield f"MCP server {server!r}: its tool {escape_invisible(definition.name)} {sign}"


def _digests(definitions: dict[str, ToolDefinition]) -> JsonObject:
    return {each.digest: each.to_json() for each in definitions.values()}


def _definitions(kept: JsonObject) -> dict[str, ToolDefinition]:
    """By name. One that is not what its digest says was altered, and is as good as unknown."""
    read = {digest: ToolDefinition.from_json(_object(value)) for digest, value in kept.items()}
    return {each.name: each for digest, each in read.items() if each.digest == digest}


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError("not a tool definition")
    return value


def _lines(definition: ToolDefinition) -> list[str]:
    description = escape_invisible(definition.description or "").splitlines()
    rest = {key: value for key, value in definition.to_json().items() if key != "description"}
    text = escape_invisible(json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True))
    return ["description:", *(f"  {line}" for line in description), *text.splitlines()]
