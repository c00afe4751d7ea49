"""The model's own chat template: messages and tools in, a prompt out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from kronk_agent.chat.conversation import Shape, message_values, tool_value
from kronk_agent.chat.jinja import compile_template
from kronk_agent.chat.special_tokens import Disguise, Prompt, SpecialTexts
from kronk_agent.errors import InvalidRequestError, ModelError
from kronk_agent.messages import JsonObject, Message, ToolCall
from kronk_agent.tool import Tool, ToolContext, ToolOutput


class ChatTemplate:
    """A chat template and what it can do, found out by rendering a few small conversations.

    Args:
        sources: Jinja by name: ``default``, and ``tool_use`` for requests with tools, if any.
        bos_text: text of the vocabulary's token for the beginning of a sequence.
        eos_text: text of the vocabulary's token for its end.
        special_texts: texts of all special tokens; only the template itself can write them.

    Raises:
        ModelError: there is no template, or one is not valid Jinja.
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
                "the model has no chat template, so it is not made for chat: take the variant of "
                "it that is called instruct, it or chat"
            )
        default = sources.get("default", next(iter(sources.values())))
        self.source: str = sources.get("tool_use", default)
        """Jinja of the template for requests with tools."""
        self._without_tools = compile_template(default)
        self._with_tools = compile_template(self.source)
        self._tokens = {"bos_token": bos_text, "eos_token": eos_text}
        self._special = SpecialTexts(special_texts)
        self._shape = self._find_shape()
        self.supports_tools: bool = _SAMPLE_TOOL.name in self._try([_SAMPLE_USER], [_SAMPLE_TOOL])
        """Does it show tools to the model?"""

    @property
    def supports_system(self) -> bool:
        """Does it show system messages? If not, the first is put before the user's first words."""
        return self._shape.has_system

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        add_generation_prompt: bool = True,
    ) -> Prompt:
        """The prompt for a conversation.

        Raises:
            InvalidRequestError: the template refuses the conversation, or it is not only text.
        """
        return self._render(messages, tools, self._shape, add_generation_prompt)

    def render_sample_call(self) -> str:
        """How it writes ``SAMPLE_CALL`` after a question; empty if it refuses such messages."""
        return self._try(_SAMPLE_CHAT, [_SAMPLE_TOOL])

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        shape: Shape,
        add_generation_prompt: bool,
    ) -> Prompt:
        message_objects = message_values(messages, shape)
        tool_objects = [tool_value(tool) for tool in tools]
        disguise = Disguise(self._special, [*message_objects, *tool_objects])
        # A role is never from outside, and templates make special tokens of it.
        hidden = [{**disguise.hide(m), "role": m["role"]} for m in message_objects]
        variables: dict[str, object] = {"messages": hidden, **self._tokens}
        if tools:
            variables["tools"] = [disguise.hide(tool) for tool in tool_objects]
        render = self._with_tools if tools else self._without_tools
        try:
            rendered = render(
                **variables,
                add_generation_prompt=add_generation_prompt,
                date_string=f"{date.today():%d %b %Y}",  # Llama 3 falls back on a day in 2024
            )
        except Exception as error:  # boundary: a template is foreign code
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {disguise.reveal(str(error))}",
                param="messages",
            ) from error
        return disguise.to_prompt(rendered)

    def _try(
        self, messages: Sequence[Message], tools: Sequence[Tool] = (), shape: Shape | None = None
    ) -> str:
        """What a sample conversation renders to; empty if the template refuses it."""
        try:
            return self._render(messages, tools, shape or self._shape, True).text
        except InvalidRequestError:
            return ""

    def _find_shape(self) -> Shape:
        system_shown = self._try([_SAMPLE_SYSTEM, _SAMPLE_USER], shape=Shape())
        shapes = [
            Shape(_SAMPLE_SYSTEM.text in system_shown, has_arguments_as_text, empty_content)
            for has_arguments_as_text in (False, True)
            for empty_content in (None, "")
        ]
        return next((shape for shape in shapes if self._shows_calls(shape)), shapes[0])

    def _shows_calls(self, shape: Shape) -> bool:
        """Does a call without content come out whole, and with nothing of Python's in it?"""
        call = self._try(_SAMPLE_CHAT, [_SAMPLE_TOOL], shape).rpartition(_SAMPLE_USER.text)[2]
        return (
            all(word in call for word in ("sample_tool", "sample_key", "sample_value"))
            and "{'" not in call
            and "None" not in call
        )


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


# Some templates want ids of exactly nine letters and digits.
SAMPLE_CALL = ToolCall("sample001", "sample_tool", '{"sample_key": "sample_value"}')
_SAMPLE_SYSTEM = Message.system("sample instructions")
_SAMPLE_USER = Message.user("sample question")
_SAMPLE_CHAT = (_SAMPLE_USER, Message.assistant("", (SAMPLE_CALL,)))
_SAMPLE_TOOL = Tool(
    name=SAMPLE_CALL.name,
    description="A sample tool.",
    parameters={
        "type": "object",
        "properties": {"sample_key": {"type": "string", "description": "A sample key."}},
        "required": ["sample_key"],
    },
    call=_never_called,
)
