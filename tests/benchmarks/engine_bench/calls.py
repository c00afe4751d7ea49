"""2: a call that must come, of one of twenty tools, from the request to the complete call."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.engine_bench.agents import instructions, request
from benchmarks.engine_bench.measuring import Bar, Figure, Measured, Setup, run_in_turn
from benchmarks.engine_bench.peers import GREEDY, Answer, Ask, Peer, ours, server, server_options
from benchmarks.engine_bench.prose import Tokenize
from benchmarks.engine_bench.toolbox import CALL_SCHEMA, TOOLS

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_CONTEXT_LENGTH = 4096
_INSTRUCTION_TOKENS = 1024
_MAX_TOKENS = 256


async def required_call_49k(setup: Setup) -> Measured:
    return await _required_call(setup, setup.model, "required_call_49k", Bar("≤", 0.6))


async def required_call_262k(setup: Setup) -> Measured:
    return await _required_call(
        setup, setup.large_vocabulary(), "required_call_262k", Bar("≤", 0.33)
    )


async def _required_call(setup: Setup, model: Path, key: str, bar: Bar) -> Measured:
    params = EngineParams(context_length=_CONTEXT_LENGTH, threads=setup.threads)
    options = server_options(
        streams=1, context_length=_CONTEXT_LENGTH, threads=setup.threads, is_unified=True
    )
    async with ours(model, params) as us, server(model, *options) as them:
        answers: dict[Peer, list[Answer]] = {us: [], them: []}
        for peer in (us, them):  # the instructions are read, the grammar is compiled
            await peer.ask(_asks(0, us.tokenize, 1)[0])

        def run(peer: Peer) -> Callable[[int], Awaitable[float]]:
            async def calls(number: int) -> float:
                asks = _asks(number + 1, us.tokenize, 4 if setup.is_quick else 10)
                made = [await peer.ask(ask) for ask in asks]
                answers[peer] += made
                return statistics.mean(answer.seconds for answer in made)

            return calls

        pairs = await run_in_turn(setup.rounds(3), run(us), run(them))
    figure = Figure(
        key=key,
        title=f"ms to a required call, {us.engine.vocabulary.size // 1000}k vocabulary",
        value=pairs.ratio,
        ours=f"{1000 * statistics.median(pairs.ours):.0f} ({_steps(answers[us])})",
        theirs=f"{1000 * statistics.median(pairs.theirs):.0f} ({_steps(answers[them])})",
        bar=bar,
    )
    raw: JsonObject = {
        **pairs.raw,
        "our_calls": [_raw(answer) for answer in answers[us]],
        "their_calls": [_raw(answer) for answer in answers[them]],
    }
    return Measured((figure,), raw)


def _asks(round_number: int, tokenize: Tokenize, number: int) -> list[Ask]:
    """Requests for every other tool, in words that no other round has."""
    prefix = instructions(tokenize, _INSTRUCTION_TOKENS)
    tools = sorted(TOOLS)[round_number % 2 :: 2][:number]
    return [
        Ask(
            prompt=[*prefix, *request(tool, 100 * round_number + index, tokenize, 40)],
            max_tokens=_MAX_TOKENS,
            sampling=GREEDY,
            schema=CALL_SCHEMA,
        )
        for index, tool in enumerate(tools)
    ]


def _steps(answers: list[Answer]) -> str:
    tokens = statistics.mean(len(answer.tokens) for answer in answers)
    steps = statistics.mean(answer.num_steps for answer in answers)
    return f"{tokens:.0f} tokens in {steps:.0f} steps"


def _raw(answer: Answer) -> JsonObject:
    return {
        "seconds": answer.seconds,
        "tokens": len(answer.tokens),
        "steps": answer.num_steps,
        "text": answer.text,
    }
