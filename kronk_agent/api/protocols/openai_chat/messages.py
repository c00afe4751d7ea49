"""OpenAI's message schema, and its conversion to our messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias, assert_never

from pydantic import Field

from kronk_agent.api.protocols.common.media import audio_in, image_at
from kronk_agent.api.protocols.common.schema import LenientModel, NoEffect, RequestModel
from kronk_agent.api.tools.client_tools import text_arguments
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import ImagePart, Message, Part, TextPart, ToolCall

_CacheControl: TypeAlias = Annotated[object, NoEffect("prompts share their common prefix anyway")]
_Name: TypeAlias = Annotated[
    object, NoEffect("chat templates have no field for a participant's name")
]
_PlayedBack: TypeAlias = Annotated[object, NoEffect("sent back by clients as received")]


class TextContent(LenientModel):
    """A text part."""

    type: Literal["text"]
    text: str
    cache_control: _CacheControl = None


class Refusal(LenientModel):
    """A refusal of the assistant."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(RequestModel):
    """The URL of an image."""

    url: str
    """A data: URL; nothing is fetched."""
    detail: Literal["auto", "low", "high"] | None = None
    """Only auto: the model determines the resolution."""


class ImageContent(LenientModel):
    """An image part."""

    type: Literal["image_url"]
    image_url: ImageUrl
    cache_control: _CacheControl = None


class InputAudio(RequestModel):
    """Base64-encoded audio."""

    data: str
    format: Literal["wav", "mp3"]


class AudioContent(LenientModel):
    """An audio part."""

    type: Literal["input_audio"]
    input_audio: InputAudio
    cache_control: _CacheControl = None


TextOnly: TypeAlias = str | list[TextContent]
UserContent: TypeAlias = (
    str | list[Annotated[TextContent | ImageContent | AudioContent, Field(discriminator="type")]]
)
AssistantContent: TypeAlias = (
    str | list[Annotated[TextContent | Refusal, Field(discriminator="type")]] | None
)


class SystemMessage(LenientModel):
    """A message with instructions."""

    role: Literal["system", "developer"]
    content: TextOnly
    name: _Name = None
    cache_control: _CacheControl = None


class UserMessage(LenientModel):
    """A message of the user."""

    role: Literal["user"]
    content: UserContent
    name: _Name = None
    cache_control: _CacheControl = None


class FunctionOfCall(LenientModel):
    """The name and the JSON arguments of a function call."""

    name: str
    arguments: str


class FunctionCall(LenientModel):
    """A call of a function tool."""

    id: str
    type: Literal["function"]
    function: FunctionOfCall
    index: _PlayedBack = None
    provider_specific_fields: _PlayedBack = None


class CustomOfCall(LenientModel):
    """The name and the text input of a custom tool call."""

    name: str
    input: str


class CustomCall(LenientModel):
    """A call of a custom tool."""

    id: str
    type: Literal["custom"]
    custom: CustomOfCall
    index: _PlayedBack = None


class AssistantMessage(LenientModel):
    """A message of the assistant."""

    role: Literal["assistant"]
    content: AssistantContent = None
    tool_calls: list[Annotated[FunctionCall | CustomCall, Field(discriminator="type")]] | None = (
        None
    )
    reasoning_content: str | None = None
    """The thinking before the answer, as received from us."""
    reasoning: str | None = None
    """vLLM's and OpenRouter's name for reasoning_content."""
    prefix: bool | None = None
    """On the last message: continue it, as in DeepSeek's and Mistral's APIs."""
    refusal: str | None = None
    name: _Name = None
    annotations: _PlayedBack = None
    provider_specific_fields: _PlayedBack = None
    thinking_blocks: _PlayedBack = None
    reasoning_details: _PlayedBack = None
    images: _PlayedBack = None
    cache_control: _CacheControl = None
    audio: None = None
    function_call: None = None


class ToolMessage(LenientModel):
    """The result of a tool call."""

    role: Literal["tool"]
    content: TextOnly | None = None
    tool_call_id: str
    name: Annotated[object, NoEffect("the call names the tool")] = None
    cache_control: _CacheControl = None


WireMessage: TypeAlias = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def is_begun(wire: Sequence[WireMessage]) -> bool:
    """True if the last message has ``prefix: true``, so that the answer continues it."""
    last = wire[-1] if wire else None
    return isinstance(last, AssistantMessage) and bool(last.prefix)


def to_messages(wire: Sequence[WireMessage]) -> list[Message]:
    """Convert the messages of a request.

    Raises:
        InvalidRequestError: an image is not a ``data:`` URL, or a tool result has no call.
    """
    messages: list[Message] = []
    names: dict[str, str] = {}
    for index, message in enumerate(wire):
        converted = _message(message, names, f"messages.{index}")
        names |= {call.id: call.name for call in converted.tool_calls}
        messages.append(converted)
    return messages


def _message(message: WireMessage, names: dict[str, str], path: str) -> Message:
    match message:
        case SystemMessage():
            return Message("system", _text_parts(message.content))
        case UserMessage():
            return Message("user", _user_parts(message.content, f"{path}.content"))
        case AssistantMessage():
            return _assistant(message)
        case ToolMessage(tool_call_id=id):
            if id not in names:
                raise InvalidRequestError(
                    f"{path}.tool_call_id: no earlier assistant message has a tool call {id!r}",
                    param=f"{path}.tool_call_id",
                )
            return Message("tool", _text_parts(message.content), tool_call_id=id, name=names[id])
        case _:
            assert_never(message)


def _assistant(message: AssistantMessage) -> Message:
    content = message.content
    texts = [content] if isinstance(content, str) else [_part_text(part) for part in content or ()]
    if message.refusal:
        texts.append(message.refusal)
    text = "".join(texts)
    return Message(
        "assistant",
        (TextPart(text),) if text else (),
        reasoning=message.reasoning_content or message.reasoning or "",
        tool_calls=tuple(_call(call) for call in message.tool_calls or ()),
    )


def _part_text(part: TextContent | Refusal) -> str:
    return part.text if isinstance(part, TextContent) else part.refusal


def _call(call: FunctionCall | CustomCall) -> ToolCall:
    if isinstance(call, FunctionCall):
        return ToolCall(call.id, call.function.name, call.function.arguments)
    return ToolCall(call.id, call.custom.name, text_arguments(call.custom.input))


def _text_parts(content: TextOnly | None) -> tuple[Part, ...]:
    if isinstance(content, list):
        return tuple(TextPart(part.text) for part in content)
    return (TextPart(content or ""),)


def _user_parts(content: UserContent, path: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    return tuple(_user_part(part, f"{path}.{index}") for index, part in enumerate(content))


def _user_part(part: TextContent | ImageContent | AudioContent, path: str) -> Part:
    match part:
        case TextContent(text=text):
            return TextPart(text)
        case ImageContent(image_url=image):
            return _image(image, f"{path}.image_url")
        case AudioContent(input_audio=audio):
            return audio_in(audio.data, audio.format, f"{path}.input_audio.data")
        case _:
            assert_never(part)


def _image(image: ImageUrl, path: str) -> ImagePart:
    if image.detail not in (None, "auto"):
        raise InvalidRequestError(
            f"{path}.detail: only auto: the model determines the resolution",
            param=f"{path}.detail",
        )
    return image_at(image.url, f"{path}.url")
