"""Times a tool-call grammar before its first token, compared with llguidance on the bare schema.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.grammar_compile

Prints milliseconds, the best of several rounds:

- ``raw``: llguidance on the JSON Schema of one tool, without the syntax of a call around it;
- ``fresh``: write and compile the grammar of new tools;
- ``again``: find the grammar for the same tools in the next turn.

The first line is the least time llguidance takes for any grammar in Lark.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from llguidance import LLMatcher, LLTokenizer

from kronk_agent.chat.constraint_cache import ConstraintCache
from kronk_agent.chat.dialects import GENERIC
from kronk_agent.chat.dialects.parsing.turn import TurnFormat
from kronk_agent.chat.dialects.template_dialect import TemplateDialect
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.structured_output.constraint import (
    Constraint,
    ConstraintCompiler,
    new_matcher,
    new_tokenizer,
)
from kronk_agent.messages import JsonObject, Message
from kronk_agent.model import ChatRequest
from kronk_agent.models.store import starter_model
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool

_NUM_ROUNDS = 10
_TEXT: JsonObject = {"type": "string"}
_PROPERTIES: tuple[JsonObject, ...] = (
    _TEXT,
    {"type": "integer", "minimum": 0, "maximum": 100},
    {"enum": ["a", "b", "c"]},
    {"type": "array", "items": _TEXT},
    {"type": "object", "properties": {"x": _TEXT, "y": {"type": "number"}}, "required": ["x"]},
)
_CASES = (
    *(("required", 1, num_properties) for num_properties in (1, 5, 20)),
    *(("auto", num_tools, 5) for num_tools in (1, 10, 57)),
    ("auto", 57, 20),
)


def main() -> None:
    """Print a row for each case."""
    model = starter_model()
    vocabulary = ModelFile(model, is_described_only=True).vocabulary
    with vocabulary.in_use() as handle:
        tokenizer = new_tokenizer(vocabulary, handle)
    source = LLMatcher.grammar_from_lark('start: "a"')
    print(f"lark: {_milliseconds(lambda: _compile_bare(source, tokenizer)):.3f}")
    print("  choice tools properties      raw    fresh    again")
    for choice, num_tools, num_properties in _CASES:
        request = ChatRequest(
            messages=(Message.user("x"),),
            tools=_tools(num_tools, num_properties),
            tool_choice=ToolChoice.parse(choice),
        )
        times = (
            _measure_raw(request.tools[0], tokenizer),
            *_measure_turns(request, lambda: ConstraintCompiler(vocabulary, model)),
        )
        cells = " ".join(f"{milliseconds:>8.3f}" for milliseconds in times)
        print(f"{choice:>8} {num_tools:>5} {num_properties:>10} {cells}")


def _measure_raw(tool: Tool, tokenizer: LLTokenizer) -> float:
    """Milliseconds to compile the schema of a tool with llguidance alone."""
    schema = json.dumps({**tool.parameters, "x-guidance": {"lenient": True}})
    return _milliseconds(
        lambda: _compile_bare(LLMatcher.grammar_from_json_schema(schema), tokenizer)
    )


def _measure_turns(
    request: ChatRequest, new_compiler: Callable[[], ConstraintCompiler]
) -> tuple[float, float]:
    """Milliseconds for the first turn with new tools, and for the next with the same tools."""
    fresh = float("inf")
    cache = ConstraintCache()
    for _ in range(_NUM_ROUNDS):
        compiler = new_compiler()
        compiler.compile("start: /a/")  # creates the tokenizer
        begun = time.perf_counter()
        constraint = _compile(request, compiler)
        fresh = min(fresh, (time.perf_counter() - begun) * 1e3)
        cache.add("", request, constraint)
    return fresh, _milliseconds(lambda: _find(request, cache))


def _tools(number: int, num_properties: int) -> tuple[Tool, ...]:
    """Tools with the same schema and different names."""
    properties = {f"p{i}": _PROPERTIES[i % len(_PROPERTIES)] for i in range(num_properties)}
    schema: JsonObject = {"type": "object", "properties": {**properties}, "required": ["p0"]}
    return tuple(
        Tool(name=f"f{i}", description="Does.", parameters=schema, strict=False)
        for i in range(number)
    )


def _compile(request: ChatRequest, compiler: ConstraintCompiler) -> Constraint:
    """Write and compile the grammar of a turn, and start a generation with it."""
    dialect = TemplateDialect(format=TurnFormat(name="generic", calls=GENERIC), special_tokens={})
    grammar = dialect.start_turn("", request).write_grammar()
    assert grammar is not None
    constraint = compiler.compile(grammar.lark, grammar.parts, is_ours=True)
    constraint.start()
    return constraint


def _find(request: ChatRequest, cache: ConstraintCache) -> None:
    """Find the compiled grammar of a turn, and start a generation with it."""
    constraint = cache.find("", request)
    assert constraint is not None
    constraint.start()


def _compile_bare(source: str, tokenizer: LLTokenizer) -> None:
    """Compile a grammar with llguidance alone."""
    assert not new_matcher(source, tokenizer).is_error()


def _milliseconds(work: Callable[[], object]) -> float:
    """The shortest time of several rounds."""
    best = float("inf")
    for _ in range(_NUM_ROUNDS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best * 1e3


if __name__ == "__main__":
    main()
