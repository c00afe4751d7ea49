"""Where the states of a model that outlive the process are kept."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from kronk_agent.engine.params import EngineParams

_SAMPLE = 1 << 20
"""Bytes of the model file's beginning and end that stand for all of it: its header with all
metadata is there, and reading tens of gigabytes at each start is not worth being surer."""

_WHAT_STATES_DEPEND_ON = (
    "cache_type_k",
    "cache_type_v",
    "flash_attention",
    "swa_full",
    "rope_scaling",
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
    "lora",
)


def snapshot_folder(model: Path, params: EngineParams) -> Path | None:
    """The folder for states of this model, with this llama.cpp and these parameters; None where
    snapshots are off (``EngineParams.cache_dir``)."""
    if params.cache_dir is None:
        return None
    digest = hashlib.blake2b(digest_size=16)
    size = model.stat().st_size
    with model.open("rb") as file:
        digest.update(file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        digest.update(file.read(_SAMPLE))
    values = [getattr(params, name) for name in _WHAT_STATES_DEPEND_ON]
    digest.update(repr((size, version("llama-cpp-python"), values)).encode())
    return params.cache_dir / digest.hexdigest()
