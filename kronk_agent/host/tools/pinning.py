"""Tool pinning: a tool that changes after it was first seen is quarantined until approved.

A malicious server can describe its tools harmlessly until it is trusted and change them later ("rug
pull"). The whole pinned definition is stored, so that the user can review the difference.
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
from kronk_agent.host.tools.injection_scan import scan_definition
from kronk_agent.host.tools.sanitize import escape_invisible
from kronk_agent.messages import JsonObject, JsonValue

logger = logging.getLogger(__name__)

_FORMAT = 1


def pins_directory() -> Path:
    """The user's directory of pins, with NAME.json for each server."""
    return platformdirs.user_state_path("kronk-agent", appauthor=False) / "mcp" / "pins"


@dataclass(frozen=True, slots=True)
class ToolChange:
    """A tool that differs from its pinned definition."""

    pinned: ToolDefinition
    now: ToolDefinition

    def diff(self) -> list[str]:
        """Unified diff of the definitions, with invisible characters escaped."""
        before, after = _diff_lines(self.pinned), _diff_lines(self.now)
        return list(difflib.unified_diff(before, after, "approved", "now", lineterm=""))[2:]


@dataclass(frozen=True, slots=True)
class Review:
    """Result of comparing a server's tools with their pins."""

    allowed: list[ToolDefinition] = field(default_factory=list)
    """Tools that may be used."""
    new: list[ToolDefinition] = field(default_factory=list)
    """Allowed tools seen for the first time, unless the server is trusted."""
    changes: list[ToolChange] = field(default_factory=list)
    """Quarantined tools."""


class PinnedTools:
    """Pinned tools of one server, and the changed ones waiting for approval.

    Pins are bound to the command line or URL: changing it in the configuration makes it another
    server, which is pinned anew.
    """

    def __init__(self, file: Path, config: McpServerConfig) -> None:
        self._file = file
        self._trust = config.trust
        identity = config.model_dump_json(include={"command", "args", "url"})
        self._server = hashlib.sha256(identity.encode()).hexdigest()

    def review(self, definitions: Sequence[ToolDefinition]) -> Review:
        """Decide which tools may be used. New tools are pinned."""
        pinned, _ = self._read()
        review = Review()
        for definition in definitions:
            known = pinned.get(definition.name)
            if known is not None and known.digest != definition.digest and not self._trust:
                review.changes.append(ToolChange(known, definition))
                continue
            if known is None and not self._trust:
                review.new.append(definition)
            pinned[definition.name] = definition
            review.allowed.append(definition)
        waiting = {change.now.name: change.now for change in review.changes}
        try:
            self._write(pinned, waiting)
        except ConfigError as error:
            logger.warning("cannot pin the tools of an MCP server: %s", error)
        return review

    def pinned(self) -> list[ToolDefinition]:
        """Return the pinned definitions."""
        return list(self._read()[0].values())

    def changes(self) -> list[ToolChange]:
        """Return the changes that waited for approval when the server was last connected."""
        pinned, waiting = self._read()
        return [ToolChange(pinned[name], now) for name, now in waiting.items() if name in pinned]

    def approve(self, changes: Sequence[ToolChange]) -> None:
        """Pin the new definitions of these changes.

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
            logger.warning("cannot read %s; tools are pinned anew: %s", self._file, error)
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
            message = f"cannot be written: {error.strerror}"
            raise ConfigError(message, path=self._file) from error


def warnings(server: str, review: Review) -> Iterator[str]:
    """Warnings about a review for the user, one line each."""
    for change in review.changes:
        yield (
            f"MCP server {server!r} changed its tool {escape_invisible(change.now.name)}, which is "
            f"quarantined: `kronk-agent mcp approve {server}` shows the change"
        )
    for definition in review.new:
        for sign in scan_definition(definition):
            yield f"MCP server {server!r}: its tool {escape_invisible(definition.name)} {sign}"


def _digests(definitions: dict[str, ToolDefinition]) -> JsonObject:
    return {each.digest: each.to_json() for each in definitions.values()}


def _definitions(kept: JsonObject) -> dict[str, ToolDefinition]:
    """Stored definitions by name; altered ones, which do not match their digest, are dropped."""
    read = {digest: ToolDefinition.from_json(_object(value)) for digest, value in kept.items()}
    return {each.name: each for digest, each in read.items() if each.digest == digest}


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError("not a tool definition")
    return value


def _diff_lines(definition: ToolDefinition) -> list[str]:
    description = escape_invisible(definition.description or "").splitlines()
    rest = {key: value for key, value in definition.to_json().items() if key != "description"}
    text = escape_invisible(json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True))
    return ["description:", *(f"  {line}" for line in description), *text.splitlines()]
