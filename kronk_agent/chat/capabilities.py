"""Chat capabilities of a model: found by rendering its template, and hardly by names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kronk_agent.chat.dialects import dialect_for
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.chat.templates.capabilities import CALL, TOOL, USER, RenderValues, try_render
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.chat.templates.conversation import TemplateCapabilities
from kronk_agent.chat.templates.jinja import TemplateRefusal
from kronk_agent.messages import JsonValue, Message

_CALLS_IN_CODE_BLOCKS: Final = frozenset({"Qwen2.5-Coder"})
"""Families by ``general.basename``. Nothing else tells Qwen2.5-Coder from Qwen2.5, whose template
and vocabulary it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a template has a place for."""

    dialect: str
    """How calls are written; ``generic`` is our own way."""
    tools: bool
    """Shows tools to the model. If not, we say them in words."""
    parallel_tool_calls: bool
    """Writes several calls in a turn."""
    calls_in_code_blocks: bool
    """Writes calls in a code block, not between the template's marks, where it is free to choose;
    they are calls all the same."""
    system: bool
    """Has a place for system messages. If not, they go before the user's first words."""
    thinking: bool
    """Tells thinking from the answer."""
    images: bool
    audio: bool


def find_capabilities(template: ChatTemplate, basename: str = "") -> Capabilities:
    """Find the capabilities of a model.

    Args:
        template: its chat template.
        basename: its ``general.basename``, for what is known of a family and no template shows.
    """
    dialect = dialect_for(template, {})
    template_capabilities, render = template.capabilities, template.render_values
    has_reasoning = isinstance(dialect, TemplateDialect) and dialect.format.reasoning is not None
    return Capabilities(
        dialect=dialect.name,
        tools=template.shows_tools,
        parallel_tool_calls=dialect.writes_calls and _writes_two(render, template_capabilities),
        calls_in_code_blocks=basename in _CALLS_IN_CODE_BLOCKS,
        system=template_capabilities.has_system,
        thinking=has_reasoning or dialect.name == "harmony",
        images=_shows_part(render, "image"),
        audio=_shows_part(render, "audio"),
    )


def _writes_two(render: RenderValues, template_capabilities: TemplateCapabilities) -> bool:
    """Is a second call in a turn written as well?"""
    counts = []
    for calls in ((CALL,), (CALL, CALL)):
        shown = try_render(
            render, [USER, Message.assistant("", calls)], [TOOL], template_capabilities
        )
        counts.append((shown or "").rpartition(USER.text)[2].count(CALL.name))
    return 0 < counts[0] < counts[1]


def _shows_part(render: RenderValues, kind: str) -> bool:
    """Does a part of the user's message that is no text leave a mark in the prompt?"""
    text: JsonValue = {"type": "text", "text": USER.text}
    try:
        without = render([{"role": "user", "content": [text]}])
        shown = render([{"role": "user", "content": [text, {"type": kind}]}])
    except TemplateRefusal:
        return False
    return USER.text in shown and without != shown and f"'{kind}'" not in shown
