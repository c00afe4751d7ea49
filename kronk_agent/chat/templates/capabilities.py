"""Finds out what messages a template wants, by rendering small conversations in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

from kronk_agent.chat.templates.conversation import (
    CallIds,
    ReasoningField,
    Shape,
    message_values,
    tool_value,
)
from kronk_agent.chat.templates.jinja import TemplateRefusal
from kronk_agent.messages import JsonObject, Message, TextPart, ToolCall
from kronk_agent.tools import Tool, ToolContext, ToolOutput

RenderValues = Callable[..., str]
"""``ChatTemplate.render_values``."""


def find_shape(render: RenderValues) -> Shape:
    """The shape in which a template shows everything there is in a message."""
    prober = _Prober(render)
    shape = Shape()
    if USER.text not in prober.shown([USER], shape):
        with_parts = replace(shape, has_parts=True)
        shape = with_parts if USER.text in prober.shown([USER], with_parts) else shape
    shape = replace(shape, has_system=SYSTEM.text in prober.shown([SYSTEM, USER], shape))
    shape = replace(shape, has_later_system=prober.shows_later_systems(shape))
    shape = replace(shape, needs_whole_properties=prober.needs_whole_properties(shape))
    twice = [USER, Message.user("second sample"), Message.assistant("sample answer")]
    shape = replace(shape, has_alternation=not prober.shown(twice, shape))
    shapes = [s for s in _call_shapes(shape) if prober.shows_call(s)]
    # A template may take a call as the last message, and not with its result behind it.
    shape = next((s for s in shapes if prober.shown([*CHAT, RESULT], s)), (shapes or [shape])[0])
    shape = replace(shape, has_many_calls=prober.shows_two_calls(shape))
    shown = prober.shown([*CHAT, RESULT, USER_AFTER_RESULT], shape)
    shape = replace(
        shape,
        has_user_after_result=USER_AFTER_RESULT.text in shown
        or not prober.shown([*CHAT, RESULT], shape),
    )
    shape = next((s for s in _reasoning_shapes(shape) if prober.shows_reasoning(s)), shape)
    return replace(shape, has_reasoning_beside_content=prober.shown(_BOTH, shape) != "")


def try_render(
    render: RenderValues,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    shape: Shape,
    *,
    add_generation_prompt: bool = False,
    **variables: bool,
) -> str | None:
    """What a sample conversation renders to; None if the template refuses it."""
    try:
        return render(
            message_values(messages, shape),
            [tool_value(tool, shape) for tool in tools],
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
    except TemplateRefusal:
        return None


class _Prober:
    def __init__(self, render: RenderValues) -> None:
        self._render = render

    def shown(self, messages: Sequence[Message], shape: Shape) -> str:
        for tools in ([TOOL], []):
            shown = try_render(
                self._render, messages, tools, shape, enable_thinking=True, thinking=True
            )
            if shown:
                return shown
        return ""

    def shows_call(self, shape: Shape) -> bool:
        """Does a call without content come out whole, and with nothing of Python's in it?"""
        call = self.shown(CHAT, shape).rpartition(USER.text)[2]
        return (
            all(word in call for word in ("sample_tool", "sample_key", "sample_value"))
            and "{'" not in call
            and "None" not in call
        )

    def shows_later_systems(self, shape: Shape) -> bool:
        """Does a second system message come out, at the beginning and later?"""
        if not shape.has_system:
            return False
        answer, later = Message.assistant("sample answer"), Message.user("sample remark")
        second = Message.system("second instructions")
        chats = ([SYSTEM, second, USER], [SYSTEM, USER, answer, second, later])
        return all(
            SYSTEM.text in text and second.text in text
            for text in (self.shown(chat, shape) for chat in chats)
        )

    def needs_whole_properties(self, shape: Shape) -> bool:
        """True if it refuses a tool only because a property says neither type nor description."""
        bare, whole = (try_render(self._render, [USER], [tool], shape) for tool in (_BARE, TOOL))
        return bare is None and whole is not None

    def shows_two_calls(self, shape: Shape) -> bool:
        """Do two calls of one message come out, if one does?"""
        second = ToolCall("call_sample00000000000000002", CALL.name, '{"sample_key": "second"}')
        results = [replace(RESULT, tool_call_id=call.id) for call in (CALL, second)]
        shown = self.shown([USER, Message.assistant("", (CALL, second)), *results], shape)
        return all(word in shown for word in ("sample_value", "second")) or (
            "sample_value" not in self.shown([*CHAT, RESULT], shape)
        )

    def shows_reasoning(self, shape: Shape) -> bool:
        """Does thinking come out, and not merely because a list of parts was printed?"""
        shown = [self.shown(chat, shape) for chat in (_THOUGHT_CALL, _THOUGHT_ANSWER)]
        return any(THOUGHT in text and "thinking'" not in text for text in shown) and not any(
            'thinking"' in text.partition(USER.text)[2] for text in shown
        )


def _call_shapes(shape: Shape) -> Iterator[Shape]:
    for ids, as_text, empty in product(get_args(CallIds), (False, True), (None, "")):
        yield replace(shape, call_ids=ids, has_arguments_as_text=as_text, empty_content=empty)


def _reasoning_shapes(shape: Shape) -> Iterator[Shape]:
    for field in get_args(ReasoningField):
        yield replace(shape, reasoning=field)


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
