"""What the file may say of a model: the path of its file, or the server it is on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from kronk_agent.config.section import Seconds, Section, Url


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
    return "<remote>" if isinstance(value, dict | RemoteModelConfig) else "<file>"


ModelConfig: TypeAlias = Annotated[
    Annotated[Path, Tag("<file>")] | Annotated[RemoteModelConfig, Tag("<remote>")],
    Discriminator(_kind_of_model),
]
MODEL_TAGS = frozenset({"<file>", "<remote>"})
"""What pydantic puts into the place of an error to say which of the two was meant."""
