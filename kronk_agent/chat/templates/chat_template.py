"""The model's chat template, which turns messages and tools into a prompt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Protocol

from kronk_agent.chat.templates.capabilities import (
    CALL,
    CHAT,
    TOOL,
    USER,
    find_template_capabilities,
    try_render,
)
from kronk_agent.chat.templates.conversation import TemplateCapabilities, message_values, tool_value
from kronk_agent.chat.templates.fixes import corrected
from kronk_agent.chat.templates.jinja import TemplateLimitError, TemplateRefusal, Templates
from kronk_agent.chat.templates.special_tokens import (
    SegmentedPrompt,
    SpecialTexts,
    SpecialTokenEscaper,
)
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import JsonObject, JsonValue, Message
from kronk_agent.tools import Tool

_RESERVED = frozenset(["messages", "tools", "functions", "add_generation_prompt"])
"""Variables that ``chat_template_kwargs`` may not set."""
_THINKING = ("enable_thinking", "thinking")
"""Most templates read the first; DeepSeek's, Granite's and Kimi's the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOptions:
    """Options of a rendering besides messages and tools."""

    enable_thinking: bool | None = None
    """None leaves it to the template."""
    reasoning_effort: str | None = None
    kwargs: Mapping[str, JsonValue] = field(default_factory=dict)
    """Further variables by name; they override those above."""


class Continuation(Protocol):
    """Writes the start of an assistant message that the model is to continue."""

    def __call__(self, generation_prompt: str, reasoning: str, content: str) -> str:
        """Return the text that replaces the generation prompt."""
        ...


class ChatTemplate:
    """A chat template and the message format it expects.

    Two templates that render alike are equal, so results cached for one are valid for the other.

    Args:
        sources: Jinja by name: ``default``, and ``tool_use`` for requests with tools, if any.
        bos_text: text of the vocabulary's beginning-of-sequence token.
        eos_text: text of the vocabulary's end-of-sequence token.
        special_texts: texts of all special tokens; only the template itself can write them.

    Raises:
        ModelError: ``sources`` is empty, or a source is not valid Jinja.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        *,
        bos_text: str = "",
        eos_text: str = "",
        special_texts: Iterable[str] = (),
    ) -> None:
        if not sources:
            raise ModelError(
                "the model has no chat template, so it is not a chat model: use its variant named "
                "instruct, it or chat"
            )
        default = corrected(sources.get("default", next(iter(sources.values()))))
        self.source: str = corrected(sources.get("tool_use", default))
        """Jinja of the template for requests with tools."""
        self._templates = Templates(default, self.source)
        self._tokens = {"bos_token": bos_text, "eos_token": eos_text}
        self._special = SpecialTexts(special_texts)
        rendering = json.dumps([default, self.source, bos_text, eos_text])
        self._digest = sha256(rendering.encode()).digest()
        # Not cached_property: before Python 3.12 all instances share its lock.
        self._probing = threading.RLock()
        self._capabilities: TemplateCapabilities | None = None
        self._shows: dict[str, bool] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatTemplate) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    @property
    def capabilities(self) -> TemplateCapabilities:
        """The message format the template expects, found by rendering small conversations."""
        with self._probing:
            if self._capabilities is None:
                self._capabilities = find_template_capabilities(self.render_values)
            return self._capabilities

    @property
    def shows_tools(self) -> bool:
        """True if the template shows tools to the model."""
        return self._shown("tools", [USER], TOOL.name)

    @property
    def shows_calls(self) -> bool:
        """True if the template renders the calls of earlier messages."""
        return self._shown("calls", CHAT, CALL.name)

    def _shown(self, what: str, messages: Sequence[Message], name: str) -> bool:
        """Return true if the sample tool's name is rendered; for calls, after the user message."""
        with self._probing:
            if what not in self._shows:
                shown = try_render(self.render_values, messages, [TOOL], self.capabilities) or ""
                part = shown if what == "tools" else shown.rpartition(USER.text)[2]
                self._shows[what] = name in part
            return self._shows[what]

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        options: TemplateOptions = TemplateOptions(),
        add_generation_prompt: bool = True,
        continuation: Continuation | None = None,
    ) -> SegmentedPrompt:
        """Render the prompt for a conversation.

        Args:
            messages: the conversation.
            tools: shown to the model as callable.
            options: thinking, effort and further variables.
            add_generation_prompt: end the prompt with the start of an assistant turn.
            continuation: given if the last message is an incomplete assistant message; writes its
            start.

        Raises:
            InvalidRequestError: the template refuses the conversation, or a message is not only
            text.
        """
        last = messages[-1] if continuation is not None else None
        values = message_values(messages[:-1] if last else messages, self.capabilities)
        tool_values = [tool_value(tool, self.capabilities) for tool in tools]
        kwargs = dict(options.kwargs)
        unfinished: JsonObject = (
            {} if last is None else {"reasoning": last.reasoning, "content": last.text}
        )
        escaper = SpecialTokenEscaper(self._special, [*values, *tool_values, kwargs, unfinished])
        # Roles never come from outside, and templates build special tokens from them.
        escaped = [{**escaper.escape(value), "role": value["role"]} for value in values]
        try:
            rendered = self.render_values(
                escaped,
                [escaper.escape(tool) for tool in tool_values],
                add_generation_prompt=add_generation_prompt,
                **_variables(options, escaper.escape(kwargs)),
            )
            without = self.render_values(
                escaped,
                [escaper.escape(tool) for tool in tool_values],
                add_generation_prompt=False,
                **_variables(options, escaper.escape(kwargs)),
            )
        except TemplateRefusal as error:
            raise InvalidRequestError(
                f"the model's chat template refuses the messages: {escaper.unescape(str(error))}",
                param="messages",
            ) from error
        except TemplateLimitError as error:
            raise InvalidRequestError(f"{error}: shorten the messages", param="messages") from error
        start = len(without) if rendered.startswith(without) else len(rendered)
        head, generation_prompt = rendered[:start], rendered[start:]
        if continuation is not None:
            partial = escaper.escape(unfinished)
            generation_prompt = continuation(
                generation_prompt, str(partial["reasoning"]), str(partial["content"])
            )
        return escaper.to_prompt(head, generation_prompt)

    def render_values(
        self,
        messages: Sequence[JsonObject],
        tools: Sequence[JsonObject] = (),
        *,
        add_generation_prompt: bool = True,
        **variables: JsonValue,
    ) -> str:
        """Render messages that are already in the template's format, unescaped.

        Raises:
            TemplateRefusal: with the template's own message.
            TemplateLimitError: the template exceeded its time, memory or output limit.
        """
        today = date.today()
        values: JsonObject = {
            "date_string": f"{today:%d %b %Y}",  # Llama 3 defaults to a day in 2024
            "datetime": f"{today:%b %d %Y}",  # Firefunction
            "functions": "",  # Firefunction
            **self._tokens,
        }
        if tools:
            values["tools"] = list(tools)
            values["functions"] = json.dumps(list(tools), ensure_ascii=False)
        values |= variables
        values["messages"] = list(messages)
        values["add_generation_prompt"] = add_generation_prompt
        return self._templates.render(1 if tools else 0, values)


def _variables(options: TemplateOptions, kwargs: JsonObject) -> dict[str, JsonValue]:
    for name in kwargs:
        if name in _RESERVED:
            raise InvalidRequestError(
                f"chat_template_kwargs: {name!r} cannot be set; it comes from the request",
                param="chat_template_kwargs",
            )
    variables: dict[str, JsonValue] = {}
    if options.enable_thinking is not None:
        variables = dict.fromkeys(_THINKING, options.enable_thinking)
    if options.enable_thinking is False:
        variables["thinking_mode"] = "disabled"  # MiniMax M3 decides by itself otherwise
    if options.reasoning_effort is not None:
        variables["reasoning_effort"] = options.reasoning_effort
        variables["thinking_effort"] = options.reasoning_effort  # Kimi K3
    return variables | kwargs
