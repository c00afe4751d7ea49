"""Describes models from their files, without loading the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kronk_agent.model import Capability

_TEMPLATE_KEY_PREFIX = "tokenizer.chat_template"

if TYPE_CHECKING:
    from kronk_agent.chat.capabilities import Capabilities
    from kronk_agent.engine.llama.model_file import ModelFile
    from kronk_agent.engine.llama.params import EngineParams, Pooling


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Properties of a model, read from its file."""

    file: str
    description: str
    """Architecture, size and quantization."""
    trained_context_length: int
    vocabulary_size: int
    chat_template: str | None
    """Path of the chat template that replaces the model's own; None without one."""
    capabilities: frozenset[Capability]
    template: Capabilities | None
    """Features of the chat template; None without a template, or if not rendered."""
    generation_bytes: int
    """Estimated memory for generating."""
    embedding_bytes: int
    """Estimated memory for embedding or reranking."""
    num_parameters: int
    quantization: str
    """For example ``Q4_K_M``; empty if the file does not say."""
    metadata: Mapping[str, int | float | str] = field(repr=False)
    """The file's metadata, without lists and chat templates."""
    template_source: str = field(repr=False)
    """The chat template in use; empty without one."""


def describe(
    path: Path,
    *,
    template: Path | None,
    params: EngineParams,
    pooling: Pooling | None,
    renders_template: bool = True,
) -> ModelDescription:
    """Read the description from a file; blocks.

    Args:
        path: the GGUF file.
        template: a chat template that replaces the model's own.
        params: the engine parameters, for the memory estimates.
        pooling: pooling for embeddings, if the file does not set it.
        renders_template: render the chat template to find its features; if False, ``template`` of
            the result is None.

    Raises:
        ModelError: a file is missing or unreadable, or the chat template is invalid.
    """
    from kronk_agent.chat.capabilities import find_capabilities
    from kronk_agent.chat.templates.chat_template import ChatTemplate
    from kronk_agent.chat.templates.jinja import read_template
    from kronk_agent.engine.embedding.engine import DEFAULT_LONGEST
    from kronk_agent.engine.llama.context import default_memories
    from kronk_agent.engine.llama.memory_estimate import total_bytes
    from kronk_agent.engine.llama.model_file import ModelFile

    given = {"default": read_template(template)} if template else None
    model = ModelFile(path, is_described_only=True)
    try:
        number, at_most = default_memories(params)
        templates = given or model.chat_templates
        is_chat = "generate" in model.capabilities and bool(templates)
        template_capabilities = None
        if is_chat and renders_template:
            template_capabilities = find_capabilities(ChatTemplate(templates), model.basename)
        return ModelDescription(
            str(path),
            model.description,
            model.trained_context_length,
            model.vocabulary.size,
            str(template) if template else None,
            _capabilities(model, template_capabilities, pooling, is_chat=is_chat),
            template_capabilities,
            total_bytes(model, params, longest_default=at_most, num_memories=number),
            total_bytes(model, params, longest_default=DEFAULT_LONGEST),
            model.num_parameters,
            model.quantization,
            _metadata(path),
            templates.get("default", ""),
        )
    finally:
        model.close()


def _metadata(path: Path) -> dict[str, int | float | str]:
    from kronk_agent.engine.llama.gguf.header import read_metadata

    found = read_metadata(path)
    return {key: value for key, value in found.items() if not key.startswith(_TEMPLATE_KEY_PREFIX)}


def _capabilities(
    model: ModelFile, template: Capabilities | None, pooling: Pooling | None, *, is_chat: bool
) -> frozenset[Capability]:
    found: set[Capability] = set(model.capabilities)
    if pooling is not None and "rerank" not in found:
        found.add("embed")
    if is_chat:
        # Tools work with every chat template: if it does not support them, they go into the text.
        found |= {"chat", "tools"}
    if template is not None and template.thinking:
        found.add("thinking")
    return frozenset(found)
