"""Against canitoolcall: what models of nine families wrote, and how it is to be read.

Its fixtures come with the chat template's name, not with the template: those we have beside the
project are used, and small ones in their manner (published.py) for the others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from canitoolcall import checks
from canitoolcall.fixtures import Fixture, load_fixtures
from canitoolcall.pytest_plugin import family_for
from canitoolcall.results import Observation, ParsedToolCall, ParseResult, Status
from chat import published
from chat.support import make_tool

from kronk_agent.chat.dialects import Dialect, dialect_for
from kronk_agent.chat.templates.chat_template import ChatTemplate
from kronk_agent.messages import (
    Delta,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatRequest
from kronk_agent.tools import Tool

BESIDE: Final = {
    "DeepSeek-V3-0324": "llama-cpp-deepseek-r1",
    "DeepSeek-V3.2": "deepseek-ai-DeepSeek-V3.2",
    "DeepSeek-V4-Flash": "deepseek-ai-DeepSeek-V4",
    "GLM-4.5": "GLM-4.6",
    "Kimi-K3": "Kimi-K3",
    "Kimi-K2.6": "Kimi-K2-Thinking",
    "Kimi-K2-Instruct-0905": "Kimi-K2-Thinking",
    "Llama-3.3-70B-Instruct": "meta-llama-Llama-3.3-70B-Instruct",
    "Mistral-7B-Instruct-v0.3": "mistralai-Mistral-Nemo-Instruct-2407",
    "Mistral-Small-3.2-24B-Instruct-2506": "Mistral-Small-3.2-24B-Instruct-2506",
    "Devstral-Small-2507": "Mistral-Small-3.2-24B-Instruct-2506",
    "Ministral-3-14B-Reasoning-2512": "mistralai-Ministral-3-14B-Reasoning-2512",
    "Ministral-3-14B-Instruct-2512": "mistralai-Ministral-3-14B-Reasoning-2512",
    "Magistral-Small-2509": "mistralai-Ministral-3-14B-Reasoning-2512",
    "Qwen3.8-27B": "Qwen3.5-4B",
    "Qwen3.5-9B": "Qwen3.5-4B",
    "Qwen3-Coder-30B-A3B-Instruct": "Qwen3-Coder",
    "Qwen3-Coder-Next": "Qwen3-Coder",
    "gpt-oss-20b": "openai-gpt-oss-120b",
    "gpt-oss-120b": "openai-gpt-oss-120b",
    "gemma-4-31B-it": "google-gemma-4-31B-it",
}
"""Templates beside the project, by the fixtures' model."""
OURS: Final = {
    "DeepSeek-V3.1": published.DEEPSEEK_V3_1,
    "DeepSeek-V4.1-Flash": published.DEEPSEEK_V4_1,
    "GLM-4.7": published.GLM_4_7,
    "GLM-5.3": published.GLM_4_7,
    "Llama-4-Scout-17B-16E-Instruct": published.LLAMA_4,
    "Magistral-Small-2506": published.MAGISTRAL_2506,
    "Qwen3-0.6B": published.QWEN3,
    "Qwen3-4B-Instruct-2507": published.QWEN3,
    "Qwen3-4B-Thinking-2507": published.QWEN3,
}
"""Templates in the manner of published ones."""
NOT_STRICT: Final = {
    # Blanks: a turn keeps those the template does not write itself, and thoughts keep none.
    "gemma4/vllm-text-before-call",
    "glm/glm45-vllm-newline-format-content-before",
    "kimi/k3-bug-truncated-reasoning-recorded",
    "qwen3-hermes/sglang-text-before-call-with-space",
    "qwen3-xml/llamacpp-q35-reasoning-content-call",
    "qwen3-xml/vllm-coder-missing-close-parameter",
    # A list whose second call is cut off has a first one that is complete.
    "llama/l4-truncated-missing-close-bracket",
}
"""Fixtures that do not pass strictly; all but the last differ in blanks only."""

FIXTURES = load_fixtures(None)
FAMILIES = sorted({fixture.family for fixture in FIXTURES})


@cache
def load(data: Path, model: str) -> Dialect:
    name = model.rpartition("/")[2]
    source = OURS.get(name)
    if source is None:
        source = (data / "templates" / f"{BESIDE[name]}.jinja").read_text(encoding="utf-8")
    return dialect_for(ChatTemplate({"default": source}), {})


def tools_of(fixture: Fixture) -> tuple[Tool, ...]:
    functions = [tool.get("function", tool) for tool in fixture.tools]
    return tuple(
        make_tool(
            our_name(function["name"]),
            **{k: v for k, v in (function.get("parameters") or {}).items() if k != "type"},
        )
        for function in functions
    )


def our_name(name: str) -> str:
    """A dot is not in a name we allow."""
    return name.replace(".", "_")


def read(data: Path, fixture: Fixture, chunks: Sequence[str]) -> ParseResult:
    request = ChatRequest(messages=(Message.user("x"),), tools=tools_of(fixture))
    turn = load(data, fixture.models[0]).start_turn(opening_of(fixture), request)
    deltas = [delta for chunk in chunks for delta in turn.parser.push(chunk)]
    return result_of([*deltas, *turn.parser.finish(is_cut="truncated" in fixture.tags)])


def opening_of(fixture: Fixture) -> str:
    """The generation prompt that starts the fixture's turn."""
    if fixture.family == "mistral":
        return ""  # it is the user's turn that ends with [/INST]
    family = family_for(fixture)
    assert family is not None
    defaults = {model.repo: model.default_generation_prompt for model in family.reference_models}
    given = fixture.generation_prompt
    return (defaults.get(fixture.models[0]) or "") if given is None else given


def result_of(deltas: Sequence[Delta]) -> ParseResult:
    """Deltas as the checks want them; a call is one once it is complete."""
    calls: dict[int, list[str]] = {}
    complete: list[int] = []
    for delta in deltas:
        match delta:
            case ToolCallStart(index, _, name):
                calls[index] = [name, ""]
            case ToolCallArguments(index, fragment):
                calls[index][1] += fragment
            case ToolCallEnd(index):
                complete.append(index)
            case _:
                pass
    return ParseResult(
        content="".join(d.text for d in deltas if isinstance(d, TextDelta)) or None,
        reasoning_content="".join(d.text for d in deltas if isinstance(d, ReasoningDelta)) or None,
        tool_calls=tuple(ParsedToolCall(*calls[index]) for index in complete),
    )


def is_dotted(fixture: Fixture) -> bool:
    return any("." in tool.get("function", tool)["name"] for tool in fixture.tools)


@pytest.mark.parametrize("family", FAMILIES)
def test_model_output_is_parsed_as_expected(family: str, golden_data: Path) -> None:
    statuses: Counter[Status] = Counter()
    for fixture in FIXTURES:
        if fixture.family != family or is_dotted(fixture):
            continue
        text = fixture.raw_output
        source = random.Random(1)
        cuts = sorted(source.randrange(len(text) + 1) for _ in range(len(text) // 4))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        streams = {
            "one": read(golden_data, fixture, [text]),
            # Finer than tokens are.
            "token": read(golden_data, fixture, list(text)),
            "rand:1:8": read(golden_data, fixture, pieces),
        }
        whole = read(golden_data, fixture, [text])
        assert all(streamed == whole for streamed in streams.values()), fixture.id
        observed = Observation(nonstream=whole, streams=streams)
        rows = checks.run_checks(fixture, family_for(fixture), observed)
        status = checks.case_status(rows)
        failed = [row for row in rows if row.status is not Status.PASS]
        assert (status is Status.PASS) is (fixture.id not in NOT_STRICT), (fixture.id, failed)
        statuses[status] += 1
    assert statuses[Status.PASS] >= 30
