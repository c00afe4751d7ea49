"""The requests, and what of an agent's options they change."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from kronk_agent.agent import AgentOptions
from kronk_agent.api.protocols.common.media import picture
from kronk_agent.api.protocols.common.schema import Count, LenientModel, NoEffect, UnicodeBody
from kronk_agent.api.protocols.ollama.context import from_context
from kronk_agent.api.protocols.ollama.messages import WireMessage
from kronk_agent.api.protocols.ollama.options import (
    Format,
    KeepAlive,
    OllamaOptions,
    Think,
    response_format,
    thinking,
)
from kronk_agent.api.protocols.ollama.tools import WireTool
from kronk_agent.messages import Message, TextPart

_MAX_INPUTS = 2048


class Asked(LenientModel, UnicodeBody):
    """What all requests have in common. A field that nobody knows is left out, with a notice."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1)]
    """A model's id or agent/NAME, also with ``:latest``."""
    options: OllamaOptions = OllamaOptions()
    keep_alive: KeepAlive | None = None
    """0 unloads the model after the answer; else it stays as long as there is room."""


class Generating(Asked):
    """What chats and completions have in common."""

    stream: bool = True
    format: Format | None = None
    """json, or a JSON Schema that the answer follows."""
    think: Think | None = None
    """Whether to think, or how much; as the model does when left out."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    """Only with logprobs."""
    truncate: bool = True
    """A conversation that is too long for the context is shortened; false refuses it."""
    shift: Annotated[object, NoEffect("an answer ends where the context does")] = None

    def agent_options(self, base: AgentOptions) -> AgentOptions:
        """The options of an agent, as this request changes them.

        Raises:
            InvalidRequestError: a value out of range, or two that exclude each other.
        """
        changes: dict[str, Any] = {
            "max_tokens": self.options.max_tokens,
            "stop": self.options.stops or None,
            "sampling": self.options.sampling(base.sampling),
            "response_format": response_format(self.format),
            **thinking(self.think),
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
            "compaction": "auto" if self.truncate else "off",
            "streamed": self.stream,
        }
        return replace(base, **{key: value for key, value in changes.items() if value is not None})


class OllamaChatRequest(Generating):
    """A request for ``/api/chat``."""

    messages: tuple[WireMessage, ...] = ()
    """The conversation; empty loads the model."""
    tools: tuple[WireTool, ...] = ()


class GenerateRequest(Generating):
    """A request for ``/api/generate``."""

    prompt: str = ""
    """What the user says; empty loads the model."""
    suffix: str = ""
    """Fill in what comes between the prompt and this, for models made to."""
    system: str = ""
    images: tuple[str, ...] = ()
    """In base64."""
    raw: bool = False
    """The prompt is not put into the chat template. What looks like a special token is one."""
    context: tuple[int, ...] = ()
    """That of an earlier answer, to go on from."""
    template: str = ""
    """Only empty: templates of Go are not rendered here."""

    @property
    def is_raw(self) -> bool:
        return self.raw or bool(self.suffix)

    @property
    def messages(self) -> list[Message]:
        """The conversation that the prompt is the end of.

        Raises:
            InvalidRequestError: the context is not ours, or an image is none.
        """
        begun = from_context(self.context) if self.context else []
        if self.system and not begun:
            begun.append(Message.system(self.system))
        pictures = [picture(data, f"images.{n}") for n, data in enumerate(self.images)]
        return [*begun, Message("user", (*pictures, TextPart(self.prompt)))]


class EmbedRequest(Asked):
    """A request for ``/api/embed``."""

    input: str | Annotated[list[str], Field(max_length=_MAX_INPUTS)] = ""
    options: Annotated[OllamaOptions, NoEffect("nothing is sampled")] = OllamaOptions()
    dimensions: Count | None = None
    """Cut the vectors to so many, for models trained that way."""
    truncate: bool = True
    """An input that is too long is cut; false refuses it."""

    @property
    def inputs(self) -> list[str]:
        given = [self.input] if isinstance(self.input, str) else self.input
        return [] if given == [""] else given


class EmbeddingsRequest(Asked):
    """A request for ``/api/embeddings``, the older form."""

    prompt: str = ""
