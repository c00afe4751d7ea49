"""What docs/http-api.md says of every field is what the code does with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from kronk_agent.api.chat_completions.request import ChatCompletionRequest
from kronk_agent.api.chat_completions.template import ApplyTemplateRequest
from kronk_agent.api.completions.request import CompletionRequest
from kronk_agent.api.embeddings import EmbeddingRequest, RerankRequest
from kronk_agent.api.llama_server.request import InfillRequest, LlamaCompletionRequest
from kronk_agent.api.messages.wire import MessagesRequest
from kronk_agent.api.responses.request import CreateResponse
from kronk_agent.api.wire import Refused

CHAPTER = Path(__file__).parents[2] / "docs" / "http-api.md"
ENDPOINTS: Mapping[str, type[BaseModel]] = {
    "chat/completions": ChatCompletionRequest,
    "responses": CreateResponse,
    "messages": MessagesRequest,
    "completions": CompletionRequest,
    "apply-template": ApplyTemplateRequest,
    "/completion": LlamaCompletionRequest,
    "/infill": InfillRequest,
    "embeddings": EmbeddingRequest,
    "rerank": RerankRequest,
}


def test_the_table_of_fields_is_what_the_code_does_with_them() -> None:
    """``KRONK_UPDATE_DOCS=1`` writes it anew."""
    text = CHAPTER.read_text(encoding="utf-8")
    pattern = re.compile(r"(?<=<!-- fields -->\n).*?(?=<!-- end -->)", re.DOTALL)
    if os.environ.get("KRONK_UPDATE_DOCS"):
        CHAPTER.write_text(pattern.sub(lambda _: _table(), text), encoding="utf-8")
    found = pattern.search(CHAPTER.read_text(encoding="utf-8"))

    assert found
    assert found[0] == _table()


def test_a_field_that_is_in_no_table_is_refused() -> None:
    assert {model.model_config.get("extra") for model in ENDPOINTS.values()} == {"forbid"}


def _table() -> str:
    names = dict.fromkeys(name for model in ENDPOINTS.values() for name in _fields(model))
    lines = [
        f"| field | {' | '.join(ENDPOINTS)} |",
        f"|---|{'---|' * len(ENDPOINTS)}",
    ]
    for name in sorted(names):
        cells = [_fields(model).get(name) for model in ENDPOINTS.values()]
        shown = "|".join(" " if cell is None else f" {cell} " for cell in cells)
        lines.append(f"| `{name}` |{shown}|")
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel]) -> dict[str, str]:
    """What becomes of each field."""
    return {
        field.alias or name: "refused"
        if any(isinstance(mark, Refused) for mark in field.metadata)
        else "honoured"
        for name, field in model.model_fields.items()
    }
