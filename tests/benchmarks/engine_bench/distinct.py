"""7: eight sequences that share nothing but the KV memory, each with a long context of its own."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable

from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup, run_in_turn
from benchmarks.engine_bench.peers import Ask, Peer, ours, server, server_options
from benchmarks.engine_bench.prose import text_of
from benchmarks.engine_bench.streams import ask_together, tokens_per_second

from kronk_agent.engine.engine import EngineParams

_SEQUENCES = 8
_CELLS_EACH = 2048
_TOKENS_EACH = 1500


async def distinct_contexts(setup: Setup) -> Measured:
    """Decoding only: every prompt has been read by both before the time runs. llama-server keeps
    each sequence in a stream of its own here, and no row attends over another one's cells."""
    cells = _SEQUENCES * _CELLS_EACH
    params = EngineParams(
        context_length=cells,
        max_sequences=_SEQUENCES,
        threads=setup.threads,
        kv_unified=False,
    )
    options = server_options(
        streams=_SEQUENCES, context_length=cells, threads=setup.threads, is_unified=False
    )
    num_tokens = 24 if setup.is_quick else 64
    async with ours(setup.model, params) as us, server(setup.model, *options) as them:
        prompts = [text_of(_TOKENS_EACH, 900 + i, us.tokenize) for i in range(_SEQUENCES)]
        for peer in (us, them):
            await ask_together(peer, [Ask(prompt=prompt, max_tokens=1) for prompt in prompts])

        def run(peer: Peer) -> Callable[[int], Awaitable[float]]:
            asks = [Ask(prompt=prompt, max_tokens=num_tokens) for prompt in prompts]
            return lambda _: tokens_per_second(peer, asks)

        pairs = await run_in_turn(setup.rounds(3), run(us), run(them))
    figure = Figure(
        key="distinct_contexts",
        title=f"tokens/s, {_SEQUENCES} streams with {_TOKENS_EACH} tokens each of their own",
        value=pairs.ratio,
        ours=f"{statistics.median(pairs.ours):.1f}",
        theirs=f"{statistics.median(pairs.theirs):.1f}",
        bar=Bar("≥", 0.9),
    )
    return Measured((figure,), pairs.raw)
