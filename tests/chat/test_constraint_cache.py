"""The compiled grammar of a turn is used again where nothing that it depends on has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kronk_agent.chat.constraint_cache import ConstraintCache
from kronk_agent.engine.engine import Constraint
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.structured_output.constraint import ConstraintCompiler
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, ToolChoice
from kronk_agent.tools import Tool

OPENING = "<|im_start|>assistant\n"


def look(**properties: Any) -> Tool:
    return Tool(
        name="look",
        description="Looks.",
        parameters={"type": "object", "properties": properties or {"where": {"type": "string"}}},
    )


def request(**changes: Any) -> ChatRequest:
    return replace(ChatRequest(messages=(Message.user("Hello"),), tools=(look(),)), **changes)


@pytest.fixture(scope="module")
def constraint(model_file: ModelFile) -> Constraint:
    return ConstraintCompiler(model_file.vocabulary, model_file.path).compile('start: "a"')


def test_a_later_turn_with_tools_made_anew_has_the_same_constraint(constraint: Constraint) -> None:
    cache = ConstraintCache()
    cache.add(OPENING, request(), constraint)

    later = request(messages=(Message.user("And now?"),), max_tokens=7)

    assert cache.find(OPENING, later) is constraint


@pytest.mark.parametrize(
    "other",
    [
        request(tools=(look(where={"type": "integer"}),)),
        request(tools=(replace(look(), name="see"),)),
        request(tools=(replace(look(), strict=False),)),
        request(tools=()),
        request(tool_choice=ToolChoice("required")),
        request(tool_choice=ToolChoice("auto", allowed=("look",))),
        request(parallel_tool_calls=False),
        request(enable_thinking=False),
        request(separate_reasoning=False),
        request(response_format=ResponseFormat(type="json_object")),
        request(response_format=ResponseFormat(type="json_schema", schema={"type": "array"})),
    ],
)
def test_a_turn_whose_grammar_may_differ_has_none_yet(
    other: ChatRequest, constraint: Constraint
) -> None:
    cache = ConstraintCache()
    cache.add(OPENING, request(), constraint)

    assert cache.find(OPENING, other) is None
    assert cache.find("<think>", request()) is None


def test_the_least_recently_used_goes_first(constraint: Constraint) -> None:
    cache = ConstraintCache()
    cache.add(OPENING, request(), constraint)
    for number in range(63):
        cache.add(str(number), request(), constraint)
    assert cache.find(OPENING, request()) is constraint

    cache.add("one more", request(), constraint)

    assert cache.find(OPENING, request()) is constraint
    assert cache.find("0", request()) is None
