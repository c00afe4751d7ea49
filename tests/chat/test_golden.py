"""Against what llama.cpp makes of chat templates as their makers published them.

Prompts are compared byte for byte. What models write is read whole and at every split point, and
has to be in the grammar of its turn. What differs is in ``EXCEPTIONS``, and with its reason in
docs/tool-calling.md; cases of templates that are not listed here have to agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from chat.support import Grammar, make_tool

from kronk_agent.chat.dialects import Dialect, DialectTurn, dialect_for
from kronk_agent.chat.templates.chat_template import ChatTemplate, TemplateOptions
from kronk_agent.chat.templates.special_tokens import SegmentedPrompt
from kronk_agent.messages import (
    Delta,
    JsonObject,
    Message,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ResponseFormat, ToolChoice
from kronk_agent.tools import Tool

Case: TypeAlias = dict[str, Any]
Compile: TypeAlias = Callable[[Any], Grammar]

RECORDED_ON = date(2026, 11, 22)
OTHER_PROMPTS = {
    # Tools are shown to the model, which llama.cpp leaves out.
    ("fireworks-ai-llama-3-firefunction-v2", "tools"),
    ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "tools"),
    # One line break fewer behind the thinking, as in the template.
    ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "continued"),
}
"""Template and kind of case whose prompt is not llama.cpp's."""
NOT_CONSTRAINED = {
    # Words before a call that is required.
    ("Qwen3.5-4B", "required"),
    # Missing delimiters that the template has.
    ("Kimi-K2-Thinking", "tools"),
    # A tag as text where a string or an object may be.
    ("MiniMax-M3", "tools"),
    # A list on one line, where the template has it on several.
    ("CohereForAI-c4ai-command-r-plus-tool_use", "tools"),
}
"""Template and kind of case with outputs that are read, and that our grammar does not allow."""


def cases(data: Path) -> Iterator[Case]:
    for line in (data / "chat_golden.jsonl").read_text(encoding="utf-8").splitlines():
        # A dot is not in a name we allow.
        yield json.loads(line.replace("Calendar.create_event", "Calendar_create_event"))


def templates_of(data: Path) -> list[str]:
    return sorted({case["template"] for case in cases(data)})


_DATA = Path(__file__).parents[3] / "shared" / "data"
TEMPLATES = templates_of(_DATA) if _DATA.is_dir() else ["none"]


def kind_of(case: Case) -> str:
    params = case["params"]
    if params["continue_final_message"]:
        return "continued"
    if params["tool_choice"] == 1:
        return "required"
    return "tools" if params["tools"] else "words"


@cache
def load(data: Path, name: str) -> tuple[ChatTemplate, Dialect]:
    source = (data / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    template = ChatTemplate({"default": source})
    return template, dialect_for(template, {})


def message_of(value: Case) -> Message:
    return Message(
        role=value["role"],
        content=(TextPart(value["content"]),) if value["content"] else (),
        reasoning=value["reasoning_content"],
        tool_calls=tuple(
            ToolCall(call["id"], call["name"], call["arguments"]) for call in value["tool_calls"]
        ),
        tool_call_id=value["tool_call_id"] or None,
        name=value["tool_name"] or None,
    )


def tool_of(value: Case) -> Tool:
    schema = json.loads(value["parameters"])
    del schema["type"]
    return make_tool(value["name"], value["description"], **schema)


def request_of(case: Case) -> ChatRequest:
    params = case["params"]
    schema = json.loads(params["json_schema"]) if params["json_schema"] else None
    return ChatRequest(
        messages=tuple(map(message_of, params["messages"])),
        tools=tuple(map(tool_of, params["tools"])),
        tool_choice=ToolChoice(("auto", "required", "none")[params["tool_choice"]]),
        parallel_tool_calls=params["parallel_tool_calls"],
        response_format=ResponseFormat()
        if schema is None
        else ResponseFormat(type="json_schema", schema=schema),
        # The variables that llama.cpp sets, under its names.
        chat_template_kwargs={"enable_thinking": params["enable_thinking"]},
        separate_reasoning=params["reasoning_format"] != 0,
        continue_final_message=params["continue_final_message"] != 0,
    )


def prompt_of(template: ChatTemplate, dialect: Dialect, case: Case) -> SegmentedPrompt:
    request = request_of(case)
    is_continued = request.continue_final_message
    return template.render(
        *dialect.prepare_messages(request.messages, request.tools),
        options=TemplateOptions(kwargs=request.chat_template_kwargs),
        add_generation_prompt=case["params"]["add_generation_prompt"] or is_continued,
        continuation=dialect.continue_message if is_continued else None,
    )


def expected_prompt(case: Case) -> str:
    expected: str = case["applied"]["prompt"]
    for form in ("%d %b %Y", "%B %d, %Y", "%Y-%m-%d", "%b %d %Y"):
        expected = expected.replace(f"{RECORDED_ON:{form}}", f"{date.today():{form}}")
    return expected


def read(turn: DialectTurn, chunks: Sequence[str]) -> JsonObject:
    """The turn parser's result for these chunks, in the format of the golden data."""
    deltas: list[Delta] = list(turn.begun)
    for chunk in chunks:
        deltas += turn.parser.push(chunk)
    deltas += turn.parser.finish()
    calls: dict[int, list[str]] = {}
    complete = set()
    for delta in deltas:
        match delta:
            case ToolCallStart(index, _, name):
                calls[index] = [name, ""]
            case ToolCallArguments(index, fragment):
                calls[index][1] += fragment
            case ToolCallEnd(index):
                complete.add(index)
            case _:
                pass
    return {
        "content": "".join(d.text for d in deltas if isinstance(d, TextDelta)),
        "reasoning": "".join(d.text for d in deltas if isinstance(d, ReasoningDelta)).strip(),
        "calls": [[name, value_of(arguments)] for name, arguments in calls.values()],
        "are_complete": complete == calls.keys(),
    }


def expected_turn(case: Case) -> JsonObject:
    expected = case["expect"]
    calls = expected["tool_calls"]
    return {
        "content": expected["content"],
        # Blanks around it do not count, as in llama.cpp's own tests.
        "reasoning": expected["reasoning_content"].strip(),
        "calls": [[call["name"], value_of(call["arguments"])] for call in calls],
        "are_complete": not case["is_partial"] or not calls,
    }


def value_of(arguments: str) -> Any:
    """Arguments as values; where they are cut off, without what may not be given out yet."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments.rstrip()


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompts_equal_llama_cpps_byte_for_byte(name: str, golden_data: Path) -> None:
    template, dialect = load(golden_data, name)
    for case in cases(golden_data):
        if case["template"] != name or (name, kind_of(case)) in OTHER_PROMPTS:
            continue
        assert prompt_of(template, dialect, case).text == expected_prompt(case)


@pytest.mark.parametrize("name", TEMPLATES)
def test_model_output_is_parsed_the_same_at_every_split(name: str, golden_data: Path) -> None:
    template, dialect = load(golden_data, name)
    for case in cases(golden_data):
        if case["template"] != name:
            continue
        opening = prompt_of(template, dialect, case).generation_prompt
        request, text = request_of(case), case["input"]
        for split in range(len(text) + 1):
            turn = dialect.start_turn(opening, request)
            assert read(turn, [text[:split], text[split:]]) == expected_turn(case)
        turn = dialect.start_turn(opening, request)
        assert read(turn, list(text)) == expected_turn(case)


@pytest.mark.parametrize("name", TEMPLATES)
def test_model_output_is_allowed_by_the_grammar_of_its_turn(
    name: str, golden_data: Path, compile_grammar: Compile
) -> None:
    template, dialect = load(golden_data, name)
    for case in cases(golden_data):
        if case["template"] != name or case["is_partial"]:
            continue
        opening = prompt_of(template, dialect, case).generation_prompt
        turn = dialect.start_turn(opening, request_of(case))
        if turn.grammar is None:
            continue
        grammar = compile_grammar(turn.grammar)
        text = with_our_blanks(case["input"], case["expect"])
        if (name, kind_of(case)) not in NOT_CONSTRAINED:
            assert grammar.accepts(text), text


def with_our_blanks(text: str, expected: Case) -> str:
    """A turn whose JSON has the blanks our grammar fixes: one behind each comma and colon."""
    for call in expected["tool_calls"]:
        arguments = json.loads(call["arguments"])
        for value in (arguments, *arguments.values()):
            if isinstance(value, dict | list):
                compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                text = text.replace(compact, json.dumps(value, ensure_ascii=False))
    return text
