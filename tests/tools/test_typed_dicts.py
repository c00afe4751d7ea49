"""``typing.TypedDict`` in the signature of a tool, on every Python."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, Optional, Required, TypedDict

import pytest
from pydantic import Field

from kronk_agent import tool
from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_agent.testing import invoke
from kronk_agent.tools import ToolOutput


class Point(TypedDict):
    """A point."""

    x: int
    label: NotRequired[str]


class Tree(TypedDict, total=False):
    value: Required[Annotated[int, Field(ge=0)]]
    kind: Literal["leaf", "node"]
    children: list[Tree]
    at: Point | None


@tool
def draw(
    point: Point,
    points: list[Point],
    tree: Optional[Tree] = None,  # noqa: UP045  # this form too
    named: dict[str, Point] | None = None,
) -> str:
    """Draw."""
    return f"{point} {points} {tree} {named}"


def test_its_fields_are_in_the_schema() -> None:
    definitions = draw.parameters["$defs"]
    assert definitions == {
        "Point": {
            "type": "object",
            "description": "A point.",
            "properties": {"x": {"type": "integer"}, "label": {"type": "string"}},
            "required": ["x"],
            "additionalProperties": False,
        },
        "Tree": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 0},
                "kind": {"type": "string", "enum": ["leaf", "node"]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                "at": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
            },
            "required": ["value"],
            "additionalProperties": False,
        },
    }


async def test_the_function_is_given_dicts() -> None:
    arguments: JsonObject = {
        "point": {"x": 1},
        "points": [{"x": 2, "label": "b"}],
        "tree": {"value": 1, "children": [{"value": 2}]},
        "named": {"a": {"x": 3}},
    }

    output = await invoke(draw, arguments)

    assert output == ToolOutput.of(" ".join(str(value) for value in arguments.values()))


@pytest.mark.parametrize("point", [{}, {"x": "one"}, {"x": 1, "y": 2}])
async def test_a_value_that_is_none_is_refused(point: JsonObject) -> None:
    with pytest.raises(ToolError, match="point"):
        await invoke(draw, {"point": point, "points": []})
