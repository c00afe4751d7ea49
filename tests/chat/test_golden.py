"""Against what llama.cpp makes of chat templates as their makers published them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from chat.support import arguments_of, make_tool, parse

from kronk_agent.chat.dialects import dialect_for
from kronk_agent.chat.dialects.call_format import HERMES
from kronk_agent.chat.template import ChatTemplate
from kronk_agent.messages import Message, TextDelta, TextPart, ToolCall, ToolCallStart
from kronk_agent.tool import Tool

RECORDED_ON = date(2026, 11, 22)
OURS = ["NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "ibm-granite-granite-4.0"]
"""Templates of the hermes dialect."""
THINK_WHEN_ASKED = {
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-ai-DeepSeek-V3.2",
    "deepseek-ai-DeepSeek-V4",
    "google-gemma-4-31B-it",
}
"""Templates that think only if a variable says so, which llama.cpp sets and we do not yet."""


def cases(data: Path, template: str | None = None) -> Iterator[dict[str, Any]]:
    for line in (data / "chat_golden.jsonl").read_text().splitlines():
        case = json.loads(line)
        if template in (None, case["template"]):
            yield case


def is_supported(case: dict[str, Any]) -> bool:
    """Not yet: going on with an answer, switching thinking, Firefunction's own variables."""
    params = case["params"]
    return not (
        params["continue_final_message"]
        or not params["enable_thinking"]
        or case["template"] in THINK_WHEN_ASKED
        or case["template"] == "fireworks-ai-llama-3-firefunction-v2"
        or any("." in tool["name"] for tool in params["tools"])  # not a name we allow
    )


def load_template(data: Path, name: str) -> ChatTemplate:
    return ChatTemplate({"default": (data / "templates" / f"{name}.jinja").read_text()})


def message_of(value: dict[str, Any]) -> Message:
    return Message(
        role=value["role"],
        content=(TextPart(value["content"]),) if value["content"] else (),
        reasoning=value["reasoning_content"],
        tool_calls=tuple(
            ToolCall(call["id"], call["name"], call["arguments"]) for call in value["tool_calls"]
        ),
        tool_call_id=value["tool_call_id"] or None,
        name=value["tool_name"] or None,
    )


def tool_of(value: dict[str, Any]) -> Tool:
    parameters = value["parameters"]
    schema = json.loads(parameters) if isinstance(parameters, str) else parameters
    del schema["type"]
    return make_tool(value["name"], value["description"], **schema)


def test_prompts_are_llama_cpps_byte_for_byte(golden_data: Path) -> None:
    supported = [case for case in cases(golden_data) if is_supported(case)]
    templates = {
        name: load_template(golden_data, name) for name in {c["template"] for c in supported}
    }

    different = []
    for case in supported:
        params = case["params"]
        prompt = templates[case["template"]].render(
            [message_of(message) for message in params["messages"]],
            [tool_of(tool) for tool in params["tools"]],
            add_generation_prompt=params["add_generation_prompt"],
        )
        expected = case["applied"]["prompt"]
        for form in ("%d %b %Y", "%B %d, %Y", "%Y-%m-%d"):
            expected = expected.replace(f"{RECORDED_ON:{form}}", f"{date.today():{form}}")
        if prompt.text != expected:
            different.append((case["template"], prompt.text, expected))

    assert different == []
    assert (len(supported), len(templates)) == (169, 25)


@pytest.mark.parametrize("name", OURS)
def test_hermes_templates_are_known_and_what_their_models_write_is_read(
    name: str, golden_data: Path
) -> None:
    assert dialect_for(load_template(golden_data, name), {}).name == "hermes"
    for case in cases(golden_data, name):
        if not is_supported(case):
            continue
        text, expected = case["input"], case["expect"]
        for split in range(len(text) + 1):
            deltas = parse([text[:split], text[split:]], HERMES)
            said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
            called = [delta.name for delta in deltas if isinstance(delta, ToolCallStart)]
            assert said == expected["content"]
            assert called == [call["name"] for call in expected["tool_calls"]]
            assert arguments_of(deltas) == [
                json.loads(call["arguments"]) for call in expected["tool_calls"]
            ]
