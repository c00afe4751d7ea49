"""Engine settings; llama.cpp's options keep their names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from kronk_agent.config.schema.base import Section

_INT32_MAX = 2**31 - 1
_MAX_THREADS = 512
"""GGML_MAX_N_THREADS, the compiled-in limit of llama.cpp."""

CacheType: TypeAlias = Literal[
    "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"
]


class LoraConfig(Section):
    """A LoRA adapter."""

    path: Path
    """GGUF file of the adapter."""
    scale: float = 1.0
    """Weight of the adapter."""


class EngineConfig(Section):
    """Settings of the inference engine."""

    memory_mib: Annotated[int, Field(ge=1)] | None = None
    """Memory budget in MiB for all loaded models.

    null: the memory that is free when the first one is loaded; on a GPU, no limit.
    """
    context_length: Annotated[int, Field(ge=256, le=_INT32_MAX)] | None = None
    """KV cache size in tokens, shared by all sequences. null: the model's, at most 16384."""
    max_sequences: Annotated[int, Field(ge=1, le=256)] = 16
    """Maximum sequences generated concurrently."""
    batch_size: Annotated[int, Field(ge=32, le=_INT32_MAX)] = 512
    """Maximum tokens per llama_decode call, all sequences together."""
    ubatch_size: Annotated[int, Field(ge=1, le=_INT32_MAX)] | None = None
    """Tokens computed at once; fewer need less memory. null: batch_size."""
    threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] | None = None
    """CPU threads. null: one per core."""
    batch_threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] | None = None
    """CPU threads for prefill. null: threads."""
    queue_limit: Annotated[int, Field(ge=1)] = 64
    """Maximum waiting requests; further ones are rejected immediately."""
    gpu_layers: Annotated[int, Field(ge=-1, le=_INT32_MAX)] = -1
    """Layers to offload to the GPU, if supported by the build; -1: all."""
    split_mode: Literal["none", "layer", "row", "tensor"] = "layer"
    """Distribution of the model across GPUs; none: only main_gpu is used."""
    main_gpu: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 0
    """The GPU for split_mode none, 0-based."""
    tensor_split: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Proportion of the model per GPU, e.g. [3, 1]; empty: by free memory."""
    mmap: bool | None = None
    """Memory-map the file instead of reading it. null: if all devices support it."""
    mlock: bool = False
    """Lock the weights in memory so that they are not swapped out."""
    numa: Literal["distribute", "isolate", "numactl"] | None = None
    """NUMA strategy. null: none."""
    cache_type_k: CacheType = "f16"
    """Data type of keys in the KV cache."""
    cache_type_v: CacheType = "f16"
    """Data type of values in the KV cache; quantized types need FlashAttention."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    """FlashAttention; auto: on if supported."""
    kv_unified: bool = True
    """true: all sequences share one KV cache; false: each gets an equal part of it."""
    swa_full: bool = True
    """Keep KV cells outside the sliding window, so that prefixes can be reused."""
    rope_scaling: Literal["none", "linear", "yarn", "longrope"] | None = None
    """RoPE scaling method. null: the model's."""
    rope_freq_base: Annotated[float, Field(gt=0)] | None = None
    """RoPE base frequency. null: the model's."""
    rope_freq_scale: Annotated[float, Field(gt=0)] | None = None
    """RoPE frequency scale; 0.25 quadruples the context. null: the model's."""
    yarn_ext_factor: Annotated[float, Field(ge=0)] | None = None
    """YaRN mix of extrapolation (1) and interpolation (0). null: the model's."""
    yarn_attn_factor: Annotated[float, Field(ge=0)] | None = None
    """YaRN attention magnitude factor. null: the model's."""
    yarn_beta_fast: Annotated[float, Field(ge=0)] | None = None
    """YaRN low correction dimension. null: the model's."""
    yarn_beta_slow: Annotated[float, Field(ge=0)] | None = None
    """YaRN high correction dimension. null: the model's."""
    yarn_orig_ctx: Annotated[int, Field(ge=1, le=_INT32_MAX)] | None = None
    """Training context before YaRN, in tokens. null: the model's."""
    lora: tuple[LoraConfig, ...] = ()
    """LoRA adapters, applied to every request."""
    speculation: bool = True
    """Prompt lookup decoding: draft tokens from earlier text, where that is faster."""
    cache_ram_mib: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 1024
    """Host memory in MiB for sequences evicted from the KV cache."""
    cache_dir: Path | Literal["auto", False] | None = "auto"
    """Directory for the state of agents' prompt prefixes. null: store nothing."""
    cache_disk_mib: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 2048
    """Maximum size of cache_dir in MiB; least recently used entries are removed first."""
    cache_conversations: bool = False
    """Store the state of whole conversations in cache_dir too."""
