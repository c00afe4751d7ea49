"""A keyword that no grammar can enforce is dropped on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kronk_agent.chat.dialects.grammar.lark import Lark
from kronk_agent.chat.dialects.grammar.schema import enforced_schema
from kronk_agent.chat.enforcement import Enforceable, enforceable
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.structured_output.constraint import ConstraintCompiler
from kronk_agent.errors import ConstraintError
from kronk_agent.messages import JsonObject

LOOKAHEAD: JsonObject = {"type": "string", "pattern": "^(?=a)b$"}
NO_LOOKAROUND = (
    "regex parse error: look-around, including look-ahead and look-behind, is not supported"
)
HOST: JsonObject = {"type": "string", "pattern": r"^([a-z]([a-z-]{0,61}[a-z])?\.)+[a-z]{2,9}$"}
MODE: JsonObject = {"enum": ["read", "edit"]}


@pytest.fixture
def compiler(model_file: ModelFile) -> ConstraintCompiler:
    return ConstraintCompiler(model_file.vocabulary, Path(model_file.path))


async def found(schema: JsonObject, compiler: ConstraintCompiler) -> Enforceable:
    async def refusal(tried: JsonObject) -> str:
        lark = Lark({})
        text = lark.text(lark.json(enforced_schema(tried, strict=False)))
        try:
            compiler.compile(text, is_ours=True)
        except ConstraintError as error:
            return str(error).rpartition("JSON schema: ")[2]
        return ""

    return await enforceable(schema, refusal)


CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"properties": {"a": MODE}}, {"properties": {"a": MODE}}, []),
    (
        {"properties": {"a": LOOKAHEAD, "mode": MODE}, "required": ["mode"]},
        {"properties": {"a": {"type": "string"}, "mode": MODE}, "required": ["mode"]},
        [f"properties.a.pattern: '^(?=a)b$': {NO_LOOKAROUND}"],
    ),
    (
        {"properties": {"a": {"items": {"anyOf": [LOOKAHEAD, MODE]}, "maxItems": 2}}},
        {"properties": {"a": {"items": {"anyOf": [{"type": "string"}, MODE]}, "maxItems": 2}}},
        [f"properties.a.items.anyOf.0.pattern: '^(?=a)b$': {NO_LOOKAROUND}"],
    ),
    (
        {"properties": {"a": {"$ref": "#/$defs/A"}, "b": MODE}, "$defs": {"A": LOOKAHEAD}},
        {"properties": {"a": {"$ref": "#/$defs/A"}, "b": MODE}, "$defs": {"A": {"type": "string"}}},
        [f"$defs.A.pattern: '^(?=a)b$': {NO_LOOKAROUND}"],
    ),
    (
        {
            "properties": {
                "a": {"patternProperties": {"^(?!x)": MODE}, "additionalProperties": False},
                "b": LOOKAHEAD,
            }
        },
        {"properties": {"a": {}, "b": {"type": "string"}}},
        [
            f"properties.a.patternProperties: {NO_LOOKAROUND}",
            f"properties.b.pattern: '^(?=a)b$': {NO_LOOKAROUND}",
        ],
    ),
    (
        {"properties": {"a": HOST | {"minLength": 1, "maxLength": 253}}},
        {"properties": {"a": HOST | {"minLength": 1}}},
        [
            "properties.a.maxLength: Unable to determine if regex is empty:  (And (SearchRegex "
            r"/^([a-z]([a-z-]{0,61}[a-z])?\.)+[a-z]{2,9}$/) (Regex /(?s:.{1,253})/))"
        ],
    ),
    (
        {"properties": {"a": LOOKAHEAD | {"minLength": 1, "maxLength": 5}}},
        {"properties": {"a": {"type": "string", "minLength": 1, "maxLength": 5}}},
        [f"properties.a.pattern: '^(?=a)b$': {NO_LOOKAROUND}"],
    ),
    (
        {"properties": {"a": {**LOOKAHEAD, "type": ["string", "array"], "minItems": 10**6}}},
        {"properties": {"a": {"type": ["string", "array"]}}},
        [
            f"properties.a.pattern: '^(?=a)b$': {NO_LOOKAROUND}",
            "properties.a.minItems: minItems must be at most 100000, not 1e+06",
        ],
    ),
    (
        {"properties": {"a": {"type": "array", "minItems": 10**6}, "b": MODE}},
        {"properties": {"a": {"type": "array"}, "b": MODE}},
        ["properties.a.minItems: minItems must be at most 100000, not 1e+06"],
    ),
    (
        {"properties": {"a": False, "b": MODE}, "required": ["a"]},
        {"properties": {"a": False, "b": MODE}},
        ["required: Unsatisfiable schema: required property 'a' is unsatisfiable"],
    ),
]


@pytest.mark.parametrize(("schema", "expected", "left_out"), CASES)
async def test_only_keywords_that_cannot_be_enforced_are_dropped(
    schema: dict[str, Any],
    expected: dict[str, Any],
    left_out: list[str],
    compiler: ConstraintCompiler,
) -> None:
    result = await found({"type": "object", **schema}, compiler)

    assert result.schema == {"type": "object", **expected}
    assert [str(problem) for problem in result.left_out] == left_out


async def test_a_schema_that_takes_too_many_tries_is_dropped_entirely(
    compiler: ConstraintCompiler,
) -> None:
    many: JsonObject = {f"a{i}": LOOKAHEAD for i in range(100)}

    result = await found({"type": "object", "properties": many}, compiler)

    assert result.schema == {"additionalProperties": True}
    assert [str(problem) for problem in result.left_out] == [f"schema: {NO_LOOKAROUND}"]


async def test_a_reason_that_quotes_a_long_pattern_is_cut(compiler: ConstraintCompiler) -> None:
    end = "x" * 200
    pattern = rf"^([a-z]([a-z-]{{0,61}}[a-z])?\.)+[a-z]{{2,9}}({end})?$"
    long: JsonObject = {"pattern": pattern, "maxLength": 253}

    result = await found({"type": "object", "properties": {"a": long}}, compiler)

    (problem,) = result.left_out
    assert problem.keyword == "maxLength"
    assert problem.reason.endswith("…")
    assert len(problem.reason) < 200
