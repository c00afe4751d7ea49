"""Unusual conversations: every message reaches the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from chat.support import PUBLISHED_TEMPLATES, lookup

from kronk_agent.chat.dialects import dialect_for
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.messages import Message, TextPart, ToolCall
from kronk_agent.tools import Tool


def system(text: str) -> Message:
    return Message.system(text)


def user(text: str) -> Message:
    return Message.user(text)


def said(text: str, *calls: ToolCall) -> Message:
    return Message.assistant(text, calls)


def call(id: str, arguments: str) -> ToolCall:
    return ToolCall(id, "lookup", arguments)


def result(id: str, text: str) -> Message:
    return Message("tool", (TextPart(text),), tool_call_id=id, name="lookup")


ODD: dict[str, Sequence[Message]] = {
    "two system messages": [system("alpha1"), system("bravo2"), user("charlie3")],
    "a system message in the middle": [
        *(system("alpha1"), user("bravo2"), said("charlie3"), system("delta4"), user("echo5"))
    ],
    "a system message at the end": [
        *(system("alpha1"), user("bravo2"), said("charlie3"), user("delta4"), system("echo5"))
    ],
    "the first system message after a user's": [user("alpha1"), system("bravo2"), user("charlie3")],
    "two of the user": [user("alpha1"), user("bravo2")],
    "two of the assistant": [user("alpha1"), said("bravo2"), said("charlie3"), user("delta4")],
    "two calls in one turn": [
        user("alpha1"),
        said("", call("call_1", '{"key": "bravo2"}'), call("call_2", '{"key": "charlie3"}')),
        *(result("call_1", "delta4"), result("call_2", "echo5"), user("foxtrot6")),
    ],
    "a call that was cut off": [
        *(user("alpha1"), said("", call("call_1", '{"key": "bravo2')), result("call_1", "charlie3"))
    ],
    "a call with a list": [
        *(user("alpha1"), said("", call("call_1", '["bravo2"]')), result("call_1", "charlie3"))
    ],
    "a call without arguments": [
        *(user("alpha1"), said("", call("call_1", "")), result("call_1", "bravo2"))
    ],
}
_WORDS = ("alpha1", "bravo2", "charlie3", "delta4", "echo5", "foxtrot6")


def missing(source: str, messages: Sequence[Message]) -> list[str]:
    """What was said and is not in the prompt, or not where it was said."""
    template = ChatTemplate({"default": source}, bos_text="<s>", eos_text="</s>", special_texts=())
    tools: list[Tool] = [lookup] if any(message.tool_calls for message in messages) else []
    arranged, shown = dialect_for(template, {}).prepare_messages(messages, tools)
    prompt = template.render(arranged, shown).text
    text = " ".join(f"{message.text} {message.tool_calls}" for message in messages)
    return [word for word in _WORDS if word in text and word not in prompt]


@pytest.mark.skipif(
    not PUBLISHED_TEMPLATES.is_dir(), reason="published templates are not beside the project"
)
@pytest.mark.parametrize(
    "path", sorted(PUBLISHED_TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem
)
def test_every_published_template_shows_all_of_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    lost = {name: words for name, messages in ODD.items() if (words := missing(source, messages))}

    assert lost == {}


_MESSAGE = (
    "[{{ m.role }}:{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
    "{% endfor %}]{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
)


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
        "{{ raise_exception('System message must be at the beginning.') }}{% endif %}" + _MESSAGE,
        "{% for m in messages %}{% if m.role != 'system' or loop.first %}"
        + _MESSAGE.replace("]{% endfor %}{% if", "]{% endif %}{% endfor %}{% if"),
        "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length > 1 %}"
        "{{ raise_exception('single tool-calls at once') }}{% endif %}" + _MESSAGE,
        "{% for m in messages %}{% if m.tool_calls and not loop.last %}"
        "{{ m.content.strip() }}{% endif %}" + _MESSAGE,
    ],
)
def test_a_template_that_refuses_or_loses_some_of_it_gets_it_in_a_form_it_takes(
    source: str,
) -> None:
    lost = {name: words for name, messages in ODD.items() if (words := missing(source, messages))}

    assert lost == {}
