"""A response to one request: what it holds, and how it is streamed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from api.responses.support import ask, refusal, send, short, steady, stream
from api.support import running, scripted
from inline_snapshot import snapshot
from openai import BadRequestError, NotFoundError
from pydantic import BaseModel

from kronk_agent.errors import EngineError, OverloadedError
from kronk_agent.messages import ImagePart, Message, ReasoningDelta, TextPart
from kronk_agent.settings import ResponseFormat
from kronk_agent.testing import ScriptedModel

THOUGHTFUL: Any = [ReasoningDelta("One and two."), "It is 3."]


class Sum(BaseModel):
    value: int


async def test_the_official_client_reads_an_answer() -> None:
    async with running(scripted(THOUGHTFUL)) as server:
        response = await server.openai.responses.create(
            model="scripted", input="1 + 2?", instructions="Add.", metadata={"topic": "sums"}
        )

    assert (response.status, response.output_text) == ("completed", "It is 3.")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.instructions == "Add."
    assert response.metadata == {"topic": "sums"}
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 4
    assert response.usage.total_tokens == response.usage.input_tokens + 8


async def test_the_official_client_reads_a_stream() -> None:
    async with (
        running(scripted(THOUGHTFUL)) as server,
        server.openai.responses.stream(model="scripted", input="1 + 2?") as streamed,
    ):
        text = ""
        async for event in streamed:
            if event.type == "response.output_text.delta":
                text += event.delta
                assert event.snapshot == text
        final = await streamed.get_final_response()

    assert text == final.output_text == "It is 3."


async def test_the_official_client_parses_an_answer_with_a_form() -> None:
    model = scripted('{"value": 3}')
    async with running(model) as server:
        response = await server.openai.responses.parse(
            model="scripted", input="1 + 2?", text_format=Sum
        )

    assert response.output_parsed == Sum(value=3)
    assert model.requests[0].response_format.type == "json_schema"
    assert model.requests[0].response_format.strict


async def test_a_whole_response() -> None:
    async with running(scripted("Hi.")) as server:
        response = await ask(server, temperature=0, tools=[])

    assert steady(response) == snapshot(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": "…",
            "status": "completed",
            "background": False,
            "completed_at": "…",
            "conversation": None,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "max_tool_calls": None,
            "metadata": {},
            "model": "scripted",
            "output": [
                {
                    "id": "msg_1",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}
                    ],
                }
            ],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": True,
            "temperature": 0.0,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 0.95,
            "truncation": "disabled",
            "usage": {
                "input_tokens": 4,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 4},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 6,
            },
            "user": None,
        }
    )


async def test_a_whole_stream() -> None:
    async with running(scripted([ReasoningDelta("Hm."), "Hi."])) as server:
        streamed = await stream(server)

    for event in streamed:
        if "response" in event:  # the whole of it is another test's
            event["response"] = {key: event["response"][key] for key in ("id", "status", "output")}
    assert steady(streamed) == snapshot(
        [
            {
                "type": "response.created",
                "sequence_number": 0,
                "response": {"id": "resp_1", "status": "in_progress", "output": []},
            },
            {
                "type": "response.in_progress",
                "sequence_number": 1,
                "response": {"id": "resp_1", "status": "in_progress", "output": []},
            },
            {
                "type": "response.output_item.added",
                "sequence_number": 2,
                "output_index": 0,
                "item": {
                    "id": "rs_1",
                    "type": "reasoning",
                    "status": "in_progress",
                    "summary": [],
                    "content": [],
                },
            },
            {
                "type": "response.content_part.added",
                "sequence_number": 3,
                "item_id": "rs_1",
                "output_index": 0,
                "content_index": 0,
                "part": {"type": "reasoning_text", "text": ""},
            },
            {
                "type": "response.reasoning_text.delta",
                "sequence_number": 4,
                "item_id": "rs_1",
                "output_index": 0,
                "content_index": 0,
                "delta": "Hm",
            },
            {
                "type": "response.reasoning_text.delta",
                "sequence_number": 5,
                "item_id": "rs_1",
                "output_index": 0,
                "content_index": 0,
                "delta": ".",
            },
            {
                "type": "response.reasoning_text.done",
                "sequence_number": 6,
                "item_id": "rs_1",
                "output_index": 0,
                "content_index": 0,
                "text": "Hm.",
            },
            {
                "type": "response.content_part.done",
                "sequence_number": 7,
                "item_id": "rs_1",
                "output_index": 0,
                "content_index": 0,
                "part": {"type": "reasoning_text", "text": "Hm."},
            },
            {
                "type": "response.output_item.done",
                "sequence_number": 8,
                "output_index": 0,
                "item": {
                    "id": "rs_1",
                    "type": "reasoning",
                    "status": "completed",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "Hm."}],
                },
            },
            {
                "type": "response.output_item.added",
                "sequence_number": 9,
                "output_index": 1,
                "item": {
                    "id": "msg_1",
                    "type": "message",
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                },
            },
            {
                "type": "response.content_part.added",
                "sequence_number": 10,
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
            },
            {
                "type": "response.output_text.delta",
                "sequence_number": 11,
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "delta": "Hi",
                "logprobs": [],
            },
            {
                "type": "response.output_text.delta",
                "sequence_number": 12,
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "delta": ".",
                "logprobs": [],
            },
            {
                "type": "response.output_text.done",
                "sequence_number": 13,
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "text": "Hi.",
                "logprobs": [],
            },
            {
                "type": "response.content_part.done",
                "sequence_number": 14,
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "part": {"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []},
            },
            {
                "type": "response.output_item.done",
                "sequence_number": 15,
                "output_index": 1,
                "item": {
                    "id": "msg_1",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}
                    ],
                },
            },
            {
                "type": "response.completed",
                "sequence_number": 16,
                "response": {
                    "id": "resp_1",
                    "status": "completed",
                    "output": [
                        {
                            "id": "rs_1",
                            "type": "reasoning",
                            "status": "completed",
                            "summary": [],
                            "content": [{"type": "reasoning_text", "text": "Hm."}],
                        },
                        {
                            "id": "msg_1",
                            "type": "message",
                            "status": "completed",
                            "role": "assistant",
                            "content": [
                                {
                                    "type": "output_text",
                                    "text": "Hi.",
                                    "annotations": [],
                                    "logprobs": [],
                                }
                            ],
                        },
                    ],
                },
            },
        ]
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reasoning": {"summary": "auto", "effort": "low"}},
        {"include": ["reasoning.encrypted_content"], "store": False},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"max_output_tokens": 6},
        {"stream_options": {"include_obfuscation": True}},
    ],
)
async def test_a_stream_ends_with_what_is_not_streamed(body: dict[str, Any]) -> None:
    plain = {key: value for key, value in body.items() if key != "stream_options"}
    async with running(scripted(THOUGHTFUL, THOUGHTFUL)) as server:
        whole = await ask(server, **plain)
        streamed = await stream(server, **body)

    last = streamed[-1]
    assert last["type"] == f"response.{whole['status']}"
    assert steady(last["response"]) == steady(whole)
    done = [event["item"] for event in streamed if event["type"] == "response.output_item.done"]
    assert done == last["response"]["output"]


async def test_thinking_is_content_or_if_asked_for_a_summary() -> None:
    async with running(scripted(*[THOUGHTFUL] * 3)) as server:
        content = await ask(server)
        summary = await ask(server, reasoning={"summary": "auto"})
        order = [short(event) for event in await stream(server, reasoning={"summary": "auto"})]

    assert steady(content["output"][0]) == {
        "id": "rs_1",
        "type": "reasoning",
        "status": "completed",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "One and two."}],
    }
    assert steady(summary["output"][0]) == {
        "id": "rs_1",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": "One and two."}],
    }
    assert order == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "reasoning_summary_part.added 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.delta 0",
            "reasoning_summary_text.done 0",
            "reasoning_summary_part.done 0",
            "output_item.done 0",
            "output_item.added 1",
            "content_part.added 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.delta 1",
            "output_text.done 1",
            "content_part.done 1",
            "output_item.done 1",
            "completed",
        ]
    )


async def test_thinking_comes_back_from_clients_that_keep_everything_themselves() -> None:
    model = scripted(THOUGHTFUL, "It was 3.", "It was 3.")
    async with running(model) as server:
        first = await ask(server, store=False, include=["reasoning.encrypted_content"])
        thought, said = first["output"]
        asked = {"role": "user", "content": "Again?"}
        packed = {**thought, "content": None}  # as Codex sends it
        await ask(server, store=False, input=[packed, said, asked])
        await ask(server, store=False, input=[thought, said, asked])

    turn = Message("assistant", (TextPart("It is 3."),), reasoning="One and two.")
    for request in model.requests[1:]:
        assert request.messages == (turn, Message.user("Again?"))


async def test_thinking_that_another_server_packed_is_refused_by_name() -> None:
    async with running(scripted()) as server:
        item = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABo"}
        refused = await refusal(server, input=[item, {"role": "user", "content": "Go on"}])

    assert refused == (
        400,
        "input.0.encrypted_content: not written by this server: leave out the field or the item",
        "input.0.encrypted_content",
    )


async def test_what_the_client_says_becomes_messages() -> None:
    model = scripted("Yes.")
    model.info = replace(model.info, capabilities=model.info.capabilities | {"image"})
    image = "data:image/png;base64,iVBORw0KGgo="
    content = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": image, "detail": "auto"},
    ]
    async with running(model) as server:
        await ask(
            server,
            instructions="Be brief.",
            input=[
                {"type": "message", "role": "developer", "content": "Say yes."},
                {"role": "user", "content": content},
                {"role": "assistant", "content": [{"type": "output_text", "text": "I do."}]},
                {"role": "user", "content": "And?"},
            ],
        )

    assert model.requests[0].messages == (
        Message.system("Be brief.\n\nSay yes."),
        Message("user", (TextPart("Look"), ImagePart(b"\x89PNG\r\n\x1a\n", "image/png"))),
        Message.assistant("I do."),
        Message.user("And?"),
    )


async def test_the_model_is_asked_with_what_the_request_says() -> None:
    model = scripted("Yes.")
    async with running(model) as server:
        await ask(
            server,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            min_p=0.1,
            max_output_tokens=50,
            parallel_tool_calls=False,
            reasoning={"effort": "high"},
            reasoning_budget=20,
            text={"format": {"type": "regex", "pattern": "Yes.|No."}, "verbosity": "medium"},
            chat_template_kwargs={"style": "plain"},
        )

    (request,) = model.requests
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.min_p) == (
        0.5,
        0.9,
        7,
        0.1,
    )
    assert request.max_tokens == 50
    assert not request.parallel_tool_calls
    assert (request.reasoning_effort, request.reasoning_budget) == ("high", 20)
    assert request.response_format == ResponseFormat(type="regex", pattern="Yes.|No.")
    assert request.chat_template_kwargs == {"style": "plain"}


async def test_logprobs_come_with_the_text() -> None:
    async with running(scripted("Hi.")) as server:
        response = await ask(
            server, include=["message.output_text.logprobs"], top_logprobs=2, store=False
        )

    (part,) = response["output"][0]["content"]
    assert part["logprobs"][0] == snapshot(
        {
            "token": "Hi",
            "bytes": [72, 105],
            "logprob": -0.5,
            "top_logprobs": [
                {"token": "Hi", "bytes": [72, 105], "logprob": -0.5},
                {"token": "other_1", "bytes": [111, 116, 104, 101, 114, 95, 49], "logprob": -1.5},
            ],
        }
    )


async def test_an_answer_that_is_cut_off_is_incomplete() -> None:
    async with running(scripted("One two three four five.")) as server:
        response = await ask(server, max_output_tokens=3)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["text"] == "One two three"


async def test_padding_hides_how_long_deltas_are() -> None:
    async with running(scripted("Hi.")) as server:
        streamed = await stream(server, stream_options={"include_obfuscation": True})

    padded = {event["type"] for event in streamed if "obfuscation" in event}
    assert padded == {"response.output_text.delta"}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("failure", "status"),
    [(EngineError("it broke"), 500), (OverloadedError("full", retry_after_seconds=2), 503)],
)
async def test_a_failure_before_the_first_word_is_an_http_status_and_leaves_nothing(
    failure: Exception, status: int, stream: bool
) -> None:
    async with running(scripted(failure)) as server:
        answer = await send(server, stream=stream)
        store = await server.runtime.sessions()
        kept = await store.purge(before=1e12)

    assert answer.status_code == status
    assert answer.json()["error"]["message"] == str(failure)
    assert kept == 0


async def test_a_failure_in_the_middle_is_told_in_the_stream_and_kept() -> None:
    async with running(scripted(["Well, ", EngineError("it broke")])) as server:
        streamed = await stream(server)
        kept = await server.openai.responses.retrieve(streamed[0]["response"]["id"])

    last = streamed[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "server_error", "message": "it broke"}
    assert last["response"]["output"][0]["content"][0]["text"] == "Well, "
    assert kept.to_dict() == last["response"]


async def test_truncation_leaves_out_the_oldest_turns() -> None:
    model = ScriptedModel(["Never.", "Short."], context_length=40)
    long = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one two three four five six seven eight nine ten " * 3},
        {"role": "assistant", "content": "Yes, I see."},
        {"role": "user", "content": "And now?"},
    ]
    async with running(model) as server:
        refused = await refusal(server, input=long)
        response = await ask(server, input=long, truncation="auto")

    assert refused[0] == 400
    assert response["output"][0]["content"][0]["text"] == "Short."
    assert model.requests[-1].messages == (Message.system("Be brief."), Message.user("And now?"))


async def test_the_tokens_of_a_prompt_are_counted_without_answering() -> None:
    model = scripted("Hi.")
    async with running(model) as server:
        counted = await server.openai.responses.input_tokens.count(
            model="scripted", input="Hello", instructions="Be brief."
        )
        response = await ask(server, instructions="Be brief.")

    assert counted.input_tokens == response["usage"]["input_tokens"]
    assert len(model.requests) == 1


async def test_a_conversation_is_compacted_to_what_was_asked_and_a_summary() -> None:
    model = scripted("They said hello; nothing is open.", "Hi again.")
    said: list[Any] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi. What can I do for you?"},
    ]
    async with running(model) as server:
        compacted = await server.openai.responses.compact(model="scripted", input=said)
        output = json.loads(compacted.to_json(warnings=False))["output"]
        await ask(server, input=[*output, {"role": "user", "content": "Go on."}])

    assert [item["type"] for item in output] == ["message", "compaction"]
    assert compacted.usage.output_tokens == 9
    assert model.requests[1].messages == (
        Message.user("Hello"),
        Message.system("Summary of the conversation so far:\nThey said hello; nothing is open."),
        Message.user("Go on."),
    )


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"input": []}, "input: must not be empty", "input"),
    ({"input": None}, "input: must not be empty", "input"),
    (
        {"input": [{"type": "computer_call", "id": "x"}]},
        "input.0: unknown item type; supported: messages, reasoning, compaction, references, calls "
        "and their outputs",
        "input.0",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "call_9", "output": "3"}]},
        "input.0.call_id: no earlier call 'call_9' in the input",
        "input.0.call_id",
    ),
    (
        {
            "input": [
                {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
                {"role": "user", "content": "Well?"},
            ]
        },
        "input: call 'c' of add has no output: add a function_call_output, or an "
        "mcp_approval_response for an MCP tool",
        "input",
    ),
    (
        {"input": [{"type": "mcp_approval_response", "approval_request_id": "m", "approve": True}]},
        "input.0.approval_request_id: no call is waiting for approval 'm'",
        "input.0.approval_request_id",
    ),
    (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}
            ]
        },
        "input.0.content.0.image_url: must be a data:image/…;base64,… URL; images are not fetched",
        "input.0.content.0.image_url",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input.0.content.0.file_id: not supported here: files are not supported: put the "
        "image in image_url",
        "input.0.content.0.file_id",
    ),
    ({"frobnicate": 1}, "frobnicate: not supported here: leave it out", "frobnicate"),
    (
        {"prompt": {"id": "p"}},
        "prompt: not supported here: send its text as instructions and input",
        "prompt",
    ),
    (
        {"stream_options": {"include_obfuscation": True}},
        "stream_options needs stream: true",
        "stream_options",
    ),
    (
        {"background": True, "store": False},
        "background needs store: true: the response is retrieved later",
        "background",
    ),
    (
        {"conversation": "conv_1", "previous_response_id": "resp_1"},
        "conversation cannot be combined with previous_response_id",
        "conversation",
    ),
    (
        {"previous_response_id": "resp_1"},
        "previous_response_id: response 'resp_1', or an earlier one it continues, does not exist",
        "previous_response_id",
    ),
    (
        {"temperature": 1000},
        "temperature must be from 0 to 100, not 1000.0",
        "temperature",
    ),
    (
        {"tool_choice": {"type": "function", "name": "nothing"}},
        "tool_choice names the unknown tool 'nothing'; available: none",
        "tool_choice",
    ),
    (
        {"tool_choice": {"type": "web_search_preview"}},
        "tool_choice: 'web_search' is not among the tools",
        "tool_choice",
    ),
    (
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "http://x"}]},
        "tools.0.server_url: connecting to this URL is not allowed: add it to "
        "server.allow_server_urls in the server's YAML",
        "tools.0.server_url",
    ),
    (
        {"tools": [{"type": "function", "name": "a b", "parameters": {}}]},
        "tools.0: a tool's name must be 1-128 of A-Z a-z 0-9 _ -, got 'a b'",
        "tools.0",
    ),
]


async def test_what_cannot_work_is_refused_by_name_streamed_or_not() -> None:
    async with running(scripted()) as server:
        for body, words, param in REFUSED:
            for stream in (False, True) if "stream_options" not in body else (False,):
                refused = await refusal(server, **body, stream=stream)
                assert refused == (400, words, param)


async def test_half_a_character_is_refused() -> None:
    async with running(scripted()) as server:
        answer = await server.http.post(
            "/v1/responses",
            content=r'{"model": "scripted", "input": "x", "user": "\ud83c"}',
            headers={"content-type": "application/json"},
        )

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        r"the body contains an unpaired surrogate: '\ud83c'"
    )


async def test_the_official_client_raises_what_it_knows() -> None:
    async with running(scripted()) as server:
        with pytest.raises(NotFoundError, match="unknown model 'gpt-6'"):
            await server.openai.responses.create(model="gpt-6", input="Hello")
        with pytest.raises(BadRequestError, match="previous_response_id"):
            await server.openai.responses.create(
                model="scripted", input="Hello", previous_response_id="resp_1"
            )
