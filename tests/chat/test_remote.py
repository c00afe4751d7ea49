"""Turns of a model on an OpenAI-compatible server."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import anyio
import pytest
from anyio import to_thread
from chat.scripted_upstream import (
    ScriptedUpstream,
    begin_stream,
    call_chunk,
    called,
    chunk,
    said,
    send,
    usage,
)
from chat.support import make_tool, merged

from kronk_agent import Message
from kronk_agent.chat.remote import RemoteChatModel, Upstream
from kronk_agent.errors import ModelError, UpstreamError
from kronk_agent.messages import (
    Delta,
    Finish,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from kronk_agent.model import ChatRequest
from kronk_agent.testing import collect

ASK = ChatRequest(messages=(Message.user("Hello"),))
ADD = make_tool("add", properties={"a": {"type": "integer"}}, required=["a"])
NOW = make_tool("now", properties={})
COUNTED = Usage(prompt_tokens=20, completion_tokens=7, cached_tokens=16, reasoning_tokens=3)


async def deltas_of(upstream: Upstream, request: ChatRequest = ASK) -> list[Delta]:
    async with RemoteChatModel.open(upstream) as model:
        return plain(await collect(model.stream(request)))


def plain(deltas: list[Delta]) -> list[Delta]:
    """Put together, with ids by number and without times, which differ from run to run."""
    together: list[Delta] = []
    for delta in merged(deltas):
        match delta:
            case ToolCallStart(index, id, name):
                assert id.startswith("call_")
                together.append(ToolCallStart(index, f"id{index}", name))
            case Finish():
                together.append(replace(delta, timings=Timings()))
            case _:
                together.append(delta)
    return together


async def test_an_answer_arrives_as_deltas_with_its_usage(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(said("Hello", " there"))

    async with RemoteChatModel.open(scripted.upstream()) as model:
        deltas = await collect(model.stream(ASK))

    assert deltas[:2] == [TextDelta("Hello"), TextDelta(" there")]
    finish = deltas[2]
    assert isinstance(finish, Finish)
    assert finish == Finish("stop", COUNTED, finish.timings)
    assert finish.timings.ttft_seconds > 0


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_thinking_is_separated_from_the_answer(
    scripted: ScriptedUpstream, field: str
) -> None:
    scripted.will_answer(
        [chunk(**{field: "Hm"}), chunk(**{field: "m."}), *said("Yes.")],
    )

    assert await deltas_of(scripted.upstream()) == [
        ReasoningDelta("Hmm."),
        TextDelta("Yes."),
        Finish("stop", COUNTED),
    ]


async def test_calls_arrive_in_fragments_with_ids_of_our_own(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(("add", '{"a": 1}'), ("add", '{"a": 2}')))

    assert await deltas_of(scripted.upstream(), replace(ASK, tools=(ADD,))) == [
        ToolCallStart(0, "id0", "add"),
        ToolCallArguments(0, '{"a": 1}'),
        ToolCallEnd(0),
        ToolCallStart(1, "id1", "add"),
        ToolCallArguments(1, '{"a": 2}'),
        ToolCallEnd(1),
        Finish("tool_calls", COUNTED),
    ]


@pytest.mark.parametrize(
    "pieces",
    [
        # Gemini gives every call the index 0; others give none.
        [call_chunk("now", "{}", index=0, id="x"), call_chunk("now", "{}", index=0, id="y")],
        [call_chunk("now", "{}", index=None, id="x"), call_chunk("now", "{}", index=None, id="y")],
        # No arguments at all.
        [call_chunk("now", index=0), call_chunk("now", index=1)],
        # The name again with every fragment.
        [
            call_chunk("now", "{", index=0, id="x"),
            call_chunk("now", "}", index=0, id="x"),
            call_chunk("now", "{", index=1, id="y"),
            call_chunk("now", "}", index=1, id="y"),
        ],
    ],
)
async def test_calls_are_separated_however_they_are_numbered(
    scripted: ScriptedUpstream, pieces: list[dict[str, Any]]
) -> None:
    scripted.will_answer([*pieces, chunk("stop"), usage()])

    assert await deltas_of(scripted.upstream(), replace(ASK, tools=(NOW,))) == [
        ToolCallStart(0, "id0", "now"),
        ToolCallArguments(0, "{}"),
        ToolCallEnd(0),
        ToolCallStart(1, "id1", "now"),
        ToolCallArguments(1, "{}"),
        ToolCallEnd(1),
        Finish("tool_calls", COUNTED),
    ]


async def test_a_call_that_was_cut_off_is_not_complete(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(("add", '{"a": 1}'), ("add", '{"a":'), finish_reason="length"))

    deltas = await deltas_of(scripted.upstream(), replace(ASK, tools=(ADD,)))

    assert [d for d in deltas if isinstance(d, ToolCallEnd)] == [ToolCallEnd(0)]
    assert deltas[-1] == Finish("length", COUNTED)


async def test_without_parallel_calls_further_calls_are_dropped(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(called(("add", '{"a": 1}'), ("add", '{"a": 2}')))
    request = replace(ASK, tools=(ADD,), parallel_tool_calls=False)

    assert await deltas_of(scripted.upstream(), request) == [
        ToolCallStart(0, "id0", "add"),
        ToolCallArguments(0, '{"a": 1}'),
        ToolCallEnd(0),
        Finish("tool_calls", COUNTED),
    ]


async def test_closing_the_stream_disconnects(scripted: ScriptedUpstream) -> None:
    hung_up = threading.Event()

    def never_ends(handler: BaseHTTPRequestHandler) -> None:
        begin_stream(handler)
        send(handler, chunk(content="Once"))
        if handler.connection.recv(1) == b"":  # waits until the other side closes
            hung_up.set()

    scripted.will_answer(never_ends)
    async with RemoteChatModel.open(scripted.upstream()) as model:
        stream = model.stream(ASK)
        assert await anext(stream) == TextDelta("Once")
        await stream.aclose()

        assert await to_thread.run_sync(hung_up.wait, 5)


async def test_cancelling_the_reading_task_disconnects(scripted: ScriptedUpstream) -> None:
    begun, hung_up = threading.Event(), threading.Event()

    def never_says_anything(handler: BaseHTTPRequestHandler) -> None:
        begin_stream(handler)
        begun.set()
        if handler.connection.recv(1) == b"":
            hung_up.set()

    scripted.will_answer(never_says_anything)
    async with RemoteChatModel.open(scripted.upstream()) as model:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, model.stream(ASK))
            assert await to_thread.run_sync(begun.wait, 5)
            tasks.cancel_scope.cancel()

        assert await to_thread.run_sync(hung_up.wait, 5)


@pytest.mark.parametrize(
    ("type", "entry"),
    [
        ("vllm", {"id": "m", "max_model_len": 1234}),
        ("llama-server", {"id": "any.gguf", "meta": {"n_ctx": 1234, "n_ctx_train": 9999}}),
        ("compatible", {"id": "m", "context_length": 1234}),
    ],
)
async def test_the_upstream_reports_its_context_length(
    scripted: ScriptedUpstream, type: str, entry: dict[str, Any]
) -> None:
    scripted.has_models(entry)

    async with RemoteChatModel.open(scripted.upstream(type=type, context_length=None)) as model:
        assert model.info.context_length == 1234
        assert model.info.id == "m"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"id": "m"}], "does not report the context length of 'm': set context_length"),
        ([{"id": "n", "max_model_len": 1}], r"unknown model 'm'; available: 'n'"),
    ],
)
async def test_an_upstream_that_does_not_report_it_is_an_error_at_opening(
    scripted: ScriptedUpstream, entries: list[dict[str, Any]], message: str
) -> None:
    scripted.has_models(*entries)

    with pytest.raises(ModelError, match=message):
        async with RemoteChatModel.open(scripted.upstream(context_length=None)):
            pass


async def test_tokens_are_estimated_on_the_safe_side(scripted: ScriptedUpstream) -> None:
    async with RemoteChatModel.open(scripted.upstream()) as model:
        assert model.count_tokens("") == 0
        assert model.count_tokens("Hello, world!") == 5
        assert model.count_tokens("你好") == 2


# --- logprobs and stop texts -------------------------------------------------------------------


def scored(text: str, *tokens: str) -> dict[str, Any]:
    """A piece of an answer with the logprobs of tokens."""
    top = [{"token": "x", "logprob": -2.5, "bytes": [120]}]
    entries = [
        {"token": token, "logprob": -0.5, "bytes": [*token.encode()], "top_logprobs": top}
        for token in tokens
    ]
    piece = chunk(content=text)
    piece["choices"][0]["logprobs"] = {"content": entries, "refusal": None}
    return piece


async def test_the_logprobs_of_the_upstream_come_with_the_text(scripted: ScriptedUpstream) -> None:
    scripted.will_answer([scored("", "He"), scored("Hello", "llo"), *said(finish_reason="stop")])
    request = replace(ASK, logprobs=True, top_logprobs=1)

    async with RemoteChatModel.open(scripted.upstream()) as model:
        deltas = await collect(model.stream(request))

    top = (TokenLogprob("x", b"x", None, -2.5),)
    tokens = (
        TokenLogprob("He", b"He", None, -0.5, top),
        TokenLogprob("llo", b"llo", None, -0.5, top),
    )
    assert deltas[0] == TextDelta("Hello", tokens)
    body = scripted.bodies[-1]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 1)


async def test_an_upstream_that_returns_no_logprobs_is_an_error(scripted: ScriptedUpstream) -> None:
    scripted.will_answer(said("Hello"))

    with pytest.raises(UpstreamError, match="returns no logprobs: do not request them"):
        await deltas_of(scripted.upstream(), replace(ASK, logprobs=True))


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(("value", "expected"), [("END", "END"), (151645, None), (None, None)])
async def test_the_upstream_may_report_which_stop_sequence_ended_the_turn(
    scripted: ScriptedUpstream, field: str, value: str | int | None, expected: str | None
) -> None:
    last = chunk("stop")
    last["choices"][0][field] = value
    scripted.will_answer([chunk(content="Hello"), last, usage()])

    deltas = await deltas_of(scripted.upstream(), replace(ASK, stop=("END",)))

    assert deltas[-1] == Finish("stop", COUNTED, stop_sequence=expected)
