"""A user message directly after a tool result reaches the model with every template."""

from __future__ import annotations

from pathlib import Path

import pytest
from chat.support import PUBLISHED_TEMPLATES, lookup

from kronk_agent.chat.dialects import dialect_for
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.messages import Message, TextPart, ToolCall

CALL = ToolCall("call_000000000000000000000001", "lookup", '{"key": "a"}')
CONVERSATION = (
    Message.user("What is a?"),
    Message.assistant("", (CALL,)),
    Message("tool", (TextPart("a is seven"),), tool_call_id=CALL.id, name="lookup"),
    Message.user("Answer in words now."),
)


def prompt_of(source: str) -> str:
    template = ChatTemplate({"default": source}, bos_text="<s>", eos_text="</s>", special_texts=())
    messages, tools = dialect_for(template, {}).prepare_messages(CONVERSATION, (lookup,))
    return template.render(messages, tools).text


@pytest.mark.skipif(
    not PUBLISHED_TEMPLATES.is_dir(), reason="published templates are not beside the project"
)
@pytest.mark.parametrize(
    "path", sorted(PUBLISHED_TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem
)
def test_every_published_template_shows_it_after_the_result(path: Path) -> None:
    prompt = prompt_of(path.read_text(encoding="utf-8"))

    result, remark = prompt.find("a is seven"), prompt.find("Answer in words now.")
    assert -1 < result < remark


def test_a_template_that_refuses_it_gets_it_as_part_of_the_result() -> None:
    source = (
        "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}"
        "{% if m.role == 'user' and loop.index0 and messages[loop.index0 - 1].role == 'tool' %}"
        "{{ raise_exception('no user after a tool') }}{% endif %}"
        "[{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}"
        "<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
        "{% endfor %}]{% endfor %}{% if add_generation_prompt %}[assistant:{% endif %}"
    )

    assert "[tool:a is seven\n\nAnswer in words now.]" in prompt_of(source)
