"""The name under which states of a model are kept in files."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from kronk_agent.engine.llama.params import EngineParams

_SAMPLE_BYTES = 1 << 20
"""Bytes of the model file's beginning and end that stand for all of it: its header with all
metadata is there, and reading tens of gigabytes at each start is not worth being surer."""

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
    """A digest of all that states depend on: the model, llama.cpp and the parameters."""
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
