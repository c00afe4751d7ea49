"""What the file may say of a model: where its file is, or the server it is on."""

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
        raise ValueError(f"is no URL: {error}") from None
    if not parts.hostname:
        raise ValueError("must be such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        # No ValueError: the value would be shown.
        words = "must have no user, password, ? or #: the key belongs in api_key"
        raise PydanticCustomError("secret_in_url", words)
    return url.rstrip("/")


class LocalModelConfig(Section):
    """A GGUF file that is not run just as it is."""

    path: Path
    """The GGUF file."""
    context_length: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """In place of engine.context_length; of a model that embeds or ranks, tokens of one input."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """How a text's tokens become one vector, for models to embed with that do not say."""
    template: Path | None = None
    """A file with a Jinja chat template to use instead of the GGUF file's own. null: its own."""


class RemoteModelConfig(Section):
    """A model on a server that speaks OpenAI's chat completions."""

    url: Annotated[Url, AfterValidator(_check_upstream)]
    """Where it is reached, up to and with /v1."""
    model: Annotated[str, Field(min_length=1)]
    """What the server calls the model."""
    type: Literal["compatible", "openai", "vllm", "sglang", "llama-server"] = "compatible"
    """What kind of server it is; compatible is any of which no more is known."""
    api_key: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """Write it as ${VAR}."""
    context_length: Annotated[int, Field(ge=256, le=2**31 - 1)] | None = None
    """Tokens that prompt and answer may have together. null: what the server says."""
    timeout_seconds: Seconds = 300.0
    """How long the server may send nothing."""


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
"""What pydantic puts into the place of an error to say which of them was meant."""
