"""What is known of a model from its file; it is not loaded to be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kronk_agent.model import Capability

_TEMPLATES = "tokenizer.chat_template"

if TYPE_CHECKING:
    from kronk_agent.chat.capabilities import Capabilities
    from kronk_agent.engine.llama.model_file import ModelFile
    from kronk_agent.engine.llama.params import EngineParams, Pooling


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What is known of a model from its file."""

    file: str
    description: str
    """Architecture, size, and how far it is quantised."""
    trained_context_length: int
    vocabulary_size: int
    chat_template: str | None
    """The file of the one that is used instead of the model's own."""
    capabilities: frozenset[Capability]
    template: Capabilities | None
    """What its chat template has a place for; None where it has no template, or was not tried."""
    generation_bytes: int
    """About what it takes to generate with it."""
    embedding_bytes: int
    """About what it takes to embed or rank with it."""
    num_parameters: int
    quantization: str
    """``Q4_K_M`` for example; empty where the file does not say."""
    metadata: Mapping[str, int | float | str] = field(repr=False)
    """What the file says of itself, by key, without lists and chat templates."""
    template_source: str = field(repr=False)
    """Its chat template, or the one given instead; empty where there is none."""


def describe(
    path: Path,
    *,
    template: Path | None,
    params: EngineParams,
    pooling: Pooling | None,
    renders_template: bool = True,
) -> ModelDescription:
    """Read what a file tells; blocks.

    Args:
        path: the GGUF file.
        template: the chat template to use instead of its own.
        params: how it would be run.
        pooling: how it would embed, where the file does not say.
        renders_template: try what its chat template has a place for; else ``template`` stays None.

    Raises:
        ModelError: a file is missing or cannot be read, or the chat template is not valid.
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
        can = None
        if is_chat and renders_template:
            can = find_capabilities(ChatTemplate(templates), model.basename)
        return ModelDescription(
            str(path),
            model.description,
            model.trained_context_length,
            model.vocabulary.size,
            str(template) if template else None,
            _capabilities(model, can, pooling, is_chat=is_chat),
            can,
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
    return {key: value for key, value in found.items() if not key.startswith(_TEMPLATES)}


def _capabilities(
    model: ModelFile, template: Capabilities | None, pooling: Pooling | None, *, is_chat: bool
) -> frozenset[Capability]:
    found: set[Capability] = set(model.capabilities)
    if pooling is not None and "rerank" not in found:
        found.add("embed")
    if is_chat:
        # Tools that the template has no place for are said in words.
        found |= {"chat", "tools"}
    if template is not None and template.thinking:
        found.add("thinking")
    return frozenset(found)
