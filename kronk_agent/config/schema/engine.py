"""How models are loaded and run: llama.cpp's options under their own names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from kronk_agent.config.schema.base import Section

_INT32_MAX = 2**31 - 1
_MAX_THREADS = 512
"""GGML_MAX_N_THREADS: what llama.cpp is compiled for."""

CacheType: TypeAlias = Literal[
    "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"
]


class LoraConfig(Section):
    """A LoRA adapter that is added to the model's weights."""

    path: Path
    """Its GGUF file."""
    scale: float = 1.0
    """How strongly it counts."""


class EngineConfig(Section):
    """How models are loaded and run."""

    memory_mib: Annotated[int, Field(ge=1)] | None = None
    """MiB that loaded models may take together. null: what is free at the start."""
    context_length: Annotated[int, Field(ge=256, le=_INT32_MAX)] | None = None
    """Tokens that all running conversations share. null: the model's own, 16384 at most."""
    max_sequences: Annotated[int, Field(ge=1, le=256)] = 16
    """Generations that may run at the same time."""
    batch_size: Annotated[int, Field(ge=32, le=_INT32_MAX)] = 512
    """Tokens decoded in one step, all generations together."""
    ubatch_size: Annotated[int, Field(ge=1, le=_INT32_MAX)] | None = None
    """Tokens computed at once; fewer take less memory. null: batch_size."""
    threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] | None = None
    """CPU threads. null: one for each core."""
    batch_threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] | None = None
    """CPU threads while prompts are read. null: threads."""
    queue_limit: Annotated[int, Field(ge=1)] = 64
    """Requests that may wait; one more is refused at once."""
    gpu_layers: Annotated[int, Field(ge=-1, le=_INT32_MAX)] = -1
    """Layers put on the GPU where the build has one; -1 is all of them."""
    split_mode: Literal["none", "layer", "row", "tensor"] = "layer"
    """How several GPUs share the model: none uses one, layer gives each some of the layers."""
    main_gpu: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 0
    """The GPU that split_mode none uses, counted from 0."""
    tensor_split: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Each GPU's share, e.g. [3, 1]; empty: by free memory."""
    mmap: bool | None = None
    """Map the file into memory instead of reading it. null: where all devices can."""
    mlock: bool = False
    """Keep the weights from being swapped out."""
    numa: Literal["distribute", "isolate", "numactl"] | None = None
    """Placement on machines with several memory nodes. null: none."""
    cache_type_k: CacheType = "f16"
    """Type of the keys in the KV memory."""
    cache_type_v: CacheType = "f16"
    """Type of the values in the KV memory; the quantised ones need FlashAttention."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    """FlashAttention; auto uses it where it is supported."""
    kv_unified: bool = True
    """One KV memory for all, which share it; false: each of max_sequences has a part of it."""
    swa_full: bool = True
    """Keep what has left a model's sliding window, so that prompts can share prefixes."""
    rope_scaling: Literal["none", "linear", "yarn", "longrope"] | None = None
    """How positions are stretched. null: as the model says."""
    rope_freq_base: Annotated[float, Field(gt=0)] | None = None
    """RoPE's base frequency. null: as the model says."""
    rope_freq_scale: Annotated[float, Field(gt=0)] | None = None
    """Factor on RoPE's frequencies; 0.25 makes the context four times as long."""
    yarn_ext_factor: Annotated[float, Field(ge=0)] | None = None
    """YaRN's mix of extrapolation (1) and interpolation (0). null: as the model says."""
    yarn_attn_factor: Annotated[float, Field(ge=0)] | None = None
    """YaRN's factor on the attention's magnitude. null: as the model says."""
    yarn_beta_fast: Annotated[float, Field(ge=0)] | None = None
    """YaRN's low correction dimension. null: as the model says."""
    yarn_beta_slow: Annotated[float, Field(ge=0)] | None = None
    """YaRN's high correction dimension. null: as the model says."""
    yarn_orig_ctx: Annotated[int, Field(ge=1, le=_INT32_MAX)] | None = None
    """Context the model was trained with before YaRN. null: as the model says."""
    lora: tuple[LoraConfig, ...] = ()
    """LoRA adapters, all of them applied to everything."""
    speculation: bool = True
    """Draft tokens from text that was there before, where that pays."""
    cache_ram_mib: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 1024
    """MiB of host memory for conversations that lost their place in the KV memory."""
    cache_dir: Path | Literal["auto", False] | None = "auto"
    """Folder that keeps what agents' prompts begin with for later starts. null: keep nothing."""
    cache_disk_mib: Annotated[int, Field(ge=0, le=_INT32_MAX)] = 2048
    """MiB of that folder; the least recently used prompts are removed first."""
    cache_conversations: bool = False
    """Keep whole conversations in that folder too."""
