"""Find the message format a template expects, by rendering small conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

from kronk_agent.chat.templates.conversation import (
    CallIds,
    ReasoningField,
    TemplateCapabilities,
    message_values,
    tool_value,
)
from kronk_agent.chat.templates.jinja import TemplateRefusal
from kronk_agent.messages import JsonObject, Message, TextPart, ToolCall
from kronk_agent.tools import Tool, ToolContext, ToolOutput

RenderValues = Callable[..., str]
"""Signature of ``ChatTemplate.render_values``."""


def find_template_capabilities(render: RenderValues) -> TemplateCapabilities:
    """Find the message format in which a template shows everything a message has."""
    prober = _Prober(render)
    capabilities = TemplateCapabilities()
    if USER.text not in prober.shown([USER], capabilities):
        with_parts = replace(capabilities, has_parts=True)
        capabilities = with_parts if USER.text in prober.shown([USER], with_parts) else capabilities
    capabilities = replace(
        capabilities, has_system=SYSTEM.text in prober.shown([SYSTEM, USER], capabilities)
    )
    capabilities = replace(capabilities, has_later_system=prober.shows_later_systems(capabilities))
    capabilities = replace(
        capabilities, needs_typed_properties=prober.needs_typed_properties(capabilities)
    )
    twice = [USER, Message.user("second sample"), Message.assistant("sample answer")]
    capabilities = replace(capabilities, has_alternation=not prober.shown(twice, capabilities))
    variants = [s for s in _call_variants(capabilities) if prober.shows_call(s)]
    # A template may accept a call as the last message, but not followed by its result.
    capabilities = next(
        (s for s in variants if prober.shown([*CHAT, RESULT], s)), (variants or [capabilities])[0]
    )
    capabilities = replace(capabilities, has_many_calls=prober.shows_two_calls(capabilities))
    shown = prober.shown([*CHAT, RESULT, USER_AFTER_RESULT], capabilities)
    capabilities = replace(
        capabilities,
        has_user_after_result=USER_AFTER_RESULT.text in shown
        or not prober.shown([*CHAT, RESULT], capabilities),
    )
    capabilities = next(
        (s for s in _reasoning_variants(capabilities) if prober.shows_reasoning(s)), capabilities
    )
    return replace(
        capabilities, has_reasoning_beside_content=prober.shown(_BOTH, capabilities) != ""
    )


def try_render(
    render: RenderValues,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    capabilities: TemplateCapabilities,
    *,
    add_generation_prompt: bool = False,
    **variables: bool,
) -> str | None:
    """Render a sample conversation; None if the template refuses it."""
    try:
        return render(
            message_values(messages, capabilities),
            [tool_value(tool, capabilities) for tool in tools],
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
    except TemplateRefusal:
        return None


class _Prober:
    """Renders sample conversations and checks what they show."""

    def __init__(self, render: RenderValues) -> None:
        self._render = render

    def shown(self, messages: Sequence[Message], capabilities: TemplateCapabilities) -> str:
        """Return the rendered conversation, with tools if the template accepts them; else empty."""
        for tools in ([TOOL], []):
            shown = try_render(
                self._render, messages, tools, capabilities, enable_thinking=True, thinking=True
            )
            if shown:
                return shown
        return ""

    def shows_call(self, capabilities: TemplateCapabilities) -> bool:
        """Return true if a call without content is rendered, and not as a Python repr."""
        call = self.shown(CHAT, capabilities).rpartition(USER.text)[2]
        return (
            all(word in call for word in ("sample_tool", "sample_key", "sample_value"))
            and "{'" not in call
            and "None" not in call
        )

    def shows_later_systems(self, capabilities: TemplateCapabilities) -> bool:
        """Return true if a second system message is rendered, at the beginning and later."""
        if not capabilities.has_system:
            return False
        answer, later = Message.assistant("sample answer"), Message.user("sample remark")
        second = Message.system("second instructions")
        chats = ([SYSTEM, second, USER], [SYSTEM, USER, answer, second, later])
        return all(
            SYSTEM.text in text and second.text in text
            for text in (self.shown(chat, capabilities) for chat in chats)
        )

    def needs_typed_properties(self, capabilities: TemplateCapabilities) -> bool:
        """Return true if a tool is refused only because a property lacks type and description."""
        bare, typed = (
            try_render(self._render, [USER], [tool], capabilities) for tool in (_BARE, TOOL)
        )
        return bare is None and typed is not None

    def shows_two_calls(self, capabilities: TemplateCapabilities) -> bool:
        """Return true if two calls of one message are rendered, or if not even one is."""
        second = ToolCall("call_sample00000000000000002", CALL.name, '{"sample_key": "second"}')
        results = [replace(RESULT, tool_call_id=call.id) for call in (CALL, second)]
        shown = self.shown([USER, Message.assistant("", (CALL, second)), *results], capabilities)
        return all(word in shown for word in ("sample_value", "second")) or (
            "sample_value" not in self.shown([*CHAT, RESULT], capabilities)
        )

    def shows_reasoning(self, capabilities: TemplateCapabilities) -> bool:
        """Return true if thinking is rendered, and not as the repr of a list of parts."""
        shown = [self.shown(chat, capabilities) for chat in (_THOUGHT_CALL, _THOUGHT_ANSWER)]
        return any(THOUGHT in text and "thinking'" not in text for text in shown) and not any(
            'thinking"' in text.partition(USER.text)[2] for text in shown
        )


def _call_variants(capabilities: TemplateCapabilities) -> Iterator[TemplateCapabilities]:
    for ids, as_text, empty in product(get_args(CallIds), (False, True), (None, "")):
        yield replace(
            capabilities, call_ids=ids, has_arguments_as_text=as_text, empty_content=empty
        )


def _reasoning_variants(capabilities: TemplateCapabilities) -> Iterator[TemplateCapabilities]:
    for field in get_args(ReasoningField):
        yield replace(capabilities, reasoning=field)


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


SYSTEM = Message.system("sample instructions")
USER = Message.user("sample question")
THOUGHT = "sample thought"
CALL = ToolCall("call_sample00000000000000001", "sample_tool", '{"sample_key": "sample_value"}')
TOOL = Tool(
    name=CALL.name,
    description="A sample tool.",
    parameters={
        "type": "object",
        "properties": {"sample_key": {"type": "string", "description": "A sample key."}},
        "required": ["sample_key"],
    },
    call=_never_called,
)
_BARE = replace(
    TOOL, parameters={"type": "object", "properties": {"sample_key": {"enum": ["sample_value"]}}}
)
CHAT = (USER, Message.assistant("", (CALL,)))
RESULT = Message("tool", (TextPart("sample result"),), tool_call_id=CALL.id, name=CALL.name)
USER_AFTER_RESULT = Message.user("sample remark")
_THOUGHT_CALL = (USER, Message(role="assistant", reasoning=THOUGHT, tool_calls=(CALL,)))
_THOUGHT_ANSWER = (
    USER,
    Message(role="assistant", reasoning=THOUGHT, content=(TextPart("sample answer"),)),
)
_BOTH = (
    USER,
    Message(
        role="assistant",
        reasoning=THOUGHT,
        content=(TextPart("sample answer"),),
        tool_calls=(CALL,),
    ),
)
