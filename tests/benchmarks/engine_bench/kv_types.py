"""Which type of KV memory is fastest: for the record, and for what the engine takes by default."""

from __future__ import annotations

import statistics

from benchmarks.engine_bench.measuring import Figure, Measured, Setup
from benchmarks.engine_bench.peers import Ask, ours
from benchmarks.engine_bench.prose import text_of
from benchmarks.engine_bench.streams import ask_together, tokens_per_second

from kronk_agent.engine.engine import EngineParams
from kronk_agent.engine.llama.params import CacheType
from kronk_agent.messages import JsonObject

_TYPES: tuple[CacheType, ...] = ("f16", "q8_0", "q4_0", "bf16", "f32")
_SEQUENCES = 8
_CELLS_EACH = 1536
_TOKENS_EACH = 1000


async def kv_types(setup: Setup) -> Measured:
    """Decoding only. Every type in its turn, several times: two engines in one process would get
    in each other's way."""
    speeds: dict[str, list[float]] = {type: [] for type in _TYPES}
    for number in range(setup.rounds(3)):
        for type in _TYPES[:: 1 if number % 2 == 0 else -1]:
            speeds[type].append(await _speed(setup, type))
    f16 = speeds["f16"]
    figures = [
        Figure(
            key=f"kv_type_{type}",
            title=f"tokens/s, {_SEQUENCES} streams with {_TOKENS_EACH} tokens, KV {type} and f16",
            value=statistics.median(a / b for a, b in zip(speeds[type], f16, strict=True)),
            ours=f"{statistics.median(speeds[type]):.1f}",
            theirs=f"{statistics.median(f16):.1f}",
        )
        for type in _TYPES[1:]
    ]
    raw: JsonObject = {type: [*found] for type, found in speeds.items()}
    return Measured(tuple(figures), raw)


async def _speed(setup: Setup, type: CacheType) -> float:
    params = EngineParams(
        context_length=_SEQUENCES * _CELLS_EACH,
        max_sequences=_SEQUENCES,
        threads=setup.threads,
        cache_type_k=type,
        cache_type_v=type,
        speculation=False,
    )
    async with ours(setup.model, params) as engine:
        prompts = [text_of(_TOKENS_EACH, 700 + i, engine.tokenize) for i in range(_SEQUENCES)]
        await ask_together(engine, [Ask(prompt=prompt, max_tokens=1) for prompt in prompts])
        num_tokens = 16 if setup.is_quick else 32
        asks = [Ask(prompt=prompt, max_tokens=num_tokens) for prompt in prompts]
        return await tokens_per_second(engine, asks)
