"""Several generations at once, nothing shared: tokens a second, all together."""

from __future__ import annotations

import time

import anyio
from benchmarks.engine_bench.peers import Answer, Ask, Peer
from benchmarks.engine_bench.prose import Tokenize, text_of


def question(seed: int, tokenize: Tokenize, num_tokens: int = 50) -> list[int]:
    """A prompt of a user's turn, unlike every other seed's from its first sentence on."""
    begin = tokenize("<|im_start|>user\n")
    end = tokenize("<|im_end|>\n<|im_start|>assistant\n")
    return [*begin, *text_of(num_tokens - len(begin) - len(end), seed, tokenize), *end]


async def ask_together(peer: Peer, asks: list[Ask]) -> tuple[float, list[Answer]]:
    """All at once; the seconds until the last is answered, and the answers in order."""
    answers: list[Answer | None] = [None] * len(asks)

    async def one(index: int) -> None:
        answers[index] = await peer.ask(asks[index])

    started = time.perf_counter()
    async with anyio.create_task_group() as group:
        for index in range(len(asks)):
            group.start_soon(one, index)
    return time.perf_counter() - started, [answer for answer in answers if answer is not None]


async def tokens_per_second(peer: Peer, asks: list[Ask]) -> float:
    """Prompts, short as they are, are read within the time."""
    seconds, answers = await ask_together(peer, asks)
    return sum(len(answer.tokens) for answer in answers) / seconds
