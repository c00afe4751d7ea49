"""4: what a shared prefix saves: when it is there already, and when eight want it at once."""

from __future__ import annotations

import statistics

from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup
from benchmarks.engine_bench.peers import Ask, Ours, ours
from benchmarks.engine_bench.prose import Tokenize, text_of
from benchmarks.engine_bench.streams import ask_together

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_CONTEXT_LENGTH = 8192
_PREFIX_TOKENS = 1500
_OWN_TOKENS = 12
_TOGETHER = 8


async def shared_prefix(setup: Setup) -> Measured:
    params = EngineParams(context_length=_CONTEXT_LENGTH, threads=setup.threads)
    async with ours(setup.model, params) as us:
        await us.ask(_ask(text_of(20, 0, us.tokenize), 0, us.tokenize))
        times = [await _cold_and_warm(us, seed) for seed in range(1, setup.rounds(3) + 1)]
        num_tokens, num_prefilled = await _together(us, seed=100)
    ttft = Figure(
        key="shared_prefix_ttft",
        title=f"TTFT with {_PREFIX_TOKENS} tokens cached, to that without (ms)",
        value=statistics.median(warm / cold for cold, warm in times),
        ours=f"{1000 * statistics.median(warm for _, warm in times):.0f}",
        theirs=f"{1000 * statistics.median(cold for cold, _ in times):.0f} cold",
        bar=Bar("≤", 0.03),
    )
    prefill = Figure(
        key="simultaneous_prefix_prefill",
        title=f"tokens read for {_TOGETHER} prompts at once, to those of one",
        value=num_prefilled / num_tokens,
        ours=str(num_prefilled),
        theirs=f"{num_tokens} for one",
        bar=Bar("≤", 1.1),
    )
    raw: JsonObject = {
        "cold_seconds": [cold for cold, _ in times],
        "warm_seconds": [warm for _, warm in times],
        "prompt_tokens": num_tokens,
        "prefilled_tokens": num_prefilled,
    }
    return Measured((ttft, prefill), raw)


async def _cold_and_warm(us: Ours, seed: int) -> tuple[float, float]:
    """Seconds to the first token of a prompt nobody had, and of another one with its prefix."""
    prefix = text_of(_PREFIX_TOKENS, seed, us.tokenize)
    cold = await us.ask(_ask(prefix, 10 * seed, us.tokenize))
    warm = await us.ask(_ask(prefix, 10 * seed + 1, us.tokenize))
    return cold.seconds, warm.seconds


async def _together(us: Ours, seed: int) -> tuple[int, int]:
    """Tokens of one prompt, and how many had to be computed for all that came at once."""
    prefix = text_of(_PREFIX_TOKENS, seed, us.tokenize)
    asks = [_ask(prefix, 10 * seed + index, us.tokenize) for index in range(_TOGETHER)]
    before = (await us.engine.stats()).steps.prefill_tokens
    await ask_together(us, asks)
    after = (await us.engine.stats()).steps.prefill_tokens
    return len(asks[0].prompt), after - before


def _ask(prefix: list[int], seed: int, tokenize: Tokenize) -> Ask:
    return Ask(prompt=[*prefix, *text_of(_OWN_TOKENS, 7000 + seed, tokenize)], max_tokens=1)
