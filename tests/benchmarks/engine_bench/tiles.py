"""What a token costs to read, by how many are read in a step and how long the context is: for the
record, and for how the engine fills its steps."""

from __future__ import annotations

import statistics

from benchmarks.engine_bench.measuring import Figure, Measured, Setup
from benchmarks.engine_bench.peers import Ask, Ours, ours
from benchmarks.engine_bench.prose import text_of

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_DEPTHS = (1024, 4096)
_SIZES = (16, 48, 63, 64, 128, 256)


async def tiles(setup: Setup) -> Measured:
    params = EngineParams(
        context_length=max(_DEPTHS) + max(_SIZES) + 16, max_sequences=1, threads=setup.threads
    )
    figures: list[Figure] = []
    raw: JsonObject = {}
    async with ours(setup.model, params) as us:
        for depth in _DEPTHS:
            prefix = text_of(depth, depth, us.tokenize)
            await us.ask(Ask(prompt=prefix, max_tokens=1))
            for size in _SIZES:
                seconds = [await _seconds(us, prefix, size, n) for n in range(setup.rounds(5))]
                raw[f"{depth}+{size}"] = [*seconds]
                milliseconds = 1000 * statistics.median(seconds)
                figures.append(
                    Figure(
                        key=f"read_{size}_behind_{depth}",
                        title=f"ms a token to read {size} behind {depth}",
                        value=milliseconds / size,
                        ours=f"{milliseconds:.0f} in all",
                    )
                )
    return Measured(tuple(figures), raw)


async def _seconds(us: Ours, prefix: list[int], size: int, number: int) -> float:
    """With one step, as nobody else is there."""
    own = text_of(size, 1000 * size + number, us.tokenize)
    answer = await us.ask(Ask(prompt=[*prefix, *own], max_tokens=1))
    assert answer.num_cached >= len(prefix) - 1
    return answer.seconds
