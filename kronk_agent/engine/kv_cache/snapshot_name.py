"""Name of the folder in which a model's saved states are kept."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from kronk_agent.engine.llama.params import EngineParams

_SAMPLE_BYTES = 1 << 20
"""Bytes read from each end of a model file to identify it. They include the header with all
metadata; reading tens of gigabytes at each start would cost more than certainty is worth."""

_PARAMS_IN_NAME = (
    "cache_type_k",
    "cache_type_v",
    "flash_attention",
    "kv_unified",
    "swa_full",
    "rope_scaling",
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)


def snapshot_name(model: Path, params: EngineParams) -> str:
    """Digest of everything saved states depend on: model, adapters, llama.cpp version, parameters.

    Raises:
        OSError: a file cannot be read.
    """
    files = [model, *(adapter.path for adapter in params.lora)]
    values = [getattr(params, name) for name in _PARAMS_IN_NAME]
    scales = [adapter.scale for adapter in params.lora]
    digest = hashlib.blake2b(repr((version("llama-cpp-python"), values, scales)).encode())
    for file in files:
        digest.update(_fingerprint(file))
    return digest.hexdigest()[:32]


def _fingerprint(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
