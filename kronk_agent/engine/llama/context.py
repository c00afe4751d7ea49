"""Creates llama.cpp contexts: the KV cache and the settings a model runs with."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from typing import Any

from kronk_agent.engine.llama.binding import AdapterHandle, ContextHandle, llama
from kronk_agent.engine.llama.log import collect_errors
from kronk_agent.engine.llama.memory_estimate import check_kv_cache_size
from kronk_agent.engine.llama.model_file import ModelFile, check_file
from kronk_agent.engine.llama.params import EngineParams, LoraAdapter
from kronk_agent.errors import ModelError

logger = logging.getLogger(__name__)

_DEFAULT_CONTEXT_LENGTH = 16384
"""Maximum tokens of the context if none are configured."""
_DEFAULT_LENGTH_PER_SEQUENCE = 4096
"""The same for each sequence, if each has a KV cache of its own."""
_MAX_SEQUENCE_IDS = 256
"""``LLAMA_MAX_SEQ``, a compile-time limit of llama.cpp."""
# The binding has no name for bf16: ggml.h.
_CACHE_TYPES = {
    "f32": llama.GGML_TYPE_F32,
    "f16": llama.GGML_TYPE_F16,
    "bf16": 30,
    "q8_0": llama.GGML_TYPE_Q8_0,
    "q5_1": llama.GGML_TYPE_Q5_1,
    "q5_0": llama.GGML_TYPE_Q5_0,
    "iq4_nl": llama.GGML_TYPE_IQ4_NL,
    "q4_1": llama.GGML_TYPE_Q4_1,
    "q4_0": llama.GGML_TYPE_Q4_0,
}
_FLASH_ATTENTION = {
    "auto": llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_ROPE_SCALING = {
    "none": llama.LLAMA_ROPE_SCALING_TYPE_NONE,
    "linear": llama.LLAMA_ROPE_SCALING_TYPE_LINEAR,
    "yarn": llama.LLAMA_ROPE_SCALING_TYPE_YARN,
    "longrope": llama.LLAMA_ROPE_SCALING_TYPE_LONGROPE,
}
_ROPE_NAMES = (
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)
"""Options with the same name in ``llama_context_params``, whose defaults are the model's own."""


def keeps_any_prefix(model: ModelFile, params: EngineParams) -> bool:
    """True if a prefix of a sequence's state can be shared without the rest.

    Recurrent models have no such prefixes. A sliding window drops what has left it without
    ``swa_full``; llama.cpp would then silently decode wrong tokens.
    """
    return model.has_partial_memory and (params.swa_full or not model.sliding_window)


def new_context(model: ModelFile, params: EngineParams) -> ContextHandle:
    """Create a context for generation, with the adapters applied. Free it with ``llama_free``.

    Raises:
        ModelError: memory does not suffice, the model cannot run with ``params``, or an adapter
            does not fit it.
    """
    if not model.is_causal:
        others = " and ".join(sorted(model.capabilities))
        made_for = f"; it was made to {others}" if others else ""
        raise ModelError(f"{model.path}: this model cannot generate text{made_for}")
    settings = context_settings(params)
    settings.n_ctx = _num_cells(model, params)
    # Where cells are shared, finished sequences keep theirs under spare ids. Where every id has a
    # KV cache of its own, or a full state (recurrent models), only as many ids exist as can run.
    shares_cells = params.kv_unified and keeps_any_prefix(model, params)
    spare_ids = 3 * params.max_sequences if shares_cells else 0
    settings.n_seq_max = min(params.max_sequences + spare_ids, _MAX_SEQUENCE_IDS)
    settings.kv_unified = params.kv_unified
    check_kv_cache_size(model, params, settings.n_ctx)
    return open_context(model, params, settings)


def default_memories(params: EngineParams) -> tuple[int, int]:
    """Number of KV caches, and the maximum tokens of each, if no context length is configured."""
    return (
        (1, _DEFAULT_CONTEXT_LENGTH)
        if params.kv_unified
        else (params.max_sequences, _DEFAULT_LENGTH_PER_SEQUENCE)
    )


def _num_cells(model: ModelFile, params: EngineParams) -> int:
    number, at_most = default_memories(params)
    length = context_length(model, params, at_most=at_most)
    return length if params.context_length is not None else number * length


def context_settings(params: EngineParams) -> Any:
    """``llama_context_params`` with the options common to all contexts; ``n_ctx`` is not set."""
    settings = llama.llama_context_default_params()
    settings.n_batch = params.batch_size
    settings.n_ubatch = params.ubatch_size or params.batch_size
    settings.n_seq_max = params.max_sequences
    settings.n_threads = params.threads or _num_cores()
    settings.n_threads_batch = params.batch_threads or settings.n_threads
    settings.kv_unified = True
    settings.type_k = _CACHE_TYPES[params.cache_type_k]
    settings.type_v = _CACHE_TYPES[params.cache_type_v]
    settings.flash_attn_type = _FLASH_ATTENTION[params.flash_attention]
    settings.swa_full = params.swa_full
    if params.rope_scaling is not None:
        settings.rope_scaling_type = _ROPE_SCALING[params.rope_scaling]
    for name in _ROPE_NAMES:
        if (value := getattr(params, name)) is not None:
            setattr(settings, name, value)
    settings.no_perf = True
    return settings


def open_context(model: ModelFile, params: EngineParams, settings: Any) -> ContextHandle:
    """Create a context with these settings and apply the adapters of ``params``.

    Raises:
        ModelError: llama.cpp cannot create it, or an adapter does not fit the model.
    """
    with collect_errors() as errors:
        context: ContextHandle | None = llama.llama_init_from_model(model.handle, settings)
    if context is None:
        why = f" ({errors[-1]})" if errors else ""
        raise ModelError(
            f"{model.path}: llama.cpp cannot create a context of {settings.n_ctx} tokens{why}; if "
            "memory is short, set a smaller engine.context_length"
        )
    try:
        _apply_adapters(params.lora, model, context)
    except BaseException:
        llama.llama_free(context)
        raise
    return context


def _apply_adapters(
    adapters: tuple[LoraAdapter, ...], model: ModelFile, context: ContextHandle
) -> None:
    """Apply adapters to a context. They belong to the model and are freed with it."""
    if not adapters:
        return
    handles = [_load_adapter(adapter, model) for adapter in adapters]
    status = llama.llama_set_adapters_lora(
        context,
        (llama.llama_adapter_lora_p_ctypes * len(handles))(*handles),
        len(handles),
        (ctypes.c_float * len(handles))(*(adapter.scale for adapter in adapters)),
    )
    if status != 0:
        raise ModelError(f"{model.path}: llama.cpp cannot apply the adapters of engine.lora")


def _load_adapter(adapter: LoraAdapter, model: ModelFile) -> AdapterHandle:
    check_file(adapter.path)
    with collect_errors() as errors:
        handle: AdapterHandle = llama.llama_adapter_lora_init(
            model.handle, os.fsencode(adapter.path)
        )
    if not handle:  # a null pointer
        why = errors[-1] if errors else "the file is damaged or truncated"
        raise ModelError(f"{adapter.path}: not an adapter for {model.path.name}: {why}")
    if llama.llama_adapter_get_alora_n_invocation_tokens(handle):
        raise ModelError(
            f"{adapter.path}: activated LoRA (aLoRA), which applies only after certain tokens, "
            "is not supported"
        )
    return handle


def context_length(model: ModelFile, params: EngineParams, *, at_most: int) -> int:
    """Tokens of the context: as configured, else what the model supports, up to ``at_most``.

    Raises:
        ModelError: the model has learned positions, and the configured length exceeds them.
    """
    longest = _usable_context_length(model, params)
    wanted = params.context_length or min(longest, at_most)
    if wanted > longest and model.has_learned_positions:
        raise ModelError(
            f"{model.path}: engine.context_length {wanted} is over the {longest} tokens this model "
            "supports"
        )
    if wanted > longest:
        logger.warning(
            "engine.context_length %d is over the %d tokens the model was trained with: "
            "output beyond them may be nonsense",
            wanted,
            longest,
        )
    return wanted


def _usable_context_length(model: ModelFile, params: EngineParams) -> int:
    """Tokens the model was trained with, extended by the RoPE scaling of ``params``."""
    trained = model.trained_context_length
    if params.rope_freq_scale is None or model.has_learned_positions:
        return trained
    trained_scale = llama.llama_model_rope_freq_scale_train(model.handle) or 1.0
    return int((params.yarn_orig_ctx or trained) * trained_scale / params.rope_freq_scale)


def _num_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
