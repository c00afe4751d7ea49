from __future__ import annotations

import datetime
import enum
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import anyio
import pytest
from inline_snapshot import snapshot
from limits import seconds
from pydantic import BaseModel, Field

from kronk_agent.errors import ConfigError, ToolError
from kronk_agent.messages import ImagePart, JsonObject, TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import StaticToolset, Tool, ToolContext, ToolOutput, tool

# --- the schema of a function ------------------------------------------------------------------


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    """Where."""

    title: str
    height: Annotated[float, Field(ge=0, description="Metres above the sea")] = 0


@tool
def everything(
    city: str,
    days: Annotated[int, Field(ge=1, le=14)],
    unit: Unit = Unit.CELSIUS,
    detail: Literal["short", "long"] = "short",
    around: list[Place] | None = None,
    offsets: Annotated[tuple[int, ...], Field(max_length=3)] = (),
    home: Place = Place(title="home"),  # noqa: B008  # frozen defaults are what is shown
) -> str:
    """Forecast the weather.

    Slow for many days.

    Args:
        city: Name of the city
        days: How many days
        around: Places nearby
    """
    return city


def test_the_signature_and_the_docstring_become_the_schema() -> None:
    assert (everything.name, everything.description) == snapshot(
        (
            "everything",
            """\
Forecast the weather.

Slow for many days.\
""",
        )
    )
    assert everything.parameters == snapshot(
        {
            "$defs": {
                "Place": {
                    "description": "Where.",
                    "properties": {
                        "title": {"type": "string"},
                        "height": {
                            "default": 0,
                            "description": "Metres above the sea",
                            "minimum": 0,
                            "type": "number",
                        },
                    },
                    "required": ["title"],
                    "type": "object",
                },
                "Unit": {"enum": ["celsius", "kelvin"], "type": "string"},
            },
            "additionalProperties": False,
            "properties": {
                "city": {"description": "Name of the city", "type": "string"},
                "days": {
                    "description": "How many days",
                    "maximum": 14,
                    "minimum": 1,
                    "type": "integer",
                },
                "unit": {"$ref": "#/$defs/Unit", "default": "celsius"},
                "detail": {"default": "short", "enum": ["short", "long"], "type": "string"},
                "around": {
                    "anyOf": [
                        {"items": {"$ref": "#/$defs/Place"}, "type": "array"},
                        {"type": "null"},
                    ],
                    "default": None,
                    "description": "Places nearby",
                },
                "offsets": {
                    "default": [],
                    "items": {"type": "integer"},
                    "maxItems": 3,
                    "type": "array",
                },
                "home": {"$ref": "#/$defs/Place", "default": {"title": "home", "height": 0.0}},
            },
            "required": ["city", "days"],
            "type": "object",
        }
    )


def test_a_function_without_parameters_has_an_empty_schema() -> None:
    @tool
    def now() -> str:
        return "noon"

    assert (now.description, now.parameters) == snapshot(
        ("now", {"additionalProperties": False, "properties": {}, "type": "object"})
    )


def test_the_context_is_not_for_the_model() -> None:
    @tool
    async def f(context: ToolContext, x: int, other: ToolContext) -> str:
        return ""

    assert list(f.parameters["properties"]) == ["x"]  # type: ignore[arg-type]


def test_the_nearest_description_of_a_parameter_wins() -> None:
    @tool
    def f(
        a: Annotated[int, Field(description="annotated")],
        b: Annotated[int, Field(description="annotated")] = Field(1, description="default"),
        c: int = Field(1, ge=0),
        d: Annotated[int, Field(description="annotated")] = 1,
    ) -> None:
        """F.

        Args:
            a: docstring
            b: docstring
            c: docstring
        """

    assert f.parameters["properties"] == snapshot(
        {
            "a": {"description": "annotated", "type": "integer"},
            "b": {"default": 1, "description": "default", "type": "integer"},
            "c": {"default": 1, "description": "docstring", "minimum": 0, "type": "integer"},
            "d": {"default": 1, "description": "annotated", "type": "integer"},
        }
    )


@pytest.mark.parametrize(
    "docstring",
    [
        "Look.\n\nArgs:\n    where: the place",
        "Look.\n\n:param where: the place",
        "Look.\n\nParameters\n----------\nwhere : str\n    the place",
    ],
)
def test_every_common_style_of_docstring_is_read(docstring: str) -> None:
    def look(where: str) -> None: ...

    look.__doc__ = docstring
    made = tool(look)

    assert made.description == "Look."
    assert made.parameters["properties"] == {
        "where": {"type": "string", "description": "the place"}
    }


def test_parameters_may_be_called_like_methods_of_pydantic_and_keywords_of_python() -> None:
    @tool
    def f(
        json: str,
        schema: int,
        copy: bool,
        model_fields: str,
        _private: str,
        title: str,
        from_: Annotated[str, Field(alias="from")],
    ) -> None: ...

    names = ["json", "schema", "copy", "model_fields", "_private", "title", "from"]
    assert list(f.parameters["properties"]) == names  # type: ignore[arg-type]


def test_titles_go_but_data_called_title_stays() -> None:
    @tool
    def f(place: dict[str, str] = {"title": "x"}) -> None: ...  # noqa: B006  # shown, not changed

    assert f.parameters["properties"] == {
        "place": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {"title": "x"},
        }
    }


def test_name_description_and_deadline_may_be_given() -> None:
    @tool(name="look_up", description="Find it.", timeout_seconds=2)
    def f() -> None:
        """Something else."""

    assert (f.name, f.description, f.timeout_seconds) == ("look_up", "Find it.", 2)


# --- functions that cannot be tools ------------------------------------------------------------


def untyped(x) -> None: ...  # type: ignore[no-untyped-def]
def many(*xs: int) -> None: ...
def keywords(**xs: int) -> None: ...
def positional(x: int, /) -> None: ...
def unknown(x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def misspelt(x: datetime.dat) -> None: ...  # type: ignore[name-defined]
def without_schema(x: Callable[[], int]) -> None: ...
def foreign(x: threading.Thread) -> None: ...
def generator(x: int) -> Iterator[int]:
    yield x


async def async_generator(x: int) -> AsyncIterator[int]:
    yield x


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "tool untyped: x has no type annotation"),
        (many, r"tool many: \*xs: int is not supported: use named parameters"),
        (keywords, r"tool keywords: \*\*xs: int is not supported: use named parameters"),
        (positional, "tool positional: x is positional-only"),
        (unknown, "tool unknown: its signature cannot be read: name 'Missing' is not defined"),
        (misspelt, "tool misspelt: its signature cannot be read: .*has no attribute 'dat'"),
        (without_schema, "tool without_schema: "),
        (foreign, "tool foreign: .*Thread"),
        (generator, "tool generator: a generator cannot be a tool"),
        (async_generator, "tool async_generator: a generator cannot be a tool"),
        (functools.partial(many), r"has no name: give one with @tool\(name=\.\.\.\)"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_by_name(
    function: Callable[..., object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        tool(function)


@pytest.mark.parametrize("name", ["", "two words", "naïve", "a" * 129, "a.b"])
def test_a_name_that_no_model_could_write_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a tool's name must be 1-128 of A-Z a-z 0-9 _ -"):
        replace(everything, name=name)


@pytest.mark.parametrize("parameters", [{"type": "string"}, {"type": ["array", "null"]}])
def test_a_schema_that_is_not_an_objects_is_refused(parameters: JsonObject) -> None:
    with pytest.raises(ConfigError, match="tool everything: the schema's type must be 'object'"):
        replace(everything, parameters=parameters)


# --- arguments ---------------------------------------------------------------------------------


def test_arguments_that_are_valid_come_as_an_object() -> None:
    text = ' {"city": "Ulm", "days": 2, "around": [{"title": "Aalen"}]} '

    assert everything.parse_arguments(text) == {
        "city": "Ulm",
        "days": 2,
        "around": [{"title": "Aalen"}],
    }


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_text_is_no_arguments(text: str) -> None:
    @tool
    def now() -> None: ...

    assert now.parse_arguments(text) == {}


EXAMPLE = ' Valid would be, for example: {"city": "text", "days": 1'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"city": "Ulm"}', " arguments: 'days' is a required property." + EXAMPLE + "}"),
        ("{}", " arguments: 'city' is a required property." + EXAMPLE + "}"),
        ("[]", " arguments: [] is not of type 'object'." + EXAMPLE + "}"),
        (
            '{"city": 7, "days": 1}',
            ".city: 7 is not of type 'string'." + EXAMPLE + "}",
        ),
        (
            '{"city": "Ulm", "days": 15}',
            ".days: 15 is greater than the maximum of 14." + EXAMPLE + "}",
        ),
        (
            '{"city": "Ulm", "days": 1, "unit": "F"}',
            ".unit: 'F' is not one of ['celsius', 'kelvin']." + EXAMPLE + ', "unit": "celsius"}',
        ),
        (
            '{"city": "Ulm", "days": 1, "around": [{"title": "x", "height": -1}]}',
            ".around[0].height: -1 is less than the minimum of 0." + EXAMPLE + ', "around": null}',
        ),
        (
            '{"city": "Ulm", "days": 1, "dys": 1}',
            " arguments: Additional properties are not allowed ('dys' was unexpected). Known are: "
            "city, days, unit, detail, around, offsets, home." + EXAMPLE + "}",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_an_example(text: str, words: str) -> None:
    with pytest.raises(ToolError) as caught:
        everything.parse_arguments(text)

    assert str(caught.value) == f"everything{words}"


@pytest.mark.parametrize(
    "text",
    ["{", "nonsense", '{"days": NaN}', "[" * 100_000, f'{{"days": {"9" * 5000}}}', "{} {}"],
)
def test_what_is_not_json_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ToolError, match=r"^the arguments of everything are not JSON: "):
        everything.parse_arguments(text)


def test_a_long_wrong_value_is_not_repeated_whole() -> None:
    with pytest.raises(ToolError) as caught:
        everything.parse_arguments('{"city": [' + "1, " * 9999 + '1], "days": 1}')

    assert len(str(caught.value)) < 500
    assert " is not of type 'string'." in str(caught.value)


async def never(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError("called")


def tool_with(schema: JsonObject) -> Tool:
    return Tool(name="t", description="", parameters=schema, call=never)


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "number", "exclusiveMinimum": 3}, "4"),
        ({"type": "integer", "minimum": -5, "maximum": -3}, "-5"),
        ({"type": "integer", "maximum": -3}, "-3"),
        ({"type": "string", "minLength": 6}, '"text.."'),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, "[true, true]"),
        ({"type": "array", "items": {"type": "boolean"}}, "[]"),
        ({"enum": ["a", "b"]}, '"a"'),
        ({"const": 5}, "5"),
        ({"type": "string", "examples": ["Ulm"]}, '"Ulm"'),
        ({"type": ["null", "string"]}, "null"),
        ({"oneOf": [{"type": "boolean"}, {"type": "null"}]}, "true"),
        ({"$ref": "#/$defs/in"}, '{"y": 1}'),
    ],
)
def test_an_example_is_made_of_the_schema(schema: JsonObject, example: str) -> None:
    inner: JsonObject = {
        "type": "object",
        "properties": {"y": {"type": "integer"}, "z": {"type": "integer"}},
        "required": ["y"],
    }
    whole = tool_with(
        {"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": {"in": inner}}
    )

    with pytest.raises(ToolError, match="Valid would be") as caught:
        whole.parse_arguments("{}")

    assert str(caught.value).endswith(f'Valid would be, for example: {{"x": {example}}}')


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[0-9]{5}$"},
        {"type": "string", "minLength": 10**12},
        {"type": "integer", "minimum": 1.5},
        {"not": {}},
        {"allOf": [{"type": "integer"}]},
    ],
)
def test_an_example_that_would_be_wrong_is_left_out(schema: JsonObject) -> None:
    whole = tool_with({"type": "object", "properties": {"x": schema}, "required": ["x"]})

    with pytest.raises(ToolError) as caught:
        whole.parse_arguments("{}")

    assert str(caught.value) == "t arguments: 'x' is a required property."


def test_an_unknown_dialect_of_json_schema_is_taken_for_the_newest() -> None:
    unknown = tool_with({"$schema": "urn:of-my-own", "type": "object", "required": ["x"]})

    with pytest.raises(ToolError, match="'x' is a required property"):
        unknown.parse_arguments("{}")


# --- calls -------------------------------------------------------------------------------------


async def output_of(made: Tool, arguments: JsonObject | None = None) -> ToolOutput:
    return await invoke(made, arguments or {}, ToolContext("call_1"))


async def test_arguments_become_what_the_annotations_say() -> None:
    seen: list[object] = []

    @tool
    def f(
        unit: Unit, place: Place, when: datetime.date, where: Path, tags: set[str], limit: int = 3
    ) -> None:
        seen.extend([unit, place, when, where, tags, limit])

    await output_of(
        f,
        {
            "unit": "kelvin",
            "place": {"title": "Ulm"},
            "when": "2026-11-22",
            "where": "notes/a.md",
            "tags": ["a", "a"],
        },
    )

    assert seen == [
        Unit.KELVIN,
        Place(title="Ulm"),
        datetime.date(2026, 11, 22),
        Path("notes/a.md"),
        {"a"},
        3,
    ]


async def test_what_only_pydantic_can_refuse_is_a_tool_error() -> None:
    @tool
    def f(when: datetime.date) -> None: ...

    with pytest.raises(ToolError, match=r"^when: Input should be a valid date"):
        await output_of(f, {"when": "yesterday"})


async def test_the_context_is_handed_in_whatever_it_is_called() -> None:
    @tool
    async def f(x: int, ctx: ToolContext) -> str:
        return f"{ctx.call_id} {x}"

    assert await output_of(f, {"x": 1}) == ToolOutput((TextPart("call_1 1"),))


async def test_a_plain_function_runs_in_a_thread_and_an_async_one_does_not() -> None:
    @tool
    def plain() -> bool:
        return threading.current_thread() is threading.main_thread()

    @tool
    async def coroutine() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (await output_of(plain)).content == (TextPart("false"),)
    assert (await output_of(coroutine)).content == (TextPart("true"),)


async def test_an_async_function_behind_a_plain_decorator_is_awaited() -> None:
    def traced(function: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
        @functools.wraps(function)
        def wrapper() -> Awaitable[str]:
            return function()

        return wrapper

    @tool
    @traced
    async def f() -> str:
        return "awaited"

    assert await output_of(f) == ToolOutput((TextPart("awaited"),))


async def test_a_method_and_a_callable_object_can_be_tools() -> None:
    class Shop:
        def price(self, item: str) -> int:
            return len(item)

        async def __call__(self, item: str) -> int:
            return 2 * len(item)

    assert (await output_of(tool(Shop().price), {"item": "tea"})).content == (TextPart("3"),)
    assert (await output_of(tool(name="shop")(Shop()), {"item": "tea"})).content == (TextPart("6"),)


async def test_a_call_that_is_given_up_leaves_its_thread_behind() -> None:
    release = threading.Event()
    ended = threading.Event()

    @tool
    def block(context: ToolContext) -> None:
        release.wait(timeout=seconds(5))
        context.report_progress(1)
        ended.set()

    with anyio.move_on_after(0.01) as scope:
        await output_of(block)
    release.set()

    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(ended.wait, 5)


@dataclass
class Sum:
    total: int


IMAGE = ImagePart(b"\x89PNG", "image/png")


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("text", ToolOutput((TextPart("text"),))),
        (None, ToolOutput((TextPart("done"),))),
        (3, ToolOutput((TextPart("3"),))),
        (True, ToolOutput((TextPart("true"),))),
        ("", ToolOutput((TextPart(""),))),
        (["ä", 1], ToolOutput((TextPart('["ä", 1]'),))),
        ([], ToolOutput((TextPart("[]"),))),
        ({"a": (1, 2)}, ToolOutput((TextPart('{"a": [1, 2]}'),), {"a": [1, 2]})),
        (Sum(3), ToolOutput((TextPart('{"total": 3}'),), {"total": 3})),
        (
            Place(title="Ulm"),
            ToolOutput(
                (TextPart('{"title": "Ulm", "height": 0.0}'),), {"title": "Ulm", "height": 0.0}
            ),
        ),
        (datetime.date(2026, 11, 22), ToolOutput((TextPart('"2026-11-22"'),))),
        (IMAGE, ToolOutput((IMAGE,))),
        ([TextPart("a cat"), IMAGE], ToolOutput((TextPart("a cat"), IMAGE))),
        (ToolOutput((), is_error=True), ToolOutput((), is_error=True)),
    ],
)
def test_whatever_a_function_returns_becomes_an_output(value: object, output: ToolOutput) -> None:
    assert ToolOutput.of(value) == output


def test_a_static_toolset_gives_its_members() -> None:
    assert StaticToolset("mine", (everything,)).tools() == (everything,)


class Node(BaseModel):
    value: int
    next: Node | None = None


async def test_a_recursive_tool_is_explained_like_any_other() -> None:
    @tool
    def put(node: Node) -> None:
        """Put a node."""

    with pytest.raises(ToolError) as info:
        put.parse_arguments('{"node": {"value": "x"}}')

    assert str(info.value).startswith("put.node.value: 'x' is not of type 'integer'.")


async def test_progress_of_a_decorated_async_function_arrives() -> None:
    async def count(context: ToolContext) -> str:
        context.report_progress(1, 2, "half")
        return "done"

    @functools.wraps(count)
    def decorated(context: ToolContext) -> object:
        return count(context)

    seen: list[float] = []

    def report(progress: float, total: float | None = None, message: str | None = None) -> None:
        seen.append(progress)

    await invoke(tool(decorated), {}, ToolContext(report_progress=report))

    assert seen == [1]


def test_arguments_that_are_no_object_are_refused_whatever_the_schema_says() -> None:
    async def never(arguments: JsonObject, context: ToolContext) -> ToolOutput:
        raise AssertionError

    odd = Tool(
        name="odd",
        description="Its schema refers to itself without an end.",
        parameters={"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        call=never,
    )
    with pytest.raises(ToolError, match="must be a JSON object"):
        odd.parse_arguments("[1]")
