"""Definition of a tool: name, description, JSON Schema and a callable."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from kronk_agent.errors import ConfigError, ToolError
from kronk_agent.messages import AudioPart, ImagePart, JsonObject, JsonValue, Part, TextPart
from kronk_agent.tools.arguments import ArgumentsCheck, parse_json
from kronk_agent.tools.media import part_of
from kronk_agent.tools.policy import Rule
from kronk_agent.tools.run import RunContext
from kronk_agent.tools.schema.reading import SchemaProblem, read_schema

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class ReportProgress(Protocol):
    """Reports a tool's progress to the observers of the run; never blocks and never fails.

    Call it on the event loop, or in the thread in which a plain ``@tool`` function runs.
    """

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None: ...


def _ignore_progress(
    progress: float, total: float | None = None, message: str | None = None
) -> None:
    """Ignore progress: the run has no observer."""


class CheckPolicy(Protocol):
    """Applies the policy to a value that a tool uses instead of an argument's.

    For tools that go elsewhere than their arguments say, e.g. by following redirects.
    """

    def __call__(self, argument: str, value: JsonValue) -> None:
        """Check the value for the argument.

        Raises:
            ToolError: the policy does not allow the call with this value.
        """
        ...


def _no_policy(argument: str, value: JsonValue) -> None:
    """Allow everything: the caller has no policy."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Information for a tool about the call it executes."""

    call_id: str = ""
    report_progress: ReportProgress = _ignore_progress
    run: RunContext | None = None
    """The run the call is part of; None if the tool is called outside of a run."""
    check_policy: CheckPolicy = _no_policy
    is_approved: bool = False
    """True if the caller already applied the tool's approval rules."""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The output of a tool."""

    content: tuple[Part, ...]
    structured: JsonObject | None = None
    is_error: bool = False

    @classmethod
    def of(cls, value: object) -> ToolOutput:
        """Convert the return value of a plain function.

        Text and parts are kept; bytes become an image, audio or text by their content; any other
        value becomes JSON, and an object also ``structured``.

        Raises:
            ToolError: bytes of an unknown kind.
        """
        match value:
            case ToolOutput():
                return value
            case TextPart() | ImagePart() | AudioPart():
                return cls((value,))
            case list() | tuple() if value and all(isinstance(part, Part) for part in value):
                return cls(tuple(value))
            case str():
                return cls((TextPart(value),))
            case bytes() | bytearray() | memoryview():
                return cls((part_of(bytes(value)),))
            case None:
                return cls((TextPart("done"),))
            case _:
                plain = _to_plain(value)
                text = json.dumps(plain, ensure_ascii=False)
                return cls((TextPart(text),), plain if isinstance(plain, dict) else None)


def _to_plain(value: object) -> JsonValue:
    from pydantic_core import to_jsonable_python  # heavy

    plain: JsonValue
    try:
        plain = to_jsonable_python(value, fallback=str)
    except UnicodeDecodeError:  # contains bytes that are not text
        plain = to_jsonable_python(value, fallback=str, bytes_mode="base64")
    return plain


ToolCallable: TypeAlias = Callable[[JsonObject, ToolContext], Awaitable[ToolOutput]]
"""Executes the tool. May raise ``ToolError`` for a failure the model should read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that a model can call.

    Raises:
        ConfigError: the name is not 1-128 of ``A-Z a-z 0-9 _ -``, the schema is not an object's, or
            it is invalid and ``strict``.
    """

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments, of type ``object``.

    It may be of any draft, and is stored as ``read_schema`` normalizes it.
    """
    call: ToolCallable | None = field(default=None, repr=False)
    """None for a client tool: the client executes the call and sends the result."""
    strict: bool = True
    """False for a schema from elsewhere.

    Then invalid keywords are dropped, and what the grammar cannot enforce is validated after the
    call is written.
    """
    timeout_seconds: float | None = None
    """Timeout of one call; None means the agent's."""
    rules: tuple[Rule, ...] = ()
    """Rules for calls, set where the tool is registered; the agent's policy also applies."""
    output_schema: JsonObject | None = None
    """JSON Schema of ``ToolOutput.structured``, if the tool declares one."""
    folders: tuple[Path, ...] | None = None
    """Base directories of relative paths in its arguments, for policy rules.

    None means the working directory.
    """
    annotations: JsonObject = field(default_factory=dict)
    """Hints of the tool's author, as in MCP; not verified.

    ``title``, ``readOnlyHint``, ``destructiveHint``, ``idempotentHint``, ``openWorldHint``.
    """
    schema_problems: tuple[SchemaProblem, ...] = field(init=False, repr=False, compare=False)
    """Invalid keywords of the given schema, which ``parameters`` does not contain."""
    _check: ArgumentsCheck = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"a tool's name must be 1-128 of A-Z a-z 0-9 _ -, got {self.name!r}")
        read = read_schema(self.parameters)
        kind = read.schema.get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise ConfigError(f"tool {self.name}: the schema's type must be 'object'")
        if read.problems and self.strict:
            raise ConfigError(f"tool {self.name}: invalid JSON Schema: {read.problems[0]}")
        is_object = read.schema.get("type") == "object"
        parameters = read.schema if is_object else {**read.schema, "type": "object"}
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "schema_problems", read.problems)
        object.__setattr__(self, "_check", ArgumentsCheck(self.parameters))

    @property
    def is_read_only(self) -> bool:
        """True if the tool declares that calls change nothing (``readOnlyHint``)."""
        return self.annotations.get("readOnlyHint") is True

    @property
    def example(self) -> JsonValue:
        """The smallest valid arguments; None if none were found."""
        return self._check.example

    def parse_arguments(self, text: str) -> JsonObject:
        """Parse and validate the arguments. Empty text means no arguments.

        Raises:
            ToolError: not JSON, or invalid; names the argument, what was expected and an example.
        """
        try:
            arguments = parse_json(text) if text.strip() else {}
        except ValueError as error:
            example = self._check.example_sentence()
            raise ToolError(
                f"the arguments of {self.name} are not JSON: {error}.{example}"
            ) from None
        problem = self._check.problem(arguments)
        if problem is not None:
            raise ToolError(f"{self.name}{problem}")
        if not isinstance(arguments, dict):  # an endlessly recursive schema is not checked
            raise ToolError(f"{self.name} arguments: they must be a JSON object")
        return arguments


class Toolset(Protocol):
    """A named group of tools that may change while the program runs."""

    @property
    def name(self) -> str:
        """Name of the toolset."""
        ...

    def tools(self) -> Sequence[Tool]:
        """Return the current tools. Must neither block nor raise."""
        ...


@runtime_checkable
class InstructedToolset(Toolset, Protocol):
    """A toolset with instructions for the use of its tools."""

    @property
    def instructions(self) -> str:
        """Current text for the system prompt; empty if none."""
        ...


def instructions_of(toolset: Toolset) -> str:
    """Return a toolset's instructions; empty if it has none or no tools."""
    if not isinstance(toolset, InstructedToolset) or not toolset.tools():
        return ""
    return toolset.instructions


@dataclass(frozen=True, slots=True)
class StaticToolset:
    """A fixed set of tools."""

    name: str
    members: tuple[Tool, ...]

    def tools(self) -> Sequence[Tool]:
        """Return the tools."""
        return self.members
