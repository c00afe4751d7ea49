"""Required calls at a high temperature, over random tool sets: how many of them are valid?

    python tests/benchmarks/random_calls.py [--calls 2000] [--sets 50] [--model FILE.gguf]

Every set has one to four tools with random schemas. Its calls are asked for at temperature 1.5, all
tokens being candidates, so that what comes out is noise but for the grammar. The sets take turns in
three dialects: our generic one, JSON between marks, and arguments between marks. A call is valid
when it is complete, its name is in the set, and its arguments are JSON that the schema allows.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
from jsonschema import Draft202012Validator

from kronk_agent.chat.local import LocalChatModel
from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.messages import (
    Finish,
    JsonObject,
    Message,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.models.store import starter_model
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.tools import Tool, ToolContext, ToolOutput

_AT_ONCE = 32
_TEMPLATE = """\
{%% if tools %%}<|im_start|>system
{%% for tool in tools %%}{{ tool.function.name }}
{%% endfor %%}<|im_end|>
{%% endif %%}
{%%- for m in messages %%}<|im_start|>{{ m.role }}
{{ m.content or '' }}
{%%- for call in m.tool_calls or [] %%}%s{%% endfor %%}<|im_end|>
{%% endfor %%}
{%%- if add_generation_prompt %%}<|im_start|>assistant
{%% endif %%}"""
_JSON = _TEMPLATE % (
    '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments | tojson }}}\n</tool_call>"
)
_TAGGED = _TEMPLATE % (
    "<tool_call>\n<function={{ call.function.name }}>\n"
    "{% for key, value in call.function.arguments | items %}<parameter={{ key }}>\n"
    "{{ value if value is string else value | tojson }}\n</parameter>\n{% endfor %}"
    "</function>\n</tool_call>"
)
DIALECTS = {"generic": None, "native-json": _JSON, "tagged-arguments": _TAGGED}

WORDS = [
    "city",
    "count",
    "kind",
    "when",
    "size",
    "code",
    "flag",
    "note",
    "path",
    "ratio",
    "tags",
    "place",
    "owner",
]


def random_schema(source: random.Random, depth: int = 2) -> JsonObject:
    """A schema of values that are not long."""
    simple: list[JsonObject] = [
        {"type": "string", "maxLength": source.randint(1, 12)},
        {"type": "string", "enum": source.sample(WORDS, source.randint(1, 4))},
        {"type": "string", "pattern": "^[a-f0-9]{2,6}$"},
        {"type": "integer", "minimum": source.randint(-9, 0), "maximum": source.randint(1, 99)},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "boolean"},
        {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
        {"enum": [1, "two", None]},
    ]
    kind = source.randrange(len(simple) + (3 if depth else 0))
    if kind < len(simple):
        return simple[kind]
    if kind == len(simple):
        items = random_schema(source, depth - 1)
        return {"type": "array", "items": items, "minItems": 1, "maxItems": 2}
    if kind == len(simple) + 1:
        return random_object(source, depth - 1)
    return {"anyOf": [random_schema(source, 0), {"type": "null"}]}


def random_object(source: random.Random, depth: int) -> JsonObject:
    names = source.sample(WORDS, source.randint(0, 3))
    properties: JsonObject = {name: random_schema(source, depth) for name in names}
    required: list[Any] = [name for name in names if source.random() < 0.7]
    return {"type": "object", "properties": properties, "required": required}


async def _never_called(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise AssertionError


def random_tools(source: random.Random) -> tuple[Tool, ...]:
    return tuple(
        Tool(
            name=f"{source.choice(WORDS)}_{number}",
            description="Does something.",
            parameters=random_object(source, 2),
            call=_never_called,
        )
        for number in range(source.randint(1, 4))
    )


async def problem_of_call(model: LocalChatModel, tools: tuple[Tool, ...], seed: int) -> str:
    """What is wrong with one required call; empty if nothing is."""
    request = ChatRequest(
        messages=(Message.user("Do something with a tool."),),
        tools=tools,
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        sampling=SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed),
        max_tokens=1000,
    )
    name, text, has_ended, reason = "", "", False, ""
    async with aclosing(model.stream(request)) as deltas:
        async for delta in deltas:
            match delta:
                case ToolCallStart(name=name):
                    pass
                case ToolCallArguments(fragment=fragment):
                    text += fragment
                case ToolCallEnd():
                    has_ended = True
                case Finish(reason=reason):
                    pass
                case _:
                    return f"said {delta}"
    schemas = {tool.name: tool.parameters for tool in tools}
    if not has_ended:
        return f"not complete: {reason}"
    if name not in schemas:
        return f"unknown name {name}"
    try:
        arguments = json.loads(text)
    except ValueError:
        return f"not JSON: {text}"
    if not Draft202012Validator(schemas[name]).is_valid(arguments):
        return f"not valid: {text}"
    return ""


async def measure(path: Path, num_calls: int, num_sets: int) -> Counter[str]:
    problems: Counter[str] = Counter()
    params = EngineParams(max_sequences=_AT_ONCE, queue_limit=4 * _AT_ONCE)
    async with await Engine.open(path, params) as engine:
        models = [
            LocalChatModel(engine, name, chat_templates=None if t is None else {"default": t})
            for name, t in DIALECTS.items()
        ]
        limiter = anyio.CapacityLimiter(2 * _AT_ONCE)

        async def one(number: int) -> None:
            async with limiter:
                at = number % num_sets
                tools = random_tools(random.Random(at))
                problem = await problem_of_call(models[at % len(models)], tools, number)
                problems[problem] += 1

        async with anyio.create_task_group() as tasks:
            for number in range(num_calls):
                tasks.start_soon(one, number)
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--sets", type=int, default=50)
    parser.add_argument("--model", type=Path, default=None)
    options = parser.parse_args()
    path = options.model or starter_model()
    begun = time.perf_counter()
    problems = anyio.run(measure, path, options.calls, options.sets)
    seconds = time.perf_counter() - begun
    for problem, count in problems.most_common():
        if problem:
            print(f"{count} × {problem}")
    print(
        f"{problems['']} of {options.calls} required calls valid, {options.sets} random tool sets, "
        f"temperature 1.5, {path.name}, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
