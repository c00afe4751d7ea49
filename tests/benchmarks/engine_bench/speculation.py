"""8: drafts looked up in the text itself: the same output, sooner where much is copied."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import replace

from benchmarks.engine_bench.measuring import Figure, Measured, Setup, run_in_turn
from benchmarks.engine_bench.peers import GREEDY, Answer, Ask, Ours, ours
from benchmarks.engine_bench.prose import Tokenize, sentences

from kronk_agent.engine.engine import EngineParams
from kronk_agent.messages import JsonObject

_QUOTED_SENTENCES = 6


async def speculation(setup: Setup) -> Measured:
    """With and without, in two engines; greedy, so that the outputs can be compared."""
    params = EngineParams(context_length=4096, threads=setup.threads)
    async with (
        ours(setup.model, replace(params, speculation=True)) as drafting,
        ours(setup.model, replace(params, speculation=False)) as plain,
    ):
        answers: dict[Ours, list[Answer]] = {drafting: [], plain: []}

        def run(us: Ours) -> Callable[[int], Awaitable[float]]:
            async def quote(number: int) -> float:
                asks = [_quote(10 * number + index, us.tokenize) for index in range(2)]
                made = [await us.ask(ask) for ask in asks]
                answers[us] += made
                return sum(answer.seconds for answer in made)

            return quote

        pairs = await run_in_turn(setup.rounds(3), run(drafting), run(plain))
        counters = (await drafting.engine.stats()).steps
    same = [a.tokens == b.tokens for a, b in zip(*answers.values(), strict=True)]
    figures = (
        Figure(
            key="speculation",
            title="seconds to quote a tool's result, drafting, to those without",
            value=pairs.ratio,
            ours=f"{statistics.median(pairs.ours):.2f}",
            theirs=f"{statistics.median(pairs.theirs):.2f} without",
        ),
        Figure(
            key="speculation_identical",
            title="share of outputs that are identical",
            value=sum(same) / len(same),
        ),
    )
    raw: JsonObject = {
        **pairs.raw,
        "identical": [*same],
        "drafted_tokens": counters.drafted_tokens,
        "accepted_tokens": counters.accepted_tokens,
        "texts": [answer.text for answer in answers[drafting]],
    }
    return Measured(figures, raw)


def _quote(seed: int, tokenize: Tokenize) -> Ask:
    report = "\n".join(itertools.islice(sentences(5000 + seed), _QUOTED_SENTENCES))
    return Ask(
        prompt=tokenize(
            f"<|im_start|>user\nRepeat this text word for word:\n\n{report}<|im_end|>\n"
            "<|im_start|>assistant\n"
        ),
        max_tokens=len(tokenize(report)),
        sampling=GREEDY,
    )
