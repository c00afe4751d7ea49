"""6: what of a step's time is not llama.cpp's, and what the extras cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup
from benchmarks.engine_bench.peers import CREATIVE, Ask, Ours, ours
from benchmarks.engine_bench.streams import ask_together, question
from benchmarks.engine_bench.toolbox import CALL_SCHEMA

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_STREAMS = 8


async def python_share(setup: Setup) -> Measured:
    params = EngineParams(context_length=8192, threads=setup.threads, speculation=False)
    plain = Ask(prompt=[], max_tokens=32 if setup.is_quick else 96)
    variants = {
        "plain": plain,
        "logprobs": replace(plain, top_logprobs=5),
        "penalties": replace(plain, sampling=replace(CREATIVE, repeat_penalty=1.1)),
        "constraint": replace(plain, schema=CALL_SCHEMA),
    }
    async with ours(setup.model, params) as us:
        await _run(us, plain, 0)
        await _run(us, variants["constraint"], 1)  # the tokenizer is made once
        costs = {
            name: await _run(us, ask, 100 * i) for i, (name, ask) in enumerate(variants.items(), 1)
        }
    base = costs["plain"]
    share = Figure(
        key="python_share_8",
        title=f"Python's share of a step of {_STREAMS} streams",
        value=base.python_seconds / base.busy_seconds,
        ours=f"{1e6 * base.python_seconds / base.steps:.0f} µs a step",
        theirs=f"{1e3 * base.busy_seconds / base.steps:.1f} ms a step",
        bar=Bar("≤", 0.03),
    )
    extras = tuple(
        Figure(
            key=f"cost_of_{name}_us",
            title=f"µs a token that {name} add",
            value=1e6 * (cost.own_seconds_per_token - base.own_seconds_per_token),
        )
        for name, cost in costs.items()
        if name != "plain"
    )
    raw: JsonObject = {name: cost.raw for name, cost in costs.items()}
    return Measured((share, *extras), raw)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Where the worker thread's time went."""

    steps: int
    tokens: int
    compute_seconds: float
    sampling_seconds: float
    busy_seconds: float

    @property
    def python_seconds(self) -> float:
        """Neither in ``llama_decode`` nor in samplers and grammar checks."""
        return self.busy_seconds - self.compute_seconds - self.sampling_seconds

    @property
    def own_seconds_per_token(self) -> float:
        """All that is not ``llama_decode``."""
        return (self.busy_seconds - self.compute_seconds) / self.tokens

    @property
    def raw(self) -> JsonObject:
        return {
            "steps": self.steps,
            "tokens": self.tokens,
            "compute_seconds": self.compute_seconds,
            "sampling_seconds": self.sampling_seconds,
            "python_seconds": self.python_seconds,
            "busy_seconds": self.busy_seconds,
        }


async def _run(us: Ours, ask: Ask, seed: int) -> _Cost:
    """Eight streams, each with a prompt of its own."""
    asks = [replace(ask, prompt=question(seed + i, us.tokenize)) for i in range(_STREAMS)]
    before = (await us.engine.stats()).steps
    await ask_together(us, asks)
    after = (await us.engine.stats()).steps
    return _Cost(
        after.steps - before.steps,
        after.generated_tokens - before.generated_tokens,
        after.compute_seconds - before.compute_seconds,
        after.sampling_seconds - before.sampling_seconds,
        after.busy_seconds - before.busy_seconds,
    )
