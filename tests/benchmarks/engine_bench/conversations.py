"""3: eight agents at once that share their instructions, and one long conversation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

import anyio
from benchmarks.engine_bench.agents import Script, converse, instructions
from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup, run_in_turn
from benchmarks.engine_bench.peers import Peer, ours, server, server_options

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_PREFIX_TOKENS = 1500


async def eight_agents(setup: Setup) -> Measured:
    """Ten turns each, short ones: a question, a call, its result, a reply."""
    script = Script(turns=3 if setup.is_quick else 10, result_tokens=80, reply_tokens=32)
    return await _conversations(
        setup,
        script,
        key="eight_agents_wall",
        title=f"s for 8 agents of {script.turns} turns",
        agents=8,
        cells_each=4096,
        bar=Bar("≤", 0.4),
    )


async def one_session(setup: Setup) -> Measured:
    """Fifteen turns that grow to about 7,000 tokens."""
    script = Script(
        turns=5 if setup.is_quick else 15, question_tokens=40, result_tokens=210, reply_tokens=64
    )
    return await _conversations(
        setup,
        script,
        key="one_session_wall",
        title=f"s for one conversation of {script.turns} turns",
        agents=1,
        cells_each=8192,
        bar=Bar("≤", 0.8),
    )


async def _conversations(
    setup: Setup, script: Script, *, key: str, title: str, agents: int, cells_each: int, bar: Bar
) -> Measured:
    cells = agents * cells_each
    params = EngineParams(
        context_length=cells, max_sequences=agents, threads=setup.threads, kv_unified=False
    )
    options = server_options(
        streams=agents, context_length=cells, threads=setup.threads, is_unified=False
    )
    generated: dict[Peer, list[int]] = {}
    async with ours(setup.model, params) as us, server(setup.model, *options) as them:

        def run(peer: Peer) -> Callable[[int], Awaitable[float]]:
            async def conversations(number: int) -> float:
                prefix = instructions(us.tokenize, _PREFIX_TOKENS, seed=number)
                num_tokens = 0

                async def one(agent: int) -> None:
                    nonlocal num_tokens
                    seed = 100 * number + agent + 1
                    num_tokens += await converse(peer, us.tokenize, script, prefix, seed)

                started = time.perf_counter()
                async with anyio.create_task_group() as group:
                    for agent in range(agents):
                        group.start_soon(one, agent)
                seconds = time.perf_counter() - started
                generated.setdefault(peer, []).append(num_tokens)
                return seconds

            return conversations

        pairs = await run_in_turn(1, run(us), run(them))
    figure = Figure(
        key=key,
        title=title,
        value=pairs.ratio,
        ours=f"{statistics.median(pairs.ours):.1f}",
        theirs=f"{statistics.median(pairs.theirs):.1f}",
        bar=bar,
    )
    raw: JsonObject = {
        **pairs.raw,
        "our_tokens": [*generated[us]],
        "their_tokens": [*generated[them]],
    }
    return Measured((figure,), raw)
