"""Calls as a template renders them: the parser reads them back, and the grammar allows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from chat.support import Grammar, make_tool
from chat.test_golden import TEMPLATES, load, read
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.chat.dialects import DialectTurn, TurnGrammar
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.templates.chat_template import TemplateOptions
from kronk_agent.chat.templates.special_tokens import SegmentedPrompt
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatRequest
from kronk_agent.settings import ToolChoice

LOOK = make_tool(
    "look",
    properties={
        "at": {"type": "string"},
        "times": {"type": "integer"},
        "close": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string"}},
    },
    required=["at"],
)
USER = Message.user("hi")
UNREAD = {
    # Its tools are shown to the model as Python, which these tools are not.
    "CohereForAI-c4ai-command-r-plus-tool_use",
}
"""Templates that this does not hold for."""
RESULT_MARKS = ["<|tool_response>"]
"""What Gemma 4 has after calls: there it stops, and their results begin."""
ONE_CALL_IS_NOT_CLOSED = {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B"}
"""Templates that end calls with a mark, but leave it out where there is only one."""
WHOLE = [name for name in TEMPLATES if name not in UNREAD | ONE_CALL_IS_NOT_CLOSED]

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
arguments = st.fixed_dictionaries(
    {"at": texts | st.sampled_from(["12", "true", "[1]", "it's", 'a "b"\n\\n', " x ", "</a"])},
    optional={
        "times": st.integers(-(10**9), 10**9),
        "close": st.booleans(),
        "words": st.lists(texts, max_size=3),
    },
)


class Writer:
    """Has a chat template write calls, as the turns of a conversation that was."""

    def __init__(self, data: Path, name: str) -> None:
        self._template, self.dialect = load(data, name)
        # With thinking and without: one of them opens a turn as a turn that was has it.
        for self._is_thinking in (False, True):
            self._prompt = self._render(USER, add_generation_prompt=True)
            if self._written(Message.assistant("xyzzy")).startswith(self._prompt.text):
                break
        end = self._written(Message.assistant("xyzzy")).rpartition("xyzzy")[2]
        content = getattr(self.dialect, "format", TurnFormat(name="none")).content
        after_text = end.removeprefix(content.end.strip()) if content else end
        self._ends = [end, end.strip(), after_text, *RESULT_MARKS]

    def write(self, values: dict[str, Any]) -> str:
        call = ToolCall("call00001", "look", json.dumps(values, ensure_ascii=False))
        written = self._written(Message(role="assistant", content=(), tool_calls=(call,)))
        pairs = zip(self._prompt.text, written, strict=False)
        start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        tag = written.rfind("<", 0, start)
        is_in_tag = start < len(self._prompt.text) and ">" not in written[tag:start]
        text = written[tag if is_in_tag else start :]
        for end in self._ends:
            text = text.removesuffix(end)
        return text

    def start_turn(self, choice: str = "auto") -> DialectTurn:
        request = ChatRequest(
            messages=(USER,),
            tools=(LOOK,),
            tool_choice=ToolChoice.parse(choice),
            enable_thinking=self._is_thinking or None,
        )
        return self.dialect.start_turn(self._prompt.generation_prompt, request)

    def _written(self, message: Message) -> str:
        return self._render(USER, message, add_generation_prompt=False).text

    def _render(self, *messages: Message, add_generation_prompt: bool) -> SegmentedPrompt:
        return self._template.render(
            *self.dialect.prepare_messages(messages, (LOOK,)),
            options=TemplateOptions(enable_thinking=self._is_thinking),
            add_generation_prompt=add_generation_prompt,
        )


writer_of = cache(Writer)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in UNREAD])
@settings(max_examples=8, deadline=None)
@given(values=arguments)
def test_a_rendered_call_is_parsed_at_every_split(
    name: str, golden_data: Path, values: dict[str, Any]
) -> None:
    writer = writer_of(golden_data, name)
    text = writer.write(values)

    for split in range(len(text) + 1):
        found = read(writer.start_turn(), [text[:split], text[split:]])
        assert (found["calls"], found["are_complete"]) == ([["look", values]], True)
    assert read(writer.start_turn(), list(text))["calls"] == [["look", values]]


WRITTEN: list[dict[str, Any]] = [
    {"at": "the door"},
    {"at": "12", "times": -3},
    {"at": 'it\'s "so"\n', "close": True},
    {"at": "ü", "close": False, "words": ["a", "b c"]},
    {"at": "", "times": 0, "words": []},
]


@pytest.mark.parametrize("name", WHOLE)
def test_a_rendered_call_is_allowed_by_its_grammar(
    name: str, golden_data: Path, compile_grammar: Callable[[TurnGrammar | None], Grammar]
) -> None:
    writer = writer_of(golden_data, name)
    grammar = compile_grammar(writer.start_turn("required").grammar)

    refused = [text for v in WRITTEN if not grammar.accepts(text := writer.write(v))]
    assert refused == []


@pytest.mark.parametrize("name", WHOLE)
def test_an_invalid_call_is_not_allowed_by_the_grammar(
    name: str, golden_data: Path, compile_grammar: Callable[[TurnGrammar | None], Grammar]
) -> None:
    writer = writer_of(golden_data, name)
    grammar = compile_grammar(writer.start_turn("required").grammar)
    text = writer.write({"at": "here", "times": 2})
    assert grammar.accepts(text)

    near_misses = {
        "another tool": text.replace("look", "lock"),
        "a required argument left out": writer.write({"times": 2}),
        "an argument there is not": writer.write({"at": "here", "more": 2}),
        "words for a number": writer.write({"at": "here", "times": "two"}),
        "a list for a number": writer.write({"at": "here", "times": [2]}),
        "cut off": text[: text.index("here") + 2],
        "without its last sign": text.rstrip()[:-1],
        "words after it": f"{text} So.",
        "nothing": "",
    }
    assert [what for what, near in near_misses.items() if grammar.accepts(near)] == []
