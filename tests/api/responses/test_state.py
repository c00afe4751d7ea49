"""What is kept of responses and conversations, and responses in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from api.responses.support import WEATHER, ask, events, refusal, short, steady, stream
from api.support import Server, running, scripted
from limits import seconds
from openai import BadRequestError, NotFoundError

from kronk_agent import Config
from kronk_agent.api.protocols.openai_responses.items.opaque import unpack
from kronk_agent.config.schema.config import (
    SearchProviderConfig,
    SearchResultConfig,
    SessionsConfig,
    WebSearchConfig,
)
from kronk_agent.errors import EngineError
from kronk_agent.messages import Message, ReasoningDelta, TextPart, ToolCall
from kronk_agent.sessions import StoredResponse
from kronk_agent.testing import call


def in_file(folder: Path) -> Config:
    url = f"sqlite:///{folder / 'sessions.db'}"
    return Config(tools=(), sessions=SessionsConfig(url=url))


async def get(server: Server, path: str, **params: Any) -> Any:
    answer = await server.http.get(f"/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- responses ---------------------------------------------------------------------------------


async def test_a_reference_names_an_item_of_a_response_or_conversation(tmp_path: Path) -> None:
    model = scripted([ReasoningDelta("Hm."), "Hi."], call("weather", place="Oslo"), "Sunny.")
    async with running(model, config=in_file(tmp_path)) as server:
        first = await ask(server)
        given = (await get(server, f"responses/{first['id']}/input_items"))["data"]
        note = {"type": "message", "role": "user", "content": "I am in Oslo."}
        talk = (await server.post("/v1/conversations", items=[note])).json()
        noted = (await get(server, f"conversations/{talk['id']}/items"))["data"]
        names = [*reference(given), *reference(first["output"]), *reference(noted)]
        second = await ask(server, input=names, tools=[WEATHER])
        (made,) = second["output"]
        result = {
            "type": "function_call_output",
            "call_id": made["call_id"],
            "output": "Sun.",
        }
        bare = [{"id": name["id"]} for name in [*names, *reference([made])]]
        third = await ask(server, input=[*bare, result], tools=[WEATHER], store=False)
        kept = (await get(server, f"responses/{second['id']}/input_items", order="asc"))["data"]

    assert model.requests[2].messages == (
        Message.user("Hello"),
        Message("assistant", (TextPart("Hi."),), "Hm."),
        Message.user("I am in Oslo."),
        Message.assistant("", (ToolCall(made["call_id"], "weather", made["arguments"]),)),
        Message("tool", (TextPart("Sun."),), tool_call_id=made["call_id"], name="weather"),
    )
    assert [item["type"] for item in kept] == ["message", "reasoning", "message", "message"]
    assert third["output"][0]["content"][0]["text"] == "Sunny."


async def test_a_reference_to_an_item_that_is_not_stored_is_not_found() -> None:
    async with running(scripted("Hi.")) as server:
        made = await ask(server, store=False)
        (name,) = reference(made["output"])
        refused = [
            await refusal(server, input=[name]),
            await refusal(server, input=[{"type": "item_reference", "id": "msg_%"}]),
        ]

    hint = "Only items of responses with store: true and of conversations are stored."
    assert refused == [
        (404, f"Item with id '{id}' not found. {hint}", "input") for id in (name["id"], "msg_%")
    ]


def reference(items: list[Any]) -> list[dict[str, str]]:
    return [{"type": "item_reference", "id": item["id"]} for item in items]


async def test_a_response_goes_on_from_an_earlier_one_also_after_a_restart(tmp_path: Path) -> None:
    model = scripted("Hi.", "You said hello.", "Twice.")
    async with running(model, config=in_file(tmp_path)) as server:
        first = await ask(server, instructions="Be brief.")
        second = await ask(server, input="What?", previous_response_id=first["id"])
    async with running(model, config=in_file(tmp_path)) as server:
        third = await ask(server, input="Sure?", previous_response_id=second["id"])
        again = await server.openai.responses.retrieve(first["id"])

    assert model.requests[2].messages == (
        Message.user("Hello"),
        Message.assistant("Hi."),
        Message.user("What?"),
        Message.assistant("You said hello."),
        Message.user("Sure?"),
    )
    assert third["previous_response_id"] == second["id"]
    assert again.to_dict() == first


async def test_a_response_that_is_not_stored_leaves_nothing() -> None:
    async with running(scripted("Hi.")) as server:
        response = await ask(server, store=False)
        with pytest.raises(NotFoundError, match="unknown response"):
            await server.openai.responses.retrieve(response["id"])
        with pytest.raises(BadRequestError, match="does not exist"):
            await server.openai.responses.create(
                model="scripted", input="And?", previous_response_id=response["id"]
            )


async def test_a_deleted_response_is_gone() -> None:
    async with running(scripted("Hi.")) as server:
        response = await ask(server)
        await server.openai.responses.delete(response["id"])
        with pytest.raises(NotFoundError):
            await server.openai.responses.retrieve(response["id"])
        with pytest.raises(NotFoundError):
            await server.openai.responses.delete(response["id"])


async def test_the_items_of_a_request_are_listed_a_page_at_a_time() -> None:
    said = [{"role": "user", "content": str(number)} for number in range(5)]
    async with running(scripted("Hi.")) as server:
        response = await ask(server, input=said)
        items = server.openai.responses.input_items
        newest = [item async for item in items.list(response["id"], limit=2)]
        oldest = await get(server, f"responses/{response['id']}/input_items", limit=2, order="asc")

    texts = [item.to_dict()["content"][0]["text"] for item in newest]  # type: ignore[index]
    assert texts == ["4", "3", "2", "1", "0"]
    assert steady(oldest) == {
        "object": "list",
        "data": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
                "id": f"msg_{number}",
                "status": "completed",
            }
            for number, text in ((1, "0"), (2, "1"))
        ],
        "first_id": "msg_1",
        "last_id": "msg_2",
        "has_more": True,
    }


async def test_a_response_that_failed_is_not_gone_on_from() -> None:
    async with running(scripted(["Well", EngineError("it broke")])) as server:
        failed = (await stream(server))[-1]["response"]
        refused = await refusal(server, previous_response_id=failed["id"])

    assert refused == (
        400,
        f"previous_response_id: response {failed['id']!r} is failed and cannot be continued",
        "previous_response_id",
    )


async def test_a_response_whose_client_goes_away_is_cancelled_with_its_run() -> None:
    model = scripted(["Hi", anyio.Event()])
    async with running(model) as server:
        async with server.http.stream(
            "POST", "/v1/responses", json={"model": "scripted", "input": "Hello", "stream": True}
        ) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            created = events(f"event: response.created\n{await anext(lines)}\n\n")[0]
        id = created["response"]["id"]
        with anyio.fail_after(seconds(5)):
            while (await get(server, f"responses/{id}"))["status"] == "in_progress":
                await anyio.wait_all_tasks_blocked()
        kept = await get(server, f"responses/{id}")

    assert kept["status"] == "cancelled"
    assert model.num_interrupted == 1


async def test_a_response_of_a_server_that_died_is_failed(tmp_path: Path) -> None:
    async with running(scripted(), config=in_file(tmp_path)) as server:
        store = await server.runtime.sessions()
        body: Any = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time", lambda: 1.0)
            await store.begin_response(StoredResponse(id="resp_1", status="in_progress", body=body))
        found = [await get(server, "responses/resp_1") for _ in range(2)]

    assert found[0] == found[1]
    assert found[0]["status"] == "failed"
    assert found[0]["error"] == {
        "code": "server_error",
        "message": "the server was stopped before the response was finished",
    }


# --- conversations -----------------------------------------------------------------------------


async def test_responses_become_part_of_a_conversation() -> None:
    model = scripted("Hi.", [call("weather", place="Oslo")], "It rains.")
    async with running(model) as server:
        conversation = await server.openai.conversations.create(
            items=[{"role": "developer", "content": "Be brief."}], metadata={"topic": "rain"}
        )
        await ask(server, conversation=conversation.id)
        asked = await ask(
            server, conversation={"id": conversation.id}, tools=[WEATHER], input="Rain?"
        )
        output = {
            "type": "function_call_output",
            "call_id": asked["output"][0]["call_id"],
            "output": "rain",
        }
        answered = await ask(server, conversation=conversation.id, tools=[WEATHER], input=[output])
        items = server.openai.conversations.items
        listed = [item async for item in items.list(conversation.id, order="asc", limit=3)]
        one = await items.retrieve(listed[0].id or "", conversation_id=conversation.id)

    assert answered["conversation"] == {"id": conversation.id}
    assert [item.type for item in listed] == [
        "message",
        "message",
        "message",
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert one == listed[0]
    assert [message.text for message in model.requests[2].messages] == [
        "Be brief.",
        "Hello",
        "Hi.",
        "Rain?",
        "",
        "rain",
    ]


async def test_a_conversation_is_changed_added_to_and_deleted() -> None:
    async with running(scripted()) as server:
        api = server.openai.conversations
        made = await api.create()
        changed = await api.update(made.id, metadata={"a": "1"})
        added = await api.items.create(made.id, items=[{"role": "user", "content": "Hello"}])
        found = await api.retrieve(made.id)
        deleted = await api.delete(made.id)
        with pytest.raises(NotFoundError, match="unknown conversation"):
            await api.retrieve(made.id)
        refused = await refusal(server, conversation=made.id)

    assert made.metadata == {}
    assert found == changed
    assert changed.metadata == {"a": "1"}
    assert [item.type for item in added.data] == ["message"]
    assert deleted.deleted
    assert refused == (
        404,
        f"conversation: unknown conversation {made.id!r}",
        "conversation",
    )


async def test_a_response_that_fails_leaves_its_conversation_as_it_was() -> None:
    async with running(scripted(["Well", EngineError("it broke")])) as server:
        made = await server.openai.conversations.create()
        await stream(server, conversation=made.id)
        store = await server.runtime.sessions()

        assert await store.messages(made.id) == []
        assert await store.items(made.id) == []


# --- in the background -------------------------------------------------------------------------


async def test_a_response_in_the_background_goes_on_alone() -> None:
    go_on = anyio.Event()
    async with running(scripted([go_on, "Hi."], "Hi again.")) as server:
        queued = await ask(server, background=True)
        go_on.set()
        with anyio.fail_after(seconds(5)):
            while (found := await get(server, f"responses/{queued['id']}"))["status"] in (
                "queued",
                "in_progress",
            ):
                await anyio.wait_all_tasks_blocked()
        second = await ask(server, previous_response_id=queued["id"])

    assert queued["status"] in ("queued", "in_progress")
    assert queued["background"]
    assert (found["status"], found["output"][0]["content"][0]["text"]) == ("completed", "Hi.")
    assert second["output"][0]["content"][0]["text"] == "Hi again."


async def test_the_stream_of_a_background_response_can_be_taken_up_again() -> None:
    go_on = anyio.Event()
    async with running(scripted(["One ", go_on, "two."])) as server:
        seen: list[Any] = []
        api = server.openai.responses
        async for event in await api.create(
            model="scripted", input="Hello", background=True, stream=True
        ):
            seen.append(event)
            if event.type == "response.output_text.delta":
                break  # the client goes away; the run does not
        id = seen[0].response.id
        go_on.set()
        rest = [
            event
            async for event in await api.retrieve(
                id, stream=True, starting_after=seen[-1].sequence_number
            )
        ]
        whole = [event async for event in await api.retrieve(id, stream=True)]

    assert [short(event.to_dict()) for event in seen[:3]] == ["created", "queued", "in_progress"]
    assert [event.to_dict() for event in [*seen, *rest]] == [event.to_dict() for event in whole]
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert whole[-1].type == "response.completed"
    assert whole[-1].response.output_text == "One two."


async def test_a_background_response_is_cancelled() -> None:
    model = scripted(["One ", anyio.Event()])
    async with running(model) as server:
        api = server.openai.responses
        queued = await ask(server, background=True)
        async for event in await api.retrieve(queued["id"], stream=True):
            if event.type == "response.output_text.delta":
                break
        cancelled = await api.cancel(queued["id"])
        again = await api.cancel(queued["id"])
        *_, last = [event async for event in await api.retrieve(queued["id"], stream=True)]

    assert cancelled.status == "cancelled"
    assert cancelled.output_text == "One "
    assert cancelled == again
    assert last.type == "response.incomplete"
    assert last.response.status == "cancelled"


async def test_deleting_a_background_response_ends_it() -> None:
    model = scripted(["One ", anyio.Event()])
    async with running(model) as server:
        queued = await ask(server, background=True)
        await server.openai.responses.delete(queued["id"])

    assert model.num_interrupted == 1


async def test_a_background_response_that_cannot_work_fails_where_it_is_looked_for() -> None:
    async with running(scripted(EngineError("it broke"))) as server:
        streamed = await stream(server, background=True)

    assert [short(event) for event in streamed] == ["created", "queued", "in_progress", "failed"]
    assert streamed[-1]["response"]["error"]["message"] == "it broke"


async def test_background_responses_fail_when_the_server_stops(tmp_path: Path) -> None:
    async with running(scripted(["One ", anyio.Event()]), config=in_file(tmp_path)) as server:
        queued = await ask(server, background=True)
    async with running(scripted(), config=in_file(tmp_path)) as server:
        found = await get(server, f"responses/{queued['id']}")

    assert found["status"] == "failed"
    assert found["error"]["message"] == "the server was stopped before the response was finished"


async def test_only_background_responses_can_be_cancelled_and_streamed_again() -> None:
    async with running(scripted("Hi.")) as server:
        response = await ask(server)
        api = server.openai.responses
        with pytest.raises(BadRequestError, match="is not a background response"):
            await api.cancel(response["id"])
        with pytest.raises(BadRequestError, match="no events stored"):
            await api.retrieve(response["id"], stream=True)
        with pytest.raises(BadRequestError, match="needs stream: true"):
            await api.retrieve(response["id"], starting_after=1)


# --- include -----------------------------------------------------------------------------------


async def test_what_is_read_again_has_what_is_asked_for() -> None:
    async with running(scripted([ReasoningDelta("Hm."), "Hi."], "And?")) as server:
        made = await ask(server)
        read = await server.openai.responses.retrieve(
            made["id"], include=["reasoning.encrypted_content", "message.input_image.image_url"]
        )
        items: Any = read.to_dict()["output"]
        more = {"role": "user", "content": "More."}
        gone_on = await ask(server, input=[*items, more], store=False)

    thought, said = items
    assert unpack(thought.pop("encrypted_content"), param="") == "Hm."
    assert [thought, said] == made["output"]
    assert gone_on["status"] == "completed"


@pytest.mark.parametrize(
    "included", ["message.output_text.logprobs", "web_search_call.action.sources"]
)
async def test_what_was_not_kept_is_not_given_in_silence(included: Any) -> None:
    model = scripted(call("web_search", query="tea"), "Tea.")
    found = SearchResultConfig(title="Tea", url="https://tea.example", snippet="All about tea.")
    provider = SearchProviderConfig(type="static", results=(found,))
    config = Config(web_search=WebSearchConfig(providers=(provider,)))
    async with running(model, config=config) as server:
        made = await ask(server, tools=[{"type": "web_search"}])
        read = await server.http.get(f"/v1/responses/{made['id']}", params={"include": included})

    assert read.status_code == 400
    assert read.json()["error"]["param"] == "include"
    assert included in read.json()["error"]["message"]


async def test_items_that_lack_what_is_asked_for_are_not_added() -> None:
    said = [{"role": "assistant", "content": "Hi."}]
    async with running(scripted()) as server:
        conversation = (await server.post("/v1/conversations")).json()["id"]
        path = f"/v1/conversations/{conversation}/items"
        refused = await server.http.post(
            path, json={"items": said}, params={"include[]": "message.output_text.logprobs"}
        )
        listed = await get(server, path.removeprefix("/v1/"))

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "include")
    assert listed["data"] == []


async def test_events_are_as_they_were_whatever_is_asked_for() -> None:
    async with running(scripted("Hi.")) as server:
        made = await ask(server, background=True)
        params = {"stream": "true", "include": "reasoning.encrypted_content"}
        refused = await server.http.get(f"/v1/responses/{made['id']}", params=params)

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "include")
