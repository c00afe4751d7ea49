"""Tokens a second, all conversations together, when several run at once. ``make bench``.

Measures the configured model: ``KRONK_AGENT_MODEL=path.gguf make bench`` measures another.
"""

from __future__ import annotations

import time

import anyio

from kronk_agent import Message, Runtime, SamplingParams, load_config
from kronk_agent.messages import Finish
from kronk_agent.model import ChatModel, ChatRequest

CONVERSATIONS = (1, 2, 4, 8, 16)
MAX_TOKENS = 128


async def main() -> None:
    config = load_config().model_copy(update={"tools": (), "mcp_servers": {}})
    async with Runtime.open(config) as runtime:
        model = await runtime.chat_model()
        await _answer(model, 0)  # the first one pays for what is done once
        print(f"{model.info.id}, {MAX_TOKENS} tokens each")
        for number in CONVERSATIONS:
            seconds, tokens = await _measure(model, number)
            print(f"{number:3} at once: {tokens / seconds:7.1f} tokens/s in {seconds:5.1f} s")


async def _measure(model: ChatModel, number: int) -> tuple[float, int]:
    tokens = 0

    async def count(seed: int) -> None:
        nonlocal tokens
        tokens += await _answer(model, seed)

    start = time.perf_counter()
    async with anyio.create_task_group() as conversations:
        for seed in range(number):
            conversations.start_soon(count, 100 * number + seed)
    return time.perf_counter() - start, tokens


async def _answer(model: ChatModel, seed: int) -> int:
    """Number of tokens of one answer. Every conversation is another one, so that none is cached."""
    request = ChatRequest(
        messages=(Message.user(f"Write a long story about {seed} travellers."),),
        sampling=SamplingParams(seed=seed),
        max_tokens=MAX_TOKENS,
    )
    async for delta in model.stream(request):
        if isinstance(delta, Finish):
            return delta.usage.completion_tokens
    raise AssertionError("a stream ends with Finish")


if __name__ == "__main__":
    anyio.run(main)
