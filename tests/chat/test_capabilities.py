from __future__ import annotations

import pytest
from chat.support import HERMES_TEMPLATE

from kronk_agent.chat.capabilities import Capabilities, find_capabilities
from kronk_agent.chat.templates.chat_template import ChatTemplate

NOTHING = Capabilities(
    dialect="generic",
    tools=False,
    parallel_tool_calls=False,
    calls_in_code_blocks=False,
    system=False,
    thinking=False,
    images=False,
    audio=False,
)
SEES = """\
{% for m in messages %}{% if m.role == 'user' %}<u>{% if m.content is string %}{{ m.content }}
{%- else %}{% for p in m.content -%}
{{ p.text or '<image>' if p.type != 'audio' }}
{%- endfor %}
{%- endif %}{% elif m.role == 'assistant' %}<a>
{{- '<think>' + m.reasoning_content }}</think>{{ m.content }}
{%- endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            HERMES_TEMPLATE,
            Capabilities(
                dialect="native-json",
                tools=True,
                parallel_tool_calls=True,
                calls_in_code_blocks=False,
                system=True,
                thinking=False,
                images=False,
                audio=False,
            ),
        ),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", NOTHING),
    ],
)
def test_capabilities_are_found_by_rendering(source: str, expected: Capabilities) -> None:
    assert find_capabilities(ChatTemplate({"default": source})) == expected


def test_thinking_and_images_change_the_prompt() -> None:
    found = find_capabilities(ChatTemplate({"default": SEES}))

    assert (found.thinking, found.images, found.audio) == (True, True, False)


def test_a_family_that_writes_calls_in_code_blocks_is_known_by_its_name() -> None:
    template = ChatTemplate({"default": HERMES_TEMPLATE})

    assert find_capabilities(template, "Qwen2.5-Coder").calls_in_code_blocks
    assert not find_capabilities(template, "Qwen2.5").calls_in_code_blocks
