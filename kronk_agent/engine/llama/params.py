"""Load options of a model, mostly llama.cpp's under their own names."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias, get_args, get_type_hints

from kronk_agent.errors import ConfigError

SplitMode: TypeAlias = Literal["none", "layer", "row", "tensor"]
Numa: TypeAlias = Literal["distribute", "isolate", "numactl"]
CacheType: TypeAlias = Literal[
    "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"
]
FlashAttention: TypeAlias = Literal["auto", "on", "off"]
Pooling: TypeAlias = Literal["mean", "cls", "last", "rank"]
RopeScaling: TypeAlias = Literal["none", "linear", "yarn", "longrope"]

_FLOAT_TYPES = ("f32", "f16", "bf16")
_AT_LEAST = {
    "context_length": 1,
    "max_sequences": 1,
    "batch_size": 1,
    "ubatch_size": 1,
    "threads": 1,
    "batch_threads": 1,
    "queue_limit": 1,
    "gpu_layers": -1,
    "main_gpu": 0,
    "yarn_ext_factor": 0,
    "yarn_attn_factor": 0,
    "yarn_beta_fast": 0,
    "yarn_beta_slow": 0,
    "yarn_orig_ctx": 1,
    "cache_ram_mib": 0,
    "cache_disk_mib": 0,
}


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A LoRA adapter that is added to the model's weights.

    Raises:
        ConfigError: the scale is not a number.
    """

    path: Path
    scale: float = 1.0
    """Factor on its effect; 1 is the full adapter."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ConfigError(f"scale must be a number, not {self.scale}", key="engine.lora")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParams:
    """Load options of a model.

    Raises:
        ConfigError: a value is out of range, or two values contradict each other.
    """

    context_length: int | None = None
    """Tokens in the KV cache, all sequences together; None is the model's own, at most 16384."""
    max_sequences: int = 16
    """Maximum sequences that run at the same time."""
    batch_size: int = 512
    """Maximum rows of one step (n_batch)."""
    ubatch_size: int | None = None
    """Rows computed at once (n_ubatch); None is ``batch_size``. Fewer take less memory."""
    threads: int | None = None
    """CPU threads for decode; None is one for each core this process may use."""
    batch_threads: int | None = None
    """CPU threads for prefill; None is ``threads``."""
    queue_limit: int = 64
    """Maximum sequences that wait."""
    gpu_layers: int = -1
    """Layers on the GPU, if the build supports one; -1 is all."""
    split_mode: SplitMode = "layer"
    """How several GPUs share the model: ``none`` uses one, ``layer`` gives each some layers,
    ``row`` and ``tensor`` split the tensors (``tensor`` needs FlashAttention)."""
    main_gpu: int = 0
    """GPU used with ``split_mode`` none, counted from 0."""
    tensor_split: tuple[float, ...] = ()
    """Each GPU's share of the model, in any unit; empty is by free memory."""
    mmap: bool | None = None
    """Map the file into memory instead of reading it; None does so if all devices support it."""
    mlock: bool = False
    """Lock the weights in memory, so that they are not swapped out."""
    numa: Numa | None = None
    """NUMA strategy for machines with several memory nodes; holds for the whole process."""
    cache_type_k: CacheType = "f16"
    """Type of the keys in the KV cache."""
    cache_type_v: CacheType = "f16"
    """Type of the values in the KV cache; quantized types require FlashAttention."""
    flash_attention: FlashAttention = "auto"
    """``auto`` uses it if the device supports it for this model."""
    kv_unified: bool = True
    """Use one KV cache for all sequences, which share the cells of common prefixes. False gives
    each of ``max_sequences`` its own part of ``context_length``: the CPU then passes over fewer
    cells, and shared prefixes are copied."""
    swa_full: bool = True
    """Keep tokens that have left a sliding window, so that prefixes can be shared."""
    rope_scaling: RopeScaling | None = None
    """RoPE scaling method; None is the model's own."""
    rope_freq_base: float | None = None
    """RoPE base frequency; None is the model's own."""
    rope_freq_scale: float | None = None
    """RoPE frequency factor: 0.25 makes the context four times as long; None is the model's own."""
    yarn_ext_factor: float | None = None
    """YaRN's mix of extrapolation (1) and interpolation (0); None is the model's own."""
    yarn_attn_factor: float | None = None
    """YaRN's factor on the attention magnitude; None is the model's own."""
    yarn_beta_fast: float | None = None
    """YaRN's low correction dimension; None is the model's own."""
    yarn_beta_slow: float | None = None
    """YaRN's high correction dimension; None is the model's own."""
    yarn_orig_ctx: int | None = None
    """Context length the model was trained with before YaRN; None is what its file says."""
    lora: tuple[LoraAdapter, ...] = ()
    """Adapters; all of them apply to every request."""
    speculation: bool = True
    """Draft tokens by prompt lookup where it pays off; the output is the same, only faster."""
    cache_ram_mib: int = 1024
    """MiB of host memory for the states of sequences offloaded from the KV cache; 0 is none."""
    cache_dir: Path | None = None
    """Folder for the states of shared prefixes (``shared_prefix`` of a request), which outlive the
    process; None saves none."""
    cache_disk_mib: int = 2048
    """Budget of ``cache_dir`` in MiB; the least recently used states are removed first."""
    cache_conversations: bool = False
    """Also save whole conversations there when the engine closes."""

    def __post_init__(self) -> None:
        self._check_values()
        self._check_batch()
        self._check_devices()
        self._check_attention()
        self._check_rope()

    def _check_values(self) -> None:
        hints = get_type_hints(EngineParams)
        for field in fields(self):
            value, key = getattr(self, field.name), f"engine.{field.name}"
            choices = _choices(hints[field.name])
            if choices and value not in choices:
                valid = ", ".join(str(choice) for choice in choices if choice is not None)
                raise ConfigError(f"must be one of {valid}, not {value!r}", key=key)
            least = _AT_LEAST.get(field.name)
            # `not >=` refuses NaN too.
            if least is not None and value is not None and not least <= value < math.inf:
                raise ConfigError(f"must be at least {least}, not {value}", key=key)

    def _check_batch(self) -> None:
        # llama.cpp makes the batch no larger than the context.
        rows = min(self.batch_size, self.context_length or self.batch_size)
        if self.max_sequences > rows:
            raise ConfigError(
                f"must be at most engine.batch_size and engine.context_length ({rows}): every "
                "sequence needs a row of the batch",
                key="engine.max_sequences",
            )
        if (self.ubatch_size or 1) > self.batch_size:
            raise ConfigError(
                f"must be at most engine.batch_size ({self.batch_size})",
                key="engine.ubatch_size",
            )

    def _check_devices(self) -> None:
        if self.main_gpu and self.split_mode != "none":
            raise ConfigError(
                "requires engine.split_mode: none, which puts the model on one GPU",
                key="engine.main_gpu",
            )
        if self.tensor_split and self.split_mode == "none":
            raise ConfigError(
                "has no effect with engine.split_mode: none; remove it", key="engine.tensor_split"
            )
        # `not >=` refuses NaN too.
        if self.tensor_split and (
            any(not 0 <= share < math.inf for share in self.tensor_split)
            or sum(self.tensor_split) == 0
        ):
            raise ConfigError("shares must be 0 or more, and not all 0", key="engine.tensor_split")

    def _check_attention(self) -> None:
        if self.flash_attention != "off":
            return
        if self.cache_type_v not in _FLOAT_TYPES:
            raise ConfigError(
                f"{self.cache_type_v} requires FlashAttention: set engine.flash_attention to auto "
                f"or on, or use one of {', '.join(_FLOAT_TYPES)}",
                key="engine.cache_type_v",
            )
        if self.split_mode == "tensor":
            raise ConfigError(
                "tensor requires FlashAttention: set engine.flash_attention to auto or on",
                key="engine.split_mode",
            )

    def _check_rope(self) -> None:
        for name in ("rope_freq_base", "rope_freq_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"must be more than 0, not {value}", key=f"engine.{name}")
        if self.rope_scaling == "none" and self.rope_freq_scale is not None:
            raise ConfigError(
                "has no effect with engine.rope_scaling: none; remove it",
                key="engine.rope_freq_scale",
            )
        if self.rope_scaling in (None, "yarn"):
            return
        for field in fields(self):
            if field.name.startswith("yarn_") and getattr(self, field.name) is not None:
                raise ConfigError(
                    f"requires engine.rope_scaling: yarn, not {self.rope_scaling}",
                    key=f"engine.{field.name}",
                )


def _choices(hint: object) -> tuple[object, ...]:
    """Values of a ``Literal`` or an optional ``Literal``; empty for other types."""
    parts = get_args(hint)
    inner = [choice for part in parts for choice in get_args(part)]
    if inner and type(None) in parts and all(isinstance(choice, str) for choice in inner):
        return (*inner, None)
    return parts if parts and all(isinstance(part, str) for part in parts) else ()
