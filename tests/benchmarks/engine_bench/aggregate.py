"""1: generated tokens a second, all streams together, as the streams get more.

llama-server keeps its slots apart here, as it does by default for a given number of them: with one
pool for all (``--kv-unified``) it is slower the more there are.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable

from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Pairs, Setup, run_in_turn
from benchmarks.engine_bench.peers import Ask, Peer, ours, server, server_options
from benchmarks.engine_bench.prose import Tokenize
from benchmarks.engine_bench.streams import question, tokens_per_second

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_WIDTHS = (1, 2, 4, 8, 16, 32)
_CONTEXT_LENGTH = 32 * 256


async def aggregate(setup: Setup) -> Measured:
    most = max(_WIDTHS)
    params = EngineParams(
        context_length=_CONTEXT_LENGTH,
        max_sequences=most,
        threads=setup.threads,
        kv_unified=False,
    )
    options = server_options(
        streams=most, context_length=_CONTEXT_LENGTH, threads=setup.threads, is_unified=False
    )
    num_tokens = 32 if setup.is_quick else 64
    figures: list[Figure] = []
    raw: JsonObject = {}
    async with ours(setup.model, params) as us, server(setup.model, *options) as them:
        for peer in (us, them):
            await tokens_per_second(peer, _asks(4, 0, us.tokenize, 8))
        for width in _WIDTHS:

            def run(peer: Peer, width: int = width) -> Callable[[int], Awaitable[float]]:
                return lambda number: tokens_per_second(
                    peer, _asks(width, number + 1, us.tokenize, num_tokens)
                )

            pairs = await run_in_turn(setup.rounds(_rounds(width)), run(us), run(them))
            figures.append(_figure(width, pairs))
            raw[str(width)] = pairs.raw
    return Measured(tuple(figures), raw)


def _rounds(width: int) -> int:
    """The fewer streams, the shorter and the noisier is a run."""
    return 7 if width <= 2 else 4 if width <= 8 else 2


def _asks(width: int, round_number: int, tokenize: Tokenize, max_tokens: int) -> list[Ask]:
    """Prompts of 50 tokens that no other width and no other round has."""
    first = 10_000 * width + 100 * round_number
    return [
        Ask(prompt=question(first + index, tokenize), max_tokens=max_tokens)
        for index in range(width)
    ]


def _figure(width: int, pairs: Pairs) -> Figure:
    return Figure(
        key=f"aggregate_{width}",
        title=f"tokens/s, {width} streams" if width > 1 else "tokens/s, 1 stream",
        value=pairs.ratio,
        ours=f"{statistics.median(pairs.ours):.1f}",
        theirs=f"{statistics.median(pairs.theirs):.1f}",
        bar=Bar("≥", 1.0),
    )
