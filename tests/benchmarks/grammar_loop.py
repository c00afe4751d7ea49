"""How long the event loop stands still while a turn's grammar is made, for 57 tools.

    python -m benchmarks.grammar_loop

Prints, for flat and for nested schemas: the longest time between two ticks of the loop and the
time until the constraint is there, for a new set of tools and for the same set again.
"""

from __future__ import annotations

import time
from typing import Any

import anyio

from kronk_agent.chat.local import LocalChatModel, _TokenizedPrompt
from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.messages import Message
from kronk_agent.model import ChatRequest
from kronk_agent.models.store import starter_model
from kronk_agent.tools import Tool

_NUM_TOOLS = 57
_FLAT: dict[str, Any] = {
    "path": {"type": "string"},
    "limit": {"type": "integer", "minimum": 0},
    "mode": {"type": "string", "enum": ["a", "b"]},
}
_NESTED: dict[str, Any] = {
    f"arg_{i}": {
        "type": "object",
        "properties": {f"k{j}": {"type": "string", "enum": ["a", "b", "c"]} for j in range(6)},
    }
    for i in range(8)
}


def main() -> None:
    anyio.run(_measure_all)


async def _measure_all() -> None:
    async with await Engine.open(starter_model(), EngineParams(context_length=512)) as engine:
        model = LocalChatModel(engine, "starter")
        for label, properties in (("flat", _FLAT), ("nested", _NESTED)):
            for time_of_use in ("new", "again"):
                still, took = await _measure(model, properties)
                print(
                    f"{label}, {time_of_use}: the loop stood still {still * 1e3:.1f} ms at most; "
                    f"the constraint was there after {took * 1e3:.0f} ms"
                )


async def _measure(model: LocalChatModel, properties: dict[str, Any]) -> tuple[float, float]:
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    tools = [
        Tool(name=f"server__tool_{i}", description="d", parameters=parameters)
        for i in range(_NUM_TOOLS)
    ]
    request = ChatRequest(messages=(Message.user("x"),), tools=tuple(tools))
    turn = model._dialect.start_turn("", request)
    longest = took = 0.0

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await anyio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last - 0.001), now

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await anyio.sleep(0.05)
        longest, begin = 0.0, time.perf_counter()
        await model._constraint(_TokenizedPrompt("", [], ""), turn, request)
        took = time.perf_counter() - begin
        tasks.cancel_scope.cancel()
    return longest, took


if __name__ == "__main__":
    main()
