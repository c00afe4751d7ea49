"""Chat capabilities of a model, found by rendering its template."""

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
"""Families by ``general.basename``. Qwen2.5-Coder has the template and vocabulary of Qwen2.5, so
only the name tells them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Chat features that a model's template supports."""

    dialect: str
    """Name of the dialect; ``generic`` is our own call format."""
    tools: bool
    """True if the template shows tools to the model. If not, the system message describes them."""
    parallel_tool_calls: bool
    """True if the template writes several calls in one turn."""
    calls_in_code_blocks: bool
    """True if the model, when free to choose, writes calls in a code block and not between the
    template's delimiters. Such calls are parsed as well."""
    system: bool
    """True if the template has a place for system messages. If not, they are put before the first
    user message."""
    thinking: bool
    """True if the template separates thinking from the answer."""
    images: bool
    """True if the template shows image parts of user messages."""
    audio: bool
    """True if the template shows audio parts of user messages."""


def find_capabilities(template: ChatTemplate, basename: str = "") -> Capabilities:
    """Find the chat capabilities of a model.

    Args:
        template: the model's chat template.
        basename: ``general.basename`` of the model, for what no template shows.
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
    """Return true if the template also writes the second call of a turn."""
    counts = []
    for calls in ((CALL,), (CALL, CALL)):
        shown = try_render(
            render, [USER, Message.assistant("", calls)], [TOOL], template_capabilities
        )
        counts.append((shown or "").rpartition(USER.text)[2].count(CALL.name))
    return 0 < counts[0] < counts[1]


def _shows_part(render: RenderValues, kind: str) -> bool:
    """Return true if the prompt changes with a part of this kind in the user message."""
    text: JsonValue = {"type": "text", "text": USER.text}
    try:
        without = render([{"role": "user", "content": [text]}])
        shown = render([{"role": "user", "content": [text, {"type": kind}]}])
    except TemplateRefusal:
        return False
    return USER.text in shown and without != shown and f"'{kind}'" not in shown
