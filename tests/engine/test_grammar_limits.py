"""Limits of the cost of a client's grammar, and their enforcement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from engine.support import endless, generate
from limits import seconds

from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.engine.structured_output.share import COMPILING_FOR
from kronk_agent.errors import ConstraintError, EngineError, OverloadedError

on_the_engines_loop = pytest.mark.asyncio(loop_scope="module")

MEETING = [rf".*[a-z]{{{i}}}.*x{{{i}}}" for i in range(1, 26)]
LARK_BOMB = "start: A\nA: " + " & ".join(f"/{pattern}/" for pattern in MEETING)
BOMB = {"allOf": [{"type": "string", "pattern": pattern} for pattern in MEETING]}


def json_grammar(schema: object) -> str:
    return f"start: %json {json.dumps(schema)}"


@pytest.mark.parametrize(
    "grammar",
    [
        pytest.param(json_grammar({"properties": {"a": BOMB}}), id="25 patterns in allOf"),
        pytest.param(LARK_BOMB, id="25 intersected regexes"),
        pytest.param("start: A\nA: ~/.*a.{24}/ & /.*b.{25}/ & ~/.*c.{26}/", id="complements"),
        pytest.param(json_grammar({"multipleOf": 99_999_989}), id="a multiple of much"),
    ],
)
@on_the_engines_loop
async def test_a_grammar_without_bounds_is_stopped_and_refused_at_once_the_next_time(
    engine: Engine, grammar: str
) -> None:
    with pytest.raises(ConstraintError, match=r"it took more than .*: simplify it"):
        await engine.compile(grammar)

    with anyio.fail_after(seconds(1)), pytest.raises(ConstraintError, match="it took more than"):
        await engine.compile(grammar)


@on_the_engines_loop
async def test_intersections_and_complements_hold_in_a_process_of_their_own(engine: Engine) -> None:
    constraint = await engine.compile("start: A\nA: /[a-z]{3,9}/ & /.*q.*/ & ~/.*[aeiou].*/")

    for _ in range(2):
        word = await generate(engine, "Hello", constraint=constraint)
        assert word.text.isalpha()
        assert "q" in word.text
        assert not set(word.text) & set("aeiou")
    assert (
        await engine.compile("start: A\nA: /[a-z]{3,9}/ & /.*q.*/ & ~/.*[aeiou].*/") is constraint
    )


@on_the_engines_loop
async def test_each_caller_has_one_dangerous_grammar_compiled_at_a_time(engine: Engine) -> None:
    outcomes: dict[str, list[str]] = {"one": [], "other": []}

    async def compile(caller: str, number: int) -> None:
        COMPILING_FOR.set(caller)
        try:
            await engine.compile(f'{LARK_BOMB} "{caller} {number}"')
        except (ConstraintError, OverloadedError) as error:
            outcomes[caller].append(type(error).__name__)

    async with anyio.create_task_group() as tasks:
        for caller in outcomes:
            for number in range(2):
                tasks.start_soon(compile, caller, number)

    one = ["OverloadedError", "ConstraintError"]
    assert outcomes == {"one": one, "other": one}


async def test_closing_the_engine_does_not_wait_for_a_compile(starter_model: Path) -> None:
    engine = await Engine.open(starter_model, EngineParams(context_length=512))
    refusals = []

    async def compile() -> None:
        with pytest.raises(EngineError, match="the engine is closed") as info:
            await engine.compile(LARK_BOMB)
        refusals.append(info.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(compile)
        await anyio.wait_all_tasks_blocked()
        await engine.close()

    assert len(refusals) == 1


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("start: " + " ".join(["r"] * 3000) + '\nr: "a"? "b"?', " items"),
        (json_grammar({"$ref": "#"}), "NoExtension"),
        (
            json_grammar(
                {
                    "anyOf": [
                        {"type": "object", "properties": {f"k{i}": {}}, "required": [f"k{i}"]}
                        for i in range(3000)
                    ]
                }
            ),
            "Current row has 3000 items",
        ),
    ],
)
@on_the_engines_loop
async def test_a_grammar_that_fails_while_generating_is_the_clients_fault(
    engine: Engine, grammar: str, message: str
) -> None:
    constraint = await engine.compile(grammar)

    with pytest.raises(ConstraintError, match=f"the grammar failed: .*{message}"):
        await generate(engine, "Hello", sampling=endless(engine), constraint=constraint)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array", "minItems": 1_000_000}, "minItems must be at most 100000, not 1e.06"),
        (
            {"type": "string", "maxLength": 10**12},
            "maxLength must be at most 1000000000, not 1e.12",
        ),
        ({"enum": list(range(50_001))}, "enum: at most 50000 values, got 50001"),
        ({"const": "x" * 20_001}, "a fixed text may have at most 20000 characters, got 20001"),
        (
            {"type": "string", "pattern": "^(a{1000}){1000}$"},
            r"the pattern '\^\(a\{1000\}\)\{1000\}\$' has 1000002 characters",
        ),
    ],
)
@on_the_engines_loop
async def test_a_schema_over_a_limit_is_refused_with_the_limit(
    engine: Engine, schema: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConstraintError, match=message):
        await engine.compile(json_grammar({"properties": {"a": {"anyOf": [schema]}}}))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 100_000, "maxItems": 1_000_000_000},
        {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z]{2,63}){1,9}$"},
        {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
        {"type": "integer", "multipleOf": 1000, "minimum": 0},
        {"allOf": [{"type": "string", "pattern": "^[a-z]+$"}, {"minLength": 2}]},
    ],
)
@on_the_engines_loop
async def test_ordinary_schemas_need_no_process(engine: Engine, schema: dict[str, Any]) -> None:
    COMPILING_FOR.set("somebody")
    async with anyio.create_task_group() as tasks:
        for number in range(4):  # of these, one at most could have a process
            tasks.start_soon(engine.compile, json_grammar({**schema, "title": str(number)}))
