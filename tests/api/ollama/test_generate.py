"""``/api/generate``: prompts with a template, without one, and with a middle to fill in."""

from __future__ import annotations

from typing import Any

import pytest
from api.ollama.support import serving
from api.support import scripted
from inline_snapshot import snapshot

from kronk_agent import Config
from kronk_agent.messages import Message, ReasoningDelta
from kronk_agent.settings import ResponseFormat

GENERATE = "/api/generate"


async def test_a_prompt_is_answered_and_its_context_gone_on_from() -> None:
    model = scripted([ReasoningDelta("Hm."), "Hi there."], "You said hello.")
    async with serving(model) as served:
        first = await served.ollama.generate("scripted", "Hello", system="Be brief.")
        second = await served.ollama.generate("scripted", "What was it?", context=first.context)

    assert (first.response, first.thinking, first.done_reason) == ("Hi there.", "Hm.", "stop")
    assert second.response == "You said hello."
    assert [request.messages for request in model.requests] == [
        (Message.system("Be brief."), Message.user("Hello")),
        (
            Message.system("Be brief."),
            Message.user("Hello"),
            Message.assistant("Hi there."),
            Message.user("What was it?"),
        ),
    ]


async def test_a_completion_is_streamed_line_by_line() -> None:
    async with serving(scripted("Hi.")) as served:
        *lines, last = await served.lines(GENERATE, prompt="Hello")
        context = last.pop("context")

    assert [*lines, last] == snapshot(
        [
            {"model": "scripted", "created_at": "…", "response": "Hi", "done": False},
            {"model": "scripted", "created_at": "…", "response": ".", "done": False},
            {
                "model": "scripted",
                "created_at": "…",
                "response": "",
                "done": True,
                "done_reason": "stop",
                "total_duration": "…",
                "load_duration": "…",
                "prompt_eval_count": 4,
                "prompt_eval_duration": "…",
                "eval_count": 2,
                "eval_duration": "…",
            },
        ]
    )
    assert bytes(context).decode() == '[["user","Hello"],["assistant","Hi."]]'


async def test_a_form_holds_for_the_answer() -> None:
    model = scripted("{}")
    async with serving(model) as served:
        await served.whole(GENERATE, prompt="Hello", format="json", think=True)

    assert model.requests[0].response_format == ResponseFormat(type="json_object")
    assert model.requests[0].enable_thinking is True


async def test_a_raw_prompt_goes_on_as_with_llama_cpps_route(models: Config) -> None:
    asked: dict[str, Any] = {"model": "chatty", "prompt": "the quick brown", "stream": False}
    options = {"temperature": 0, "num_predict": 6}
    async with serving(config=models) as served:
        raw = await served.whole(GENERATE, **asked, raw=True, options=options, logprobs=True)
        lines = await served.lines(GENERATE, **{**asked, "stream": True}, raw=True, options=options)
        theirs = await served.server.post(
            "/completion", prompt=asked["prompt"], temperature=0, n_predict=6
        )
        formed = await served.whole(GENERATE, **asked, raw=True, format={"enum": ["yes", "no"]})

    assert raw["response"] == "".join(line["response"] for line in lines)
    assert raw["response"] == theirs.json()["content"]
    assert (raw["done_reason"], raw["eval_count"], "context" in raw) == ("length", 6, False)
    assert len(raw["logprobs"]) == 6
    assert formed["response"] in ('"yes"', '"no"')


async def test_a_middle_is_filled_in_before_the_suffix(models: Config) -> None:
    asked: dict[str, Any] = {"prompt": "def f(", "suffix": "return x", "stream": False}
    options = {"temperature": 0, "num_predict": 4}
    async with serving(config=models) as served:
        answer = await served.whole(GENERATE, model="fim:latest", **asked, options=options)
        theirs = await served.server.post(
            "/infill",
            model="fim",
            input_prefix="def f(",
            input_suffix="return x",
            temperature=0,
            n_predict=4,
        )
        refused = await served.refusal(GENERATE, model="chatty", **asked)

    assert answer["response"] == theirs.json()["content"]
    assert refused == (400, "model 'chatty' cannot fill in the middle; models that can: fim")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"template": "{{ .Prompt }}"},
            "template: Go templates are not supported: leave it out, or send the whole prompt "
            "with raw",
        ),
        ({"context": [1, 2, 300]}, "context: must be the context of an earlier answer"),
        ({"context": [91, 93, 93]}, "context: must be the context of an earlier answer"),
        ({"raw": True}, "model 'scripted' is not a local file, which this operation requires"),
    ],
    ids=["a template", "tokens", "no JSON", "raw, on a server"],
)
async def test_what_cannot_be_done_is_refused(body: dict[str, Any], words: str) -> None:
    async with serving(scripted()) as served:
        status, said = await served.refusal(GENERATE, prompt="Hello", **body)

    assert (status, said[: len(words)]) == (400, words)
