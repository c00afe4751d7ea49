"""Tools: what a model may call, and ``@tool``, which makes one of a typed function."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, overload

from kronk_agent.errors import ConfigError, ToolError
from kronk_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    JsonValue,
    Part,
    TextPart,
)

if TYPE_CHECKING:
    from jsonschema.protocols import Validator
    from pydantic import BaseModel

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ReportProgress(Protocol):
    """Tells whoever watches the run how far a tool is; never blocks and never fails."""

    def __call__(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None: ...


def _ignore_progress(
    progress: float, total: float | None = None, message: str | None = None
) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool is told about the call it serves."""

    call_id: str = ""
    report_progress: ReportProgress = _ignore_progress


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool gives back."""

    content: tuple[Part, ...]
    structured: JsonObject | None = None
    is_error: bool = False

    @classmethod
    def of(cls, value: object) -> ToolOutput:
        """Whatever a plain function returned, as an output: text as it is, the rest as JSON."""
        match value:
            case ToolOutput():
                return value
            case TextPart() | ImagePart() | AudioPart():
                return cls((value,))
            case str():
                return cls((TextPart(value),))
            case None:
                return cls((TextPart("done"),))
            case _:
                plain = _to_plain(value)
                text = json.dumps(plain, ensure_ascii=False)
                return cls((TextPart(text),), plain if isinstance(plain, dict) else None)


ToolCallable: TypeAlias = Callable[[JsonObject, ToolContext], Awaitable[ToolOutput]]
"""Runs the tool. May raise ``ToolError`` for a failure the model should read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something a model may call.

    Raises:
        ConfigError: the name is not 1–64 of ``A-Z a-z 0-9 _ -``, or the schema is not an object's.
    """

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments; its type is ``object``."""
    call: ToolCallable = field(repr=False)
    strict: bool = True
    """False for a schema we do not control: what the grammar cannot enforce is validated after."""
    timeout_seconds: float | None = None
    """How long one call may take; None leaves it to the agent."""
    _validators: list[Validator] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"a tool's name is 1-64 of A-Z a-z 0-9 _ -, not {self.name!r}")
        if self.parameters.get("type") != "object":
            raise ConfigError(f"tool {self.name}: the schema's type must be 'object'")

    def parse_arguments(self, text: str) -> JsonObject:
        """The arguments as an object, valid under the schema.

        Raises:
            ToolError: not JSON, or not valid; names the argument, what was expected and an example.
        """
        try:
            arguments = json.loads(text or "{}")
        except json.JSONDecodeError as error:
            raise ToolError(f"the arguments of {self.name} are not JSON: {error}") from None
        problem = next(iter(self._validator().iter_errors(arguments)), None)
        if problem is None:
            return arguments  # type: ignore[no-any-return]  # the schema's type is object
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in problem.absolute_path)
        raise ToolError(
            f"{self.name}{where or ' arguments'}: {problem.message}. "
            f"The arguments must follow this JSON Schema: {json.dumps(self.parameters)}"
        )

    def _validator(self) -> Validator:
        # Compiling a validator costs ten times what using it does, so it is kept.
        if not self._validators:
            from jsonschema.validators import validator_for  # heavy: 60 ms

            cls = validator_for(self.parameters)
            self._validators.append(cls(self.parameters))
        return self._validators[0]


class Toolset(Protocol):
    """A named group of tools that may change while the program runs."""

    @property
    def name(self) -> str: ...

    def tools(self) -> Sequence[Tool]:
        """The tools there are right now. Must neither block nor raise."""
        ...


@dataclass(frozen=True, slots=True)
class StaticToolset:
    """Tools that do not change."""

    name: str
    members: tuple[Tool, ...]

    def tools(self) -> Sequence[Tool]:
        return self.members


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, timeout_seconds: float | None = None
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a typed function: its signature gives the JSON Schema, its docstring the words.

    A plain function runs in a worker thread, an async one on the event loop. A parameter annotated
    ``ToolContext`` is handed the context and stays out of the schema. Parameter descriptions come
    from ``Annotated[..., Field(description=...)]`` or from the docstring's list of arguments.

    Raises:
        ConfigError: a parameter has no type, or one that has no JSON Schema.
    """

    def make(target: Callable[..., Any]) -> Tool:
        return _tool_of(target, name=name, description=description, timeout=timeout_seconds)

    return make if function is None else make(function)


def _tool_of(
    function: Callable[..., Any],
    *,
    name: str | None,
    description: str | None,
    timeout: float | None,
) -> Tool:
    from docstring_parser import parse
    from pydantic.errors import PydanticUserError

    own_name = name or function.__name__
    doc = parse(inspect.getdoc(function) or "")
    try:
        context_names, model = _signature(function, {p.arg_name: p.description for p in doc.params})
        schema: JsonObject = model.model_json_schema()
    except (PydanticUserError, NameError) as error:
        raise ConfigError(f"tool {own_name}: {error}") from error
    return Tool(
        name=own_name,
        description=description or doc.description or own_name,
        parameters=_without_titles(schema),
        call=functools.partial(_call, function, model, context_names),
        timeout_seconds=timeout,
    )


def _signature(
    function: Callable[..., Any], descriptions: dict[str, str | None]
) -> tuple[list[str], type[BaseModel]]:
    """The parameters that want the context, and a pydantic model of all the others."""
    from pydantic import ConfigDict, Field, create_model
    from pydantic.fields import FieldInfo

    context_names: list[str] = []
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.annotation is ToolContext:
            context_names.append(parameter.name)
            continue
        if parameter.annotation is parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise ConfigError(f"tool {function.__name__}: give {parameter.name} a type")
        default = ... if parameter.default is parameter.empty else parameter.default
        described = Field(default, description=descriptions.get(parameter.name))
        fields[parameter.name] = (
            parameter.annotation,
            default if isinstance(default, FieldInfo) else described,
        )
    model = create_model(
        function.__name__, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields
    )
    return context_names, model


async def _call(
    function: Callable[..., Any],
    model: type[BaseModel],
    context_names: list[str],
    arguments: JsonObject,
    context: ToolContext,
) -> ToolOutput:
    from anyio import to_thread
    from pydantic import ValidationError

    try:
        parsed = model.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ToolError(f"{where or 'arguments'}: {first['msg']}") from None
    values = {key: getattr(parsed, key) for key in model.model_fields}
    values |= dict.fromkeys(context_names, context)
    if inspect.iscoroutinefunction(function):
        return ToolOutput.of(await function(**values))
    call = functools.partial(function, **values)
    # A thread cannot be killed: when the call is cancelled it is left to end by itself.
    return ToolOutput.of(await to_thread.run_sync(call, abandon_on_cancel=True))


def _without_titles(schema: JsonObject) -> JsonObject:
    """The schema without pydantic's titles, which cost prompt tokens and say nothing."""

    def clean(value: JsonValue, *, names: bool) -> JsonValue:
        if isinstance(value, list):
            return [clean(item, names=False) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {k: v for k, v in value.items() if names or k != "title"}
        return {
            k: clean(v, names=not names and k in ("properties", "$defs")) for k, v in kept.items()
        }

    cleaned = clean(schema, names=False)
    assert isinstance(cleaned, dict)
    cleaned.pop("description", None)
    return cleaned


def _to_plain(value: object) -> JsonValue:
    from pydantic import TypeAdapter

    plain: JsonValue = TypeAdapter(Any).dump_python(value, mode="json", fallback=str)
    return plain
