"""Requests of Ollama's API, and their effect on an agent's options."""

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


class OllamaRequest(LenientModel, UnicodeBody):
    """The fields that all requests share. Unknown fields are ignored, with a notice."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(min_length=1)]
    """A model's id or agent/NAME, optionally with ``:latest``."""
    options: OllamaOptions = OllamaOptions()
    keep_alive: KeepAlive | None = None
    """Time from its last use until the model is unloaded; negative: as long as memory allows."""


class GenerationRequest(OllamaRequest):
    """The fields that chat and generate requests share."""

    stream: bool = True
    format: Format | None = None
    """json, or a JSON Schema that the answer must match."""
    think: Think | None = None
    """Whether or how much to think; the model's default when left out."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    """Only with logprobs."""
    truncate: bool = True
    """Compact a conversation that exceeds the context; false rejects it."""
    shift: Annotated[object, NoEffect("an answer ends at the context length")] = None

    def agent_options(self, base: AgentOptions) -> AgentOptions:
        """The agent's options, with the request's fields applied.

        Raises:
            InvalidRequestError: a value is out of range, or two contradict each other.
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


class OllamaChatRequest(GenerationRequest):
    """A request for ``/api/chat``."""

    messages: tuple[WireMessage, ...] = ()
    """The conversation; empty only loads the model."""
    tools: tuple[WireTool, ...] = ()


class GenerateRequest(GenerationRequest):
    """A request for ``/api/generate``."""

    prompt: str = ""
    """The user's prompt; empty only loads the model."""
    suffix: str = ""
    """Fill in the text between prompt and suffix, for models trained for it."""
    system: str = ""
    images: tuple[str, ...] = ()
    """Base64-encoded."""
    raw: bool = False
    """Skip the chat template. Texts of special tokens are parsed as those tokens."""
    context: tuple[int, ...] = ()
    """The context of an earlier answer, to continue it."""
    template: str = ""
    """Must be empty: Go templates are not supported."""

    @property
    def is_raw(self) -> bool:
        """True if the chat template is skipped."""
        return self.raw or bool(self.suffix)

    @property
    def messages(self) -> list[Message]:
        """The conversation that ends with the prompt.

        Raises:
            InvalidRequestError: the context or an image is invalid.
        """
        messages = from_context(self.context) if self.context else []
        if self.system and not messages:
            messages.append(Message.system(self.system))
        pictures = [picture(data, f"images.{n}") for n, data in enumerate(self.images)]
        return [*messages, Message("user", (*pictures, TextPart(self.prompt)))]


class EmbedRequest(OllamaRequest):
    """A request for ``/api/embed``."""

    input: str | Annotated[list[str], Field(max_length=_MAX_INPUTS)] = ""
    options: Annotated[OllamaOptions, NoEffect("embeddings are not sampled")] = OllamaOptions()
    dimensions: Count | None = None
    """Truncate the vectors to this length, for models trained for it."""
    truncate: bool = True
    """Truncate inputs that are too long; false rejects them."""

    @property
    def inputs(self) -> list[str]:
        """The inputs as a list."""
        given = [self.input] if isinstance(self.input, str) else self.input
        return [] if given == [""] else given


class EmbeddingsRequest(OllamaRequest):
    """A request for ``/api/embeddings``, the older endpoint."""

    prompt: str = ""
