"""What a template makes of a call, read back: every template writes what its parser reads."""

from __future__ import annotations

import json
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from chat.support import make_tool
from chat.test_golden import TEMPLATES, load, read
from hypothesis import given, settings
from hypothesis import strategies as st

from kronk_agent.chat.dialects import Turn
from kronk_agent.chat.special_tokens import Prompt
from kronk_agent.chat.template import Options
from kronk_agent.messages import Message, ToolCall
from kronk_agent.model import ChatRequest

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
        self._end = self._written(Message.assistant("xyzzy")).rpartition("xyzzy")[2]

    def write(self, values: dict[str, Any]) -> str:
        call = ToolCall("call00001", "look", json.dumps(values, ensure_ascii=False))
        written = self._written(Message(role="assistant", content=(), tool_calls=(call,)))
        pairs = zip(self._prompt.text, written, strict=False)
        text = written[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) :]
        for end in (self._end, self._end.strip()):
            text = text.removesuffix(end)
        return text

    def begin_turn(self) -> Turn:
        request = ChatRequest(
            messages=(USER,),
            tools=(LOOK,),
            enable_thinking=self._is_thinking,
        )
        return self.dialect.begin_turn(self._prompt.opening, request)

    def _written(self, message: Message) -> str:
        return self._render(USER, message, add_generation_prompt=False).text

    def _render(self, *messages: Message, add_generation_prompt: bool) -> Prompt:
        return self._template.render(
            *self.dialect.arrange(messages, (LOOK,)),
            options=Options(kwargs={"enable_thinking": self._is_thinking}),
            add_generation_prompt=add_generation_prompt,
        )


writer_of = cache(Writer)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in UNREAD])
@settings(max_examples=8, deadline=None)
@given(values=arguments)
def test_a_call_as_the_template_writes_it_is_read_back_at_every_split(
    name: str, golden_data: Path, values: dict[str, Any]
) -> None:
    writer = writer_of(golden_data, name)
    text = writer.write(values)

    for split in range(len(text) + 1):
        found = read(writer.begin_turn(), [text[:split], text[split:]])
        assert (found["calls"], found["are_complete"]) == ([["look", values]], True)
    assert read(writer.begin_turn(), list(text))["calls"] == [["look", values]]
