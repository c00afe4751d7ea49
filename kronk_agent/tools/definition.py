"""What a tool is: a name, words, a JSON Schema, and something to call."""

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
    """Tells whoever watches the run how far a tool is; never blocks and never fails.

    To be called on the event loop, or in the thread in which a plain ``@tool`` function runs.
    """

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None: ...


def _ignore_progress(
    progress: float, total: float | None = None, message: str | None = None
) -> None:
    """Nobody is watching."""


class CheckPolicy(Protocol):
    """Applies the policy to a value that a tool uses in place of an argument's.

    For a tool that goes elsewhere than its arguments say, as one that follows redirects does.
    """

    def __call__(self, argument: str, value: JsonValue) -> None:
        """
        Raises:
            ToolError: the call would not have been allowed with this value.
        """
        ...


def _no_policy(argument: str, value: JsonValue) -> None:
    """Whoever calls has no policy."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is told about the call it serves."""

    call_id: str = ""
    report_progress: ReportProgress = _ignore_progress
    run: RunContext | None = None
    """The run the call is part of; None when a person or a program calls the tool directly."""
    check_policy: CheckPolicy = _no_policy
    is_approved: bool = False
    """Has whoever calls seen to what the tool's rules say, so that nobody is asked again?"""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gives back."""

    content: tuple[Part, ...]
    structured: JsonObject | None = None
    is_error: bool = False

    @classmethod
    def of(cls, value: object) -> ToolOutput:
        """Whatever a plain function returned, as an output.

        Text and parts stay as they are, bytes become an image, sound or text by how they begin; the
        rest becomes JSON, an object also ``structured``.

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
    except UnicodeDecodeError:  # bytes somewhere in it that are no text
        plain = to_jsonable_python(value, fallback=str, bytes_mode="base64")
    return plain


ToolCallable: TypeAlias = Callable[[JsonObject, ToolContext], Awaitable[ToolOutput]]
"""Runs the tool. May raise ``ToolError`` for a failure the model should read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something a model may call.

    Raises:
        ConfigError: the name is not 1–128 of ``A-Z a-z 0-9 _ -``, the schema is not an object's, or
            it is wrong and ``strict``.
    """

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments; its type is ``object``. It may be of any draft, and is kept as
    ``read_schema`` reads it."""
    call: ToolCallable | None = field(default=None, repr=False)
    """None: whoever asked the agent carries the call out, and comes back with what came of it."""
    strict: bool = True
    """False for a schema we do not control: what is wrong in it is left out, and what the grammar
    cannot enforce is checked after the call is written."""
    timeout_seconds: float | None = None
    """How long one call may take; None leaves it to the agent."""
    rules: tuple[Rule, ...] = ()
    """What whoever registered it says of calling it; the agent's own policy comes on top."""
    output_schema: JsonObject | None = None
    """JSON Schema of ``ToolOutput.structured``, where the tool promises one."""
    folders: tuple[Path, ...] | None = None
    """Where relative paths in its arguments may begin, for rules on them; None is the folder we run
    in."""
    annotations: JsonObject = field(default_factory=dict)
    """What the tool's maker says it does, in MCP's words: ``title``, ``readOnlyHint``,
    ``destructiveHint``, ``idempotentHint``, ``openWorldHint``. Nothing proves it."""
    schema_problems: tuple[SchemaProblem, ...] = field(init=False, repr=False, compare=False)
    """Keywords that were wrong in the schema given, and are not in ``parameters``."""
    _check: ArgumentsCheck = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"a tool's name is 1-128 of A-Z a-z 0-9 _ -, not {self.name!r}")
        read = read_schema(self.parameters)
        kind = read.schema.get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise ConfigError(f"tool {self.name}: the schema's type must be 'object'")
        if read.problems and self.strict:
            raise ConfigError(f"tool {self.name}: its JSON Schema is wrong: {read.problems[0]}")
        is_object = read.schema.get("type") == "object"
        parameters = read.schema if is_object else {**read.schema, "type": "object"}
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "schema_problems", read.problems)
        object.__setattr__(self, "_check", ArgumentsCheck(self.parameters))

    @property
    def is_read_only(self) -> bool:
        """True if the tool's maker says that a call changes nothing (``readOnlyHint``)."""
        return self.annotations.get("readOnlyHint") is True

    @property
    def example(self) -> JsonValue:
        """The smallest valid arguments; None if none were found."""
        return self._check.example

    def parse_arguments(self, text: str) -> JsonObject:
        """The arguments as an object, valid under the schema. No text is no arguments.

        Raises:
            ToolError: not JSON, or not valid; names the argument, what was expected and an example.
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
        if not isinstance(arguments, dict):  # a schema that refers to itself may not be checked
            raise ToolError(f"{self.name} arguments: they must be a JSON object")
        return arguments


class Toolset(Protocol):
    """A named group of tools that may change while the program runs."""

    @property
    def name(self) -> str: ...

    def tools(self) -> Sequence[Tool]:
        """The tools there are right now. Must neither block nor raise."""
        ...


@runtime_checkable
class InstructedToolset(Toolset, Protocol):
    """A toolset that says how its tools are to be used."""

    @property
    def instructions(self) -> str:
        """For the system prompt, as of now; empty for none."""
        ...


def instructions_of(toolset: Toolset) -> str:
    """What a toolset says of its tools; empty where it says nothing or has no tools."""
    if not isinstance(toolset, InstructedToolset) or not toolset.tools():
        return ""
    return toolset.instructions


@dataclass(frozen=True, slots=True)
class StaticToolset:
    """Tools that do not change."""

    name: str
    members: tuple[Tool, ...]

    def tools(self) -> Sequence[Tool]:
        return self.members
