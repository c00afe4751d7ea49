"""Estimates of the memory a model and its context take, before they are loaded."""

from __future__ import annotations

from dataclasses import replace

import psutil

from kronk_agent.engine.llama.binding import llama
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.llama.params import EngineParams
from kronk_agent.errors import ModelError

BITS_PER_VALUE = {
    "f32": 32.0,
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "iq4_nl": 4.5,
    "q4_1": 5.0,
    "q4_0": 4.5,
}
"""Bits per value of llama.cpp's KV cache types, block scales included."""

_GIB = 2**30
_MIB = 2**20
_CONTEXT_MULTIPLE = 256
"""llama.cpp rounds a context up to a multiple of this."""


def kv_bytes_per_token(model: ModelFile, params: EngineParams) -> float | None:
    """Bytes one token takes in the KV cache.

    None if it is not simply layers times heads times their size: recurrent and hybrid models,
    latent attention, different heads per layer.
    """
    if model.is_recurrent or model.is_hybrid or model.number("attention.kv_lora_rank"):
        return None
    # A list with one value per layer does not parse as a number, so the result is None.
    query_heads = model.number("attention.head_count")
    heads = model.number("attention.head_count_kv") or query_heads
    width, layers = model.number("embedding_length"), model.number("block_count")
    if heads is None or query_heads is None or width is None or layers is None:
        return None
    size = width / query_heads
    key_bits = (model.number("attention.key_length") or size) * BITS_PER_VALUE[params.cache_type_k]
    value_size = model.number("attention.value_length") or size
    value_bits = value_size * BITS_PER_VALUE[params.cache_type_v]
    return layers * heads * (key_bits + value_bits) / 8


def total_bytes(
    model: ModelFile, params: EngineParams, *, longest_default: int, num_memories: int = 1
) -> int:
    """Estimate the bytes a running model takes: weights, context, logits, host memory cache.

    Args:
        model: the file; one loaded with ``is_described_only`` is enough.
        params: load options.
        longest_default: maximum tokens of a KV cache if ``params`` sets no context length.
        num_memories: number of KV caches in that case.
    """
    default = num_memories * min(model.trained_context_length, longest_default)
    length = params.context_length or default
    context = length * (kv_bytes_per_token(model, params) or 0)
    logits = params.batch_size * model.vocabulary.size * 4
    return int(model.weight_bytes + context + logits) + params.cache_ram_mib * _MIB


def check_kv_cache_size(model: ModelFile, params: EngineParams, context_length: int) -> None:
    """Refuse a context that cannot fit in memory, before the system kills the process.

    Raises:
        ModelError: the KV cache alone is larger than the free memory.
    """
    is_on_gpu = params.gpu_layers != 0 and llama.llama_supports_gpu_offload()
    keeps_less = model.sliding_window > 0 and not params.swa_full
    if (
        is_on_gpu
        or keeps_less
        or (advice := kv_cache_shortage(model, params, context_length)) is None
    ):
        return
    raise ModelError(advice)


def kv_cache_shortage(model: ModelFile, params: EngineParams, context_length: int) -> str | None:
    """Error text with remedies if the KV cache exceeds free memory; None if it fits or unknown."""
    per_token = kv_bytes_per_token(model, params)
    free = psutil.virtual_memory().available
    if per_token is None or context_length * per_token <= free:
        return None
    fitting = int(free / per_token) // _CONTEXT_MULTIPLE * _CONTEXT_MULTIPLE
    smaller = replace(params, cache_type_k="q8_0", cache_type_v="q8_0", flash_attention="auto")
    small_size = context_length * (kv_bytes_per_token(model, smaller) or 0)
    ways = [f"set engine.context_length to {fitting} or less"] if fitting else []
    if small_size <= free and small_size < context_length * per_token:
        ways.append(
            f"engine.cache_type_k and engine.cache_type_v to q8_0 ({small_size / _GIB:.1f} GiB)"
        )
    return (
        f"{model.path}: a context of {context_length} tokens takes "
        f"{context_length * per_token / _GIB:.1f} GiB of KV cache, and {free / _GIB:.1f} GiB are "
        f"free: {', or '.join(ways) or 'close other programs or use a smaller model'}"
    )
