"""What docs/http-api.md says of every field is what the code does with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kronk_agent.api.endpoints.embeddings import (
    EmbeddingRequest,
    LlamaEmbeddingRequest,
    RerankRequest,
)
from kronk_agent.api.protocols.anthropic_messages.schema import MessagesRequest
from kronk_agent.api.protocols.common.schema import NoEffect, Unsupported
from kronk_agent.api.protocols.llama_server.request import InfillRequest, LlamaCompletionRequest
from kronk_agent.api.protocols.ollama.options import OllamaOptions
from kronk_agent.api.protocols.ollama.request import (
    EmbedRequest,
    GenerateRequest,
    OllamaChatRequest,
)
from kronk_agent.api.protocols.openai_chat.request import ChatCompletionRequest
from kronk_agent.api.protocols.openai_chat.template import ApplyTemplateRequest
from kronk_agent.api.protocols.openai_completions.request import CompletionRequest
from kronk_agent.api.protocols.openai_responses.request import CreateResponse

DOCS = Path(__file__).parents[2] / "docs"
OLLAMA: Mapping[str, type[BaseModel]] = {
    "/api/chat": OllamaChatRequest,
    "/api/generate": GenerateRequest,
    "/api/embed": EmbedRequest,
    "options": OllamaOptions,
}
ENDPOINTS: Mapping[str, type[BaseModel]] = {
    "chat/completions": ChatCompletionRequest,
    "responses": CreateResponse,
    "messages": MessagesRequest,
    "completions": CompletionRequest,
    "apply-template": ApplyTemplateRequest,
    "/completion": LlamaCompletionRequest,
    "/infill": InfillRequest,
    "/embedding": LlamaEmbeddingRequest,
    "embeddings": EmbeddingRequest,
    "rerank": RerankRequest,
}


@pytest.mark.parametrize(("file", "endpoints"), [("http-api.md", ENDPOINTS), ("ollama.md", OLLAMA)])
def test_the_table_of_fields_is_what_the_code_does_with_them(
    file: str, endpoints: Mapping[str, type[BaseModel]]
) -> None:
    """``KRONK_UPDATE_DOCS=1`` writes it anew."""
    chapter = DOCS / file
    text = chapter.read_text(encoding="utf-8")
    pattern = re.compile(r"(?<=<!-- fields -->\n).*?(?=<!-- end -->)", re.DOTALL)
    if os.environ.get("KRONK_UPDATE_DOCS"):
        chapter.write_text(pattern.sub(lambda _: _table(endpoints), text), encoding="utf-8")
    found = pattern.search(chapter.read_text(encoding="utf-8"))

    assert found
    assert found[0] == _table(endpoints)


def test_a_field_that_is_in_no_table_is_refused() -> None:
    forbidding = [
        name for name, model in ENDPOINTS.items() if model.model_config.get("extra") == "forbid"
    ]
    # llama.cpp's own take any, and name what they leave out.
    assert set(ENDPOINTS) - set(forbidding) == {"/completion", "/infill"}


def _table(endpoints: Mapping[str, type[BaseModel]]) -> str:
    names = dict.fromkeys(name for model in endpoints.values() for name in _fields(model))
    lines = [
        f"| field | {' | '.join(endpoints)} |",
        f"|---|{'---|' * len(endpoints)}",
    ]
    for name in sorted(names):
        cells = [_fields(model).get(name) for model in endpoints.values()]
        shown = "|".join(" " if cell is None else f" {cell} " for cell in cells)
        lines.append(f"| `{name}` |{shown}|")
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel]) -> dict[str, str]:
    """What becomes of each field."""
    return {field.alias or name: _fate(field) for name, field in model.model_fields.items()}


def _fate(field: FieldInfo) -> str:
    if any(isinstance(mark, Unsupported) for mark in field.metadata):
        return "refused"
    if any(isinstance(mark, NoEffect) for mark in field.metadata):
        return "no effect"
    values = _literals(field.annotation) - {None}
    if len(values) == 1:
        return f"only {json.dumps(values.pop())}"
    return "honoured"


def _literals(annotation: object) -> set[object]:
    """The values of a field that takes nothing but some constants; empty for all others."""
    if annotation is type(None):
        return {None}
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        found = [_literals(part) for part in get_args(annotation)]
        return set().union(*found) if all(found) else set()
    return set()
