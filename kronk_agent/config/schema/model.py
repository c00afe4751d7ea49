"""Settings of a model: a local GGUF file or a model on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from kronk_agent.config.schema.base import Seconds, Section, Url


def _check_upstream(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"is not a valid URL: {error}") from None
    if not parts.hostname:
        raise ValueError("must be a URL such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not a ValueError, whose message would include the value.
        message = "must not contain user, password, ? or #: put the key into api_key"
        raise PydanticCustomError("secret_in_url", message)
    return url.rstrip("/")


class LocalModelConfig(Section):
    """A GGUF file with settings of its own."""

    path: Path
    """The GGUF file."""
    context_length: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Overrides engine.context_length.

    For embedding and reranking models: the maximum tokens of one input.
    """
    pooling: Literal["mean", "cls", "last"] | None = None
    """Pooling of embedding models, if the file does not set it."""
    template: Path | None = None
    """Jinja chat template that replaces the one in the file. null: the file's."""


class RemoteModelConfig(Section):
    """A model on a server with an OpenAI-compatible chat completions API."""

    url: Annotated[Url, AfterValidator(_check_upstream)]
    """Base URL, including /v1."""
    model: Annotated[str, Field(min_length=1)]
    """The server's name for the model."""
    type: Literal["compatible", "openai", "vllm", "sglang", "llama-server"] = "compatible"
    """Type of the server; compatible: any other server."""
    api_key: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """API key. Write it as ${VAR}."""
    context_length: Annotated[int, Field(ge=256, le=2**31 - 1)] | None = None
    """Maximum tokens of prompt and completion. null: as the server reports."""
    timeout_seconds: Seconds = 300.0
    """Maximum time without data from the server."""


def _kind_of_model(value: object) -> str:
    match value:
        case LocalModelConfig():
            return "<local>"
        case RemoteModelConfig():
            return "<remote>"
        case dict():
            is_local = "url" not in value and bool({"path", "template", "pooling"} & value.keys())
            return "<local>" if is_local else "<remote>"
        case _:
            return "<file>"


ModelConfig: TypeAlias = Annotated[
    Annotated[Path, Tag("<file>")]
    | Annotated[LocalModelConfig, Tag("<local>")]
    | Annotated[RemoteModelConfig, Tag("<remote>")],
    Discriminator(_kind_of_model),
]
MODEL_TAGS = frozenset({"<file>", "<local>", "<remote>"})
"""Tags that pydantic puts into the location of an error to name the union member."""
