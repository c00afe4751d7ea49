from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from chat.support import HERMES_TEMPLATE, make_tool
from inline_snapshot import snapshot

from kronk_agent.chat.dialects import Dialect, DialectTurn, dialect_for
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.messages import ImagePart, Message, TextDelta, TextPart, ToolCall, ToolResult
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ToolChoice

PLAIN_TEMPLATE = "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}\n{% endfor %}"
TAKE_TURNS = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}[{{ m.role }}]{{ m.content }}"
    "{% endfor %}"
)
THINKING_TEMPLATE = HERMES_TEMPLATE + "{% if false %}<think></think>{% endif %}"
QUESTION = Message.user("Weather?")
TOOL = make_tool(
    "get_weather",
    description="Weather\n  now.",
    properties={"city": {"type": "string", "description": "Name of the city"}},
    required=["city"],
)


@cache
def make_dialect(source: str) -> Dialect:
    return dialect_for(ChatTemplate({"default": source}), {})


def begin(source: str, opening: str = "", **request: Any) -> DialectTurn:
    return make_dialect(source).start_turn(opening, ChatRequest(messages=(QUESTION,), **request))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (HERMES_TEMPLATE, "native-json"),
        # It writes calls, but shows no tools: the tools are told in words, the calls are its own.
        (HERMES_TEMPLATE.replace("tool | tojson", "''"), "native-json"),
        (
            HERMES_TEMPLATE.replace('{"name": "', "<f=")
            .replace('", "arguments": ', ">")
            .replace("}\\n</tool_call>", "</f></tool_call>"),
            "tagged-json",
        ),
        (PLAIN_TEMPLATE, "generic"),
        (TAKE_TURNS, "generic"),
    ],
)
def test_a_dialect_is_recognised_by_how_its_template_writes_a_call(
    source: str, expected: str
) -> None:
    assert make_dialect(source).name == expected


def test_a_template_with_tool_support_gets_tools_unchanged() -> None:
    call = Message.assistant("", (ToolCall("id1", "get_weather", "{}"),))

    assert make_dialect(HERMES_TEMPLATE).prepare_messages([QUESTION, call], [TOOL]) == (
        [QUESTION, call],
        [TOOL],
    )


def test_a_template_without_tool_support_gets_everything_as_text() -> None:
    call = ToolCall("id1", "get_weather", '{"city": "Rome"}')
    other = ToolCall("id2", "get_time", "{}")
    result = ToolResult("id1", "get_weather", (TextPart("Sunny"), ImagePart(b"", "image/png")))
    messages = [
        Message.system("Be brief."),
        QUESTION,
        Message.assistant("Let me see.", (call, other)),
        result.to_message(),
        ToolResult("id2", "get_time", (TextPart("Noon"),)).to_message(),
        Message.user("And tomorrow?"),
        Message.assistant("", (call,)),
    ]
    dialect = make_dialect(PLAIN_TEMPLATE)
    template = ChatTemplate({"default": PLAIN_TEMPLATE})

    assert template.render(*dialect.prepare_messages(messages, [TOOL])).text == snapshot("""\
[system]
Be brief.

You can use these tools:

get_weather: Weather now.
- city: string. Name of the city

To use a tool, write nothing but a line like this:
{"tool_call": {"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}}
You are then told the result. If no tool is needed, answer in plain words.
[user]
Weather?
[assistant]
Let me see.
{"tool_call": {"name": "get_weather", "arguments": {"city": "Rome"}}}
{"tool_call": {"name": "get_time", "arguments": {}}}
[user]
Result of get_weather:
Sunny[image/png left out]

Result of get_time:
Noon

And tomorrow?
[assistant]
{"tool_call": {"name": "get_weather", "arguments": {"city": "Rome"}}}
""")
    assert dialect.prepare_messages([QUESTION], []) == ([QUESTION], ())


def test_results_take_the_users_turn_where_roles_must_alternate() -> None:
    call = Message.assistant("", (ToolCall("id1", "get_weather", "{}"),) * 2)
    result = ToolResult("id1", "get_weather", (TextPart("Sunny"),)).to_message()
    messages = [QUESTION, call, result, result, Message.user("So?"), Message.assistant("Go out.")]
    template = ChatTemplate({"default": TAKE_TURNS})

    rendered = template.render(*make_dialect(TAKE_TURNS).prepare_messages(messages, [TOOL]))
    assert rendered.text.count("[user]") == 2


def test_tools_are_described_briefly() -> None:
    place = {
        "type": "object",
        "properties": {"lat": {"type": "number"}, "within": {"$ref": "#/definitions/Place"}},
        "required": ["lat"],
    }
    tool = make_tool(
        "plan",
        description="Plans a trip.",
        properties={
            "to": {"$ref": "#/definitions/Place", "description": "Where to"},
            "by": {"enum": ["car", "train", None]},
            "days": {"type": ["integer", "null"], "description": "How\n many"},
            "stops": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"const": 1}]}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "more": {},
            "any": True,
            "map": {"type": "object"},
        },
        required=["to"],
        definitions={"Place": place},
    )
    dialect = make_dialect(PLAIN_TEMPLATE)
    messages, _ = dialect.prepare_messages([QUESTION], [tool, make_tool("stop")])

    assert messages[0].text == snapshot("""\
You can use these tools:

plan: Plans a trip.
- to: {lat: number, within?: {lat: number, within?: object}}. Where to
- by (optional): "car" | "train" | null
- days (optional): integer | null. How many
- stops (optional): (string | 1)[]
- tags (optional): string[]
- more (optional): any
- any (optional): any
- map (optional): object

stop

To use a tool, write nothing but a line like this:
{"tool_call": {"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}}
You are then told the result. If no tool is needed, answer in plain words.\
""")


@pytest.mark.parametrize("choice", ["auto", "none", "required", "get_weather"])
def test_only_none_leaves_what_looks_like_a_call_in_the_text(choice: str) -> None:
    text = '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
    turn = begin(HERMES_TEMPLATE, tools=(TOOL,), tool_choice=ToolChoice.parse(choice))
    deltas = [*turn.parser.push(text), *turn.parser.finish()]

    assert turn.parser.num_calls == (0 if choice == "none" else 1)
    assert (deltas == [TextDelta(text)]) is (choice == "none")


def test_without_tools_there_is_no_grammar() -> None:
    assert begin(HERMES_TEMPLATE).grammar is None


@pytest.mark.parametrize(
    ("source", "prompt", "expected"),
    [
        (HERMES_TEMPLATE, "<|im_start|>assistant\n<think>\n", False),
        (THINKING_TEMPLATE, "<|im_start|>assistant\n", False),
        (THINKING_TEMPLATE, "<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        (THINKING_TEMPLATE, "<|im_start|>assistant\n<think>\n", True),
    ],
)
def test_the_prompt_may_start_the_thinking(source: str, prompt: str, expected: bool) -> None:
    turn = begin(source, prompt)

    assert turn.parser.is_thinking is expected


def test_equal_templates_are_analysed_once() -> None:
    def format_of(source: str, eos_text: str) -> TurnFormat:
        dialect = dialect_for(ChatTemplate({"default": source}, eos_text=eos_text), {})
        assert isinstance(dialect, TemplateDialect)
        return dialect.format

    once = format_of(HERMES_TEMPLATE + "{# mine #}", "</s>")

    assert format_of(HERMES_TEMPLATE + "{# mine #}", "</s>") is once
    assert format_of(HERMES_TEMPLATE + "{# mine #}", "<|end|>") is not once
    assert format_of(HERMES_TEMPLATE + "{# other #}", "</s>") is not once
