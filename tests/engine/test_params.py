"""Validation of load options, before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, get_args

import pytest

from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.engine.llama.params import EngineParams, LoraAdapter
from kronk_agent.errors import ConfigError


def params_with(values: dict[str, Any]) -> EngineParams:
    return EngineParams(**values)


def test_the_engine_section_has_the_defaults_of_the_parameters() -> None:
    # The budget is for all models together, and the folder is the runtime's to choose.
    others = {"memory_mib", "cache_dir"}
    options = EngineConfig().model_dump(exclude=others)
    params = dataclasses.asdict(EngineParams())
    assert options == {name: value for name, value in params.items() if name not in others}


@pytest.mark.parametrize("name", ["split_mode", "numa", "cache_type_k", "cache_type_v"])
def test_the_engine_section_has_the_choices_of_the_parameters(name: str) -> None:
    annotation = EngineConfig.model_fields[name].annotation
    literals = [choice for part in get_args(annotation) for choice in get_args(part) or [part]]

    for choice in literals:
        params_with({name: None if choice is type(None) else choice})
    with pytest.raises(ConfigError, match=f"engine.{name}: must be one of .*, not 'other'"):
        params_with({name: "other"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threads": 0}, "engine.threads: must be at least 1, not 0"),
        ({"gpu_layers": -2}, "engine.gpu_layers: must be at least -1, not -2"),
        ({"yarn_ext_factor": math.nan}, "engine.yarn_ext_factor: must be at least 0, not nan"),
        ({"rope_freq_base": 0.0}, "engine.rope_freq_base: must be more than 0, not 0.0"),
        (
            {"max_sequences": 64, "batch_size": 32},
            "engine.max_sequences: must be at most engine.batch_size and "
            "engine.context_length (32): every sequence needs a row of the batch",
        ),
        (
            {"max_sequences": 64, "context_length": 32},
            "engine.max_sequences: must be at most engine.batch_size and "
            "engine.context_length (32): every sequence needs a row of the batch",
        ),
        (
            {"batch_size": 128, "ubatch_size": 256},
            "engine.ubatch_size: must be at most engine.batch_size (128)",
        ),
        (
            {"main_gpu": 1},
            "engine.main_gpu: requires engine.split_mode: none, which puts the model on one GPU",
        ),
        (
            {"tensor_split": (1.0,), "split_mode": "none"},
            "engine.tensor_split: has no effect with engine.split_mode: none; remove it",
        ),
        (
            {"tensor_split": (0.0, 0.0)},
            "engine.tensor_split: shares must be 0 or more, and not all 0",
        ),
        (
            {"tensor_split": (1.0, math.nan)},
            "engine.tensor_split: shares must be 0 or more, and not all 0",
        ),
        (
            {"cache_type_v": "q8_0", "flash_attention": "off"},
            "engine.cache_type_v: q8_0 requires FlashAttention: set engine.flash_attention to auto "
            "or on, or use one of f32, f16, bf16",
        ),
        (
            {"split_mode": "tensor", "flash_attention": "off"},
            "engine.split_mode: tensor requires FlashAttention: set engine.flash_attention to auto "
            "or on",
        ),
        (
            {"rope_scaling": "none", "rope_freq_scale": 0.5},
            "engine.rope_freq_scale: has no effect with engine.rope_scaling: none; remove it",
        ),
        (
            {"rope_scaling": "linear", "yarn_orig_ctx": 4096},
            "engine.yarn_orig_ctx: requires engine.rope_scaling: yarn, not linear",
        ),
    ],
)
def test_invalid_options_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as info:
        params_with(values)

    assert str(info.value) == message


def test_an_adapters_scale_is_a_number() -> None:
    with pytest.raises(ConfigError, match=r"engine\.lora: scale must be a number, not inf"):
        LoraAdapter(Path("a.gguf"), scale=math.inf)
