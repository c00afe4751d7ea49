"""``@tool``: turns a typed Python function into a tool."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, overload

from anyio import from_thread, to_thread

from kronk_agent.errors import ConfigError, ToolError
from kronk_agent.messages import JsonObject
from kronk_agent.tools.definition import Tool, ToolContext, ToolOutput
from kronk_agent.tools.schema.prompt_schema import prompt_schema
from kronk_agent.tools.typed_dicts import usable_annotation

if TYPE_CHECKING:
    from pydantic import BaseModel

# pydantic and docstring_parser are heavy; they are imported when the first tool is created.

_PREFIX = "arg_"
"""Prevents a parameter such as ``json`` from shadowing a method of the pydantic model."""


@overload
def tool(function: Callable[..., object], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    read_only: bool = False,
) -> Callable[[Callable[..., object]], Tool]: ...
def tool(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    read_only: bool = False,
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Turn a typed function into a tool, with a schema from its signature and docstring.

    A plain function runs in a worker thread, an async one on the event loop. A parameter annotated
    ``ToolContext`` receives the context and is not part of the schema. Parameter descriptions come
    from ``Annotated[..., Field(description=...)]`` or from the docstring's list of arguments.

    Args:
        function: the function, when used as ``@tool`` without arguments.
        name: name of the tool; None means the function's.
        description: description of the tool; None means the docstring.
        timeout_seconds: timeout of one call; None means the agent's.
        read_only: calls change nothing, so the calls of one turn may run concurrently.

    Raises:
        ConfigError: the function has no name, or a parameter that cannot be described to a model.
    """

    def make(target: Callable[..., object]) -> Tool:
        """Turn the function into a tool."""
        tool_name = name or getattr(target, "__name__", None)
        if tool_name is None:
            raise ConfigError(f"{target!r} has no name: give one with @tool(name=...)")
        try:
            return _tool_of(target, tool_name, description, timeout_seconds, read_only)
        except _InvalidFunctionError as error:
            raise ConfigError(f"tool {tool_name}: {error}") from error.__cause__

    return make if function is None else make(function)


class _InvalidFunctionError(Exception):
    """The function cannot be a tool; the message does not contain its name."""


def _tool_of(
    function: Callable[..., object],
    name: str,
    description: str | None,
    timeout_seconds: float | None,
    read_only: bool,
) -> Tool:
    from docstring_parser import parse
    from pydantic.errors import PydanticUserError

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _InvalidFunctionError("a generator cannot be a tool: return the complete result")
    doc = parse(inspect.getdoc(function) or "")
    descriptions = {parameter.arg_name: parameter.description for parameter in doc.params}
    context_names, parameters = _split(_parameters(function))
    try:
        model = _model(name, parameters, descriptions)
        schema = prompt_schema(model.model_json_schema())
    except PydanticUserError as error:
        raise _InvalidFunctionError(str(error)) from error
    return Tool(
        name=name,
        description=description or (doc.description or "").strip() or name,
        parameters=schema,
        call=_FunctionCall(function, model, context_names),
        timeout_seconds=timeout_seconds,
        annotations={"readOnlyHint": True} if read_only else {},
    )


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise _InvalidFunctionError(f"its signature cannot be read: {error}") from error
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _InvalidFunctionError(f"{parameter} is not supported: use named parameters")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise _InvalidFunctionError(
                f"{parameter.name} is positional-only: make it a named parameter"
            )
        if parameter.annotation is parameter.empty:
            raise _InvalidFunctionError(f"{parameter.name} has no type annotation")
    return list(signature.parameters.values())


def _split(
    parameters: list[inspect.Parameter],
) -> tuple[tuple[str, ...], list[inspect.Parameter]]:
    """Return the names of context parameters, and all other parameters."""
    context_names = tuple(p.name for p in parameters if p.annotation is ToolContext)
    return context_names, [p for p in parameters if p.annotation is not ToolContext]


def _model(
    name: str, parameters: list[inspect.Parameter], descriptions: dict[str, str | None]
) -> type[BaseModel]:
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {
        _PREFIX + p.name: (
            _described(p.annotation, descriptions.get(p.name)),
            ... if p.default is p.empty else p.default,
        )
        for p in parameters
    }
    config = ConfigDict(
        extra="forbid", alias_generator=lambda field_name: field_name.removeprefix(_PREFIX)
    )
    return create_model(name, __config__=config, **fields)


def _described(annotation: object, description: str | None) -> object:
    """Add the docstring's description to the annotation, unless it has its own."""
    from pydantic import Field
    from pydantic.fields import FieldInfo

    annotation = usable_annotation(annotation)
    # typed for classes, but works for all annotations, such as `int | None`
    existing = FieldInfo.from_annotation(annotation).description  # type: ignore[arg-type]
    if existing or not description:
        return annotation
    return Annotated[annotation, Field(description=description)]


@dataclass(frozen=True, slots=True)
class _FunctionCall:
    """Calls the function with validated arguments."""

    function: Callable[..., object]
    model: type[BaseModel]
    context_names: tuple[str, ...]

    async def __call__(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        values = self._values(arguments)
        if inspect.iscoroutinefunction(self.function):
            values |= dict.fromkeys(self.context_names, context)
            return ToolOutput.of(await self.function(**values))
        values |= dict.fromkeys(self.context_names, _for_thread(context))
        # A thread cannot be killed: when the call is cancelled, it is abandoned.
        value = await to_thread.run_sync(
            functools.partial(self.function, **values), abandon_on_cancel=True
        )
        # A plain function may return an awaitable, e.g. a decorated async function.
        return ToolOutput.of(await value if inspect.isawaitable(value) else value)

    def _values(self, arguments: JsonObject) -> dict[str, object]:
        from pydantic import ValidationError

        try:
            parsed = self.model.model_validate(arguments)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            location = ".".join(str(part) for part in first["loc"])
            raise ToolError(f"{location or 'arguments'}: {first['msg']}") from None
        return {key.removeprefix(_PREFIX): getattr(parsed, key) for key in self.model.model_fields}


def _for_thread(context: ToolContext) -> ToolContext:
    """Adapt the context for a function that runs, or starts, in a worker thread."""
    loop_thread = threading.get_ident()

    def report_progress(
        progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Report progress from either thread."""
        if threading.get_ident() == loop_thread:  # its awaitable runs on the event loop
            context.report_progress(progress, total, message)
            return
        # After an abandoned call the event loop may be closed.
        with suppress(RuntimeError):
            from_thread.run_sync(context.report_progress, progress, total, message)

    return replace(context, report_progress=report_progress)
