"""Loaded GGUF files: weights, vocabulary, metadata."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kronk_agent.engine.llama.binding import ModelHandle, llama
from kronk_agent.engine.llama.gguf.trial import check_model
from kronk_agent.engine.llama.log import collect_errors, forward_log
from kronk_agent.engine.llama.numa import set_numa_strategy
from kronk_agent.engine.llama.params import EngineParams, Pooling
from kronk_agent.engine.vocabulary import Vocabulary
from kronk_agent.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

_MAGIC = b"GGUF"
_SPLIT_MODES = {
    "none": llama.LLAMA_SPLIT_MODE_NONE,
    "layer": llama.LLAMA_SPLIT_MODE_LAYER,
    "row": llama.LLAMA_SPLIT_MODE_ROW,
    "tensor": llama.LLAMA_SPLIT_MODE_TENSOR,
}
_POOLING: dict[int, Pooling] = {
    llama.LLAMA_POOLING_TYPE_MEAN: "mean",
    llama.LLAMA_POOLING_TYPE_CLS: "cls",
    llama.LLAMA_POOLING_TYPE_LAST: "last",
    llama.LLAMA_POOLING_TYPE_RANK: "rank",
}
# Files of these need not say so; llama-model.cpp gives these architectures no KV cache.
_NOT_CAUSAL = frozenset(
    {
        "bert",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "rnd1",
        "wavtokenizer-dec",
    }
)
_LEARNED_POSITIONS = frozenset({"bert", "gpt2", "starcoder"})

_FILE_TYPE = re.compile(r"LLAMA_FTYPE_(?:MOSTLY|ALL)_(\w+)")
_FILE_TYPES = {
    str(value): found[1]
    for name, value in vars(llama).items()
    if (found := _FILE_TYPE.fullmatch(name))
}

EngineCapability: TypeAlias = Literal["generate", "embed", "rerank", "fim"]


class ModelFile:
    """A loaded GGUF file: weights, vocabulary, chat templates, metadata.

    Args:
        path: the file.
        params: load options.
        is_described_only: do not load the weights. Metadata and vocabulary are available, but the
            model cannot run.

    Raises:
        ModelError: the file is missing, is not a GGUF file, or llama.cpp cannot load it.
        ConfigError: this build or machine does not support one of ``params``.
    """

    def __init__(
        self,
        path: Path,
        params: EngineParams = EngineParams(),
        *,
        is_described_only: bool = False,
    ) -> None:
        check_file(path)
        check_model(path)
        forward_log()
        llama.llama_backend_init()
        if params.numa is not None:
            set_numa_strategy(params.numa)
        settings = _load_settings(params)
        settings.vocab_only = is_described_only
        with collect_errors() as errors:
            handle = llama.llama_model_load_from_file(os.fsencode(path), settings)
        if handle is None:
            why = f" ({errors[-1]})" if errors else ""
            raise ModelError(
                f"{path}: llama.cpp cannot load this file: it is damaged, truncated or of an "
                f"unknown architecture{why}; download it again, or see --debug"
            )
        self.handle: ModelHandle = handle
        self.path = path
        self.vocabulary = Vocabulary(llama.llama_model_get_vocab(handle))
        self.trained_context_length = int(self.number("context_length") or 0)
        """Tokens; 0 if the file does not say."""
        self.num_parameters: int = llama.llama_model_n_params(handle)
        self.weight_bytes: int = llama.llama_model_size(handle)
        self.is_recurrent: bool = llama.llama_model_is_recurrent(handle)
        self.is_hybrid: bool = llama.llama_model_is_hybrid(handle)
        self.has_partial_memory = not (self.is_recurrent or self.is_hybrid)
        """True if a prefix of a sequence's state can be kept without the rest."""
        self.sliding_window: int = llama.llama_model_n_swa(handle)
        """Tokens that layers with a sliding window see; 0 if the model has no such layers."""
        self.has_encoder: bool = llama.llama_model_has_encoder(handle)
        architecture = self._metadata("general.architecture")
        self.has_learned_positions = architecture in _LEARNED_POSITIONS
        """True if each position has a learned embedding, so there are none beyond the last."""
        self.is_causal: bool = (
            llama.llama_model_has_decoder(handle)
            and not self.has_encoder
            and architecture not in _NOT_CAUSAL
            and self._metadata(f"{architecture}.attention.causal") != "false"
        )
        """True if every token sees only earlier ones, as generation requires."""
        self.pooling: Pooling | None = _POOLING.get(int(self.number("pooling_type") or 0))
        """How an input's tokens become one vector; None if the file does not say."""

    @property
    def capabilities(self) -> frozenset[EngineCapability]:
        """Tasks the model was made for."""
        is_for: dict[EngineCapability, bool] = {
            "generate": self.is_causal and self.pooling is None,
            "embed": self.pooling not in (None, "rank"),
            "rerank": self.pooling == "rank",
            "fim": self.vocabulary.fim is not None,
        }
        return frozenset(capability for capability, is_so in is_for.items() if is_so)

    @property
    def rerank_template(self) -> str | None:
        """Template with ``{query}`` and ``{document}``; None if the file has none."""
        source = llama.llama_model_chat_template(self.handle, b"rerank")
        return source.decode("utf-8", "replace") if source else None

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """Jinja sources by name: ``default`` and ``tool_use``, if the file has them."""
        found = {
            "default": llama.llama_model_chat_template(self.handle, None),
            "tool_use": llama.llama_model_chat_template(self.handle, b"tool_use"),
        }
        return {name: source.decode("utf-8", "replace") for name, source in found.items() if source}

    @property
    def description(self) -> str:
        """Architecture, number of parameters and bits per parameter, for display."""
        bits = 8 * self.weight_bytes / max(self.num_parameters, 1)
        size = f"{self.num_parameters / 1e6:,.0f}M parameters of {bits:.1f} bits"
        return f"{self._metadata('general.architecture')}, {size}"

    @property
    def quantization(self) -> str:
        """Quantization as the file states it, such as ``Q4_K_M``; may be empty."""
        return _FILE_TYPES.get(self._metadata("general.file_type"), "")

    @property
    def basename(self) -> str:
        """Name of the model family in the metadata, such as ``Qwen2.5-Coder``; may be empty."""
        return self._metadata("general.basename")

    def number(self, key: str) -> float | None:
        """Number in the metadata, by its key without the architecture's name.

        None if it is missing or a list.
        """
        architecture = self._metadata("general.architecture")
        try:
            return float(self._metadata(f"{architecture}.{key}"))
        except ValueError:
            return None

    def _metadata(self, key: str) -> str:
        """Value of a metadata key as text; empty if it is missing."""
        buffer = ctypes.create_string_buffer(256)
        llama.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    def close(self) -> None:
        """Free the weights. Free all contexts of this model first."""
        self.vocabulary.close()
        llama.llama_model_free(self.handle)


def has_gpu() -> bool:
    """True if this build of llama.cpp can offload layers to a GPU."""
    return bool(llama.llama_supports_gpu_offload())


def _load_settings(params: EngineParams) -> Any:
    """``llama_model_params`` for these options.

    Raises:
        ConfigError: this build or machine does not support one of them.
    """
    settings = llama.llama_model_default_params()
    settings.n_gpu_layers = params.gpu_layers
    settings.split_mode = _SPLIT_MODES[params.split_mode]
    settings.main_gpu = params.main_gpu
    settings.load_mode = _load_mode(params)
    if not llama.llama_supports_gpu_offload():
        _refuse_gpu_options(params)
    elif params.tensor_split:
        most = llama.llama_max_devices()
        if len(params.tensor_split) > most:
            raise ConfigError(
                f"at most {most} shares, got {len(params.tensor_split)}",
                key="engine.tensor_split",
            )
        # llama.cpp reads and copies this many values.
        settings.tensor_split = (ctypes.c_float * most)(*params.tensor_split)
    return settings


def _refuse_gpu_options(params: EngineParams) -> None:
    if params.gpu_layers > 0:
        logger.warning(
            "engine.gpu_layers: this build of llama.cpp has no GPU support; all layers run on the "
            "CPU"
        )
    default = EngineParams()
    for name in ("split_mode", "main_gpu", "tensor_split"):
        if getattr(params, name) != getattr(default, name):
            raise ConfigError(
                "this build of llama.cpp has no GPU support (see 'With a GPU' in the README)",
                key=f"engine.{name}",
            )


def _load_mode(params: EngineParams) -> int:
    if params.mmap and not llama.llama_supports_mmap():
        raise ConfigError("this system cannot memory-map files", key="engine.mmap")
    if params.mlock and not llama.llama_supports_mlock():
        raise ConfigError("this system cannot lock memory", key="engine.mlock")
    match params.mmap, params.mlock:
        case None, False:
            return int(llama.LLAMA_LOAD_MODE_AUTO)
        case True, False:
            return int(llama.LLAMA_LOAD_MODE_MMAP)
        case False, False:
            return int(llama.LLAMA_LOAD_MODE_NONE)
        case False, True:
            return int(llama.LLAMA_LOAD_MODE_MLOCK)
        case _:
            return int(llama.LLAMA_LOAD_MODE_MMAP_MLOCK)


def check_file(path: Path) -> None:
    """Check that a file is a GGUF file, before llama.cpp reads it.

    Raises:
        ModelError: it is missing, a folder, unreadable or not a GGUF file.
    """
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; name the .gguf file in it")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot read the file: {error.strerror}") from None
    if magic != _MAGIC:
        raise ModelError(f"{path}: not a GGUF file")
