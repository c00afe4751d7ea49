"""Effect of load options, with the real starter model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from engine.support import chat, generate
from engine.tiny_gguf import TinyModels, write_lora

from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.engine.engine import Engine, EngineParams, LoraAdapter
from kronk_agent.errors import ConfigError, ModelError

FRANCE = chat("What is the capital of France?")
PARIS = "The capital of France is Paris."


async def answer(model: Path, **options: Any) -> str:
    # One thread, as two wait for each other where others want the cores too.
    params = EngineParams(**{"context_length": 512, "threads": 1, **options})
    async with await Engine.open(model, params) as engine:
        return (await generate(engine, FRANCE, max_tokens=8)).text


async def refusal(error: type[Exception], model: Path, **options: Any) -> str:
    with pytest.raises(error) as info:
        await answer(model, **options)
    return str(info.value)


@pytest.mark.parametrize(
    "options",
    [
        {"ubatch_size": 8, "batch_threads": 1, "threads": 2},
        {"mmap": False},
        {"mmap": True, "flash_attention": "off", "cache_type_v": "f32", "cache_type_k": "bf16"},
        {"flash_attention": "on", "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        {"gpu_layers": 0, "numa": "distribute"},
        {"rope_freq_base": 100_000.0, "rope_freq_scale": 1.0, "rope_scaling": "linear"},
    ],
    ids=lambda options: ",".join(options),
)
async def test_a_model_answers_the_same_however_it_is_loaded(
    starter_model: Path, options: dict[str, Any]
) -> None:
    assert await answer(starter_model, **options) == PARIS


@pytest.mark.parametrize(
    "options",
    [
        {"rope_freq_base": 10.0},
        {"rope_freq_scale": 0.01},
        {"rope_scaling": "yarn", "rope_freq_scale": 0.01, "yarn_orig_ctx": 64},
        {"rope_scaling": "yarn", "rope_freq_scale": 0.9, "yarn_ext_factor": 0.5},
    ],
    ids=lambda options: ",".join(options),
)
async def test_options_that_change_the_computation_change_the_answer(
    tiny: TinyModels, options: dict[str, Any]
) -> None:
    assert await answer(tiny.llama, **options) != await answer(tiny.llama)


async def test_the_kv_cache_has_the_configured_types(
    starter_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "kronk_agent.engine.llama_cpp"):
        await answer(starter_model, cache_type_k="q8_0", cache_type_v="q4_0")

    assert "K (q8_0)" in caplog.text
    assert "V (q4_0)" in caplog.text


async def test_one_numa_strategy_holds_for_the_process(starter_model: Path) -> None:
    await answer(starter_model, numa="distribute")

    assert await refusal(ConfigError, starter_model, numa="isolate") == (
        "engine.numa: must be distribute, as for the model loaded first: it holds for the process"
    )


@pytest.mark.parametrize(
    "options",
    [{"split_mode": "row"}, {"split_mode": "none", "main_gpu": 1}, {"tensor_split": (1.0, 2.0)}],
    ids=lambda options: ",".join(options),
)
async def test_gpu_options_are_refused_by_a_build_without_one(
    starter_model: Path, options: dict[str, Any]
) -> None:
    name = next(iter(options))
    assert await refusal(ConfigError, starter_model, **options) == (
        f"engine.{name}: this build of llama.cpp has no GPU support "
        "(see 'With a GPU' in the README)"
    )


async def test_gpu_layers_without_a_gpu_log_a_warning(
    starter_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert await answer(starter_model, gpu_layers=10) == PARIS

    assert "engine.gpu_layers: this build of llama.cpp has no GPU" in caplog.text


async def test_a_context_over_the_free_memory_is_refused_with_remedies(
    starter_model: Path,
) -> None:
    params = EngineParams(context_length=2_000_000_000)

    with pytest.raises(ModelError) as info:
        await Engine.open(starter_model, params)

    # 30 layers of 3 heads, keys and values of 64 values in 16 bits: 23,040 bytes a token.
    assert "takes 42915.3 GiB of KV cache" in str(info.value)
    assert "GiB are free: set engine.context_length to " in str(info.value)
    fitting = int(str(info.value).split("engine.context_length to ")[1].split()[0])
    assert 256 <= fitting < 2_000_000_000


async def test_an_adapter_changes_the_answer_as_far_as_its_scale_says(tiny: TinyModels) -> None:
    async def with_scales(*scales: float) -> str:
        return await answer(tiny.llama, lora=tuple(LoraAdapter(tiny.lora, s) for s in scales))

    plain = await answer(tiny.llama)

    assert await with_scales(0.0) == plain
    assert await with_scales(1.0) != plain
    assert await with_scales(1.0, -1.0) == plain
    assert await with_scales(0.5, 0.5) == await with_scales(1.0)


async def test_an_adapter_of_another_model_is_refused(starter_model: Path, tmp_path: Path) -> None:
    other = write_lora(
        tmp_path / "other.gguf", tensor="blk.0.attn_q.weight", shape=(4, 4), architecture="qwen2"
    )
    larger = write_lora(tmp_path / "larger.gguf", tensor="blk.0.attn_q.weight", shape=(640, 640))

    async def reason(path: Path) -> str:
        return await refusal(ModelError, starter_model, lora=(LoraAdapter(path),))

    model = starter_model.name
    assert await reason(other) == (
        f"{other}: not an adapter for {model}: failed to apply lora adapter: model arch and LoRA "
        "arch mismatch"
    )
    assert await reason(larger) == (
        f"{larger}: not an adapter for {model}: failed to apply lora adapter: tensor "
        "'blk.0.attn_q.weight' has incorrect shape (hint: maybe wrong base model?)"
    )
    assert await reason(starter_model) == (
        f"{starter_model}: not an adapter for {model}: failed to apply lora adapter: expect "
        "general.type to be 'adapter', but got: model"
    )
    assert await reason(tmp_path / "none.gguf") == f"{tmp_path}/none.gguf: no such file"


def test_every_option_is_in_the_configuration_under_the_same_name() -> None:
    of_all_models = {"memory_mib"}
    assert set(EngineConfig.model_fields) == {*EngineParams.__dataclass_fields__, *of_all_models}
