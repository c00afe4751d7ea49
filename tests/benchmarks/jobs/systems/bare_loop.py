"""The loop one writes in an afternoon: llama-cpp-python's own chat handler, until no call comes.

A call is what stands in ``<tool_call>`` marks. Where there are none, any JSON object in the answer
that names a tool and has arguments is one: whoever writes such a loop finds soon that their model
writes its calls into a code block.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio import to_thread
from benchmarks.jobs.job import Job, World
from benchmarks.jobs.systems import (
    CONTEXT_LENGTH,
    INSTRUCTIONS,
    MAX_STEPS,
    MAX_TOKENS,
    Outcome,
)
from benchmarks.jobs.systems.plain_tools import PlainTool, open_tools
from llama_cpp import Llama

from kronk_agent.messages import JsonObject

_MARKED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)


class BareLoop:
    """The loop around one loaded model."""

    name = "bare loop"

    def __init__(self, llama: Llama) -> None:
        self._llama = llama

    async def do(self, job: Job, world: World, outcome: Outcome) -> None:
        messages = outcome.trace
        messages.append({"role": "system", "content": INSTRUCTIONS})
        async with open_tools(job, world) as tools:
            for prompt in job.prompts:
                messages.append({"role": "user", "content": prompt})
                outcome.answers.append(await self._answer(messages, tools, outcome))

    async def _answer(
        self, messages: list[JsonObject], tools: Sequence[PlainTool], outcome: Outcome
    ) -> str:
        by_name = {tool.name: tool for tool in tools}
        text = ""
        for _ in range(MAX_STEPS):
            text = await self._turn(messages, tools, outcome)
            messages.append({"role": "assistant", "content": text})
            calls = read_calls(text, by_name)
            if not calls:
                outcome.ends.append("stop")
                return text
            for call in calls:
                result = await _result(by_name, call)
                messages.append({"role": "tool", "name": call["name"], "content": result})
        outcome.ends.append("max_steps")
        return text

    async def _turn(
        self, messages: list[JsonObject], tools: Sequence[PlainTool], outcome: Outcome
    ) -> str:
        def complete() -> Any:
            return self._llama.create_chat_completion(
                messages,  # type: ignore[arg-type]
                tools=[tool.schema for tool in tools] or None,  # type: ignore[misc]
                tool_choice="auto",
                temperature=0,
                max_tokens=MAX_TOKENS,
            )

        completion = await to_thread.run_sync(complete)
        outcome.steps += 1
        outcome.prompt_tokens += completion["usage"]["prompt_tokens"]
        outcome.generated_tokens += completion["usage"]["completion_tokens"]
        return completion["choices"][0]["message"]["content"] or ""


async def _result(tools: Mapping[str, PlainTool], call: dict[str, Any]) -> str:
    tool = tools.get(call["name"])
    return (
        await tool.call(call["arguments"]) if tool else f"Error: no tool is called {call['name']}"
    )


def read_calls(text: str, tools: Container[str]) -> list[dict[str, Any]]:
    """The calls in an answer, with their arguments as objects."""
    if marked := _MARKED.findall(text):
        inside = [value for part in marked for value in _objects(part)]
        return [value for value in inside if _is_call(value)]
    return [value for value in _objects(text) if _is_call(value) and value["name"] in tools]


def _objects(text: str) -> Iterator[Any]:
    """Every JSON object in a text."""
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            end = position + 1
        else:
            yield value
        position = text.find("{", end)


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("arguments"), dict)
    )


@contextmanager
def open_bare_loop(model: Path, *, threads: int | None) -> Iterator[BareLoop]:
    """Load the model, and keep it. ``threads`` None: one for each core."""
    threads = threads or os.cpu_count()
    llama = Llama(
        str(model),
        n_ctx=CONTEXT_LENGTH,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )
    try:
        yield BareLoop(llama)
    finally:
        llama.close()
