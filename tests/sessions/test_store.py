"""The store as its users see it, on SQLite in a file and in memory, and on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest

from kronk_agent.messages import (
    AudioPart,
    ImagePart,
    JsonObject,
    Message,
    TextPart,
    ToolCall,
)
from kronk_agent.sessions import SessionStore, StoredEvent, StoredResponse
from kronk_agent.sessions.store import LEASE_SECONDS

EVERYTHING = [
    Message.system("Be brief."),
    Message("user", (TextPart("Look: \0 \ud83c\n"), ImagePart(b"\x89PNG\0", "image/png"))),
    Message("user", (AudioPart(b"RIFF", "audio/wav"),)),
    Message(
        "assistant",
        (TextPart("I see."),),
        reasoning="Hm.",
        tool_calls=(ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "add", "{")),
    ),
    Message("tool", (TextPart("3"),), tool_call_id="call_1", name="add"),
]


@pytest.fixture
async def store(url: str) -> AsyncIterator[SessionStore]:
    async with SessionStore.open(url) as opened:
        yield opened


async def add_response(
    store: SessionStore,
    id: str,
    *,
    previous_id: str | None = None,
    session_id: str | None = None,
    created_at: float = 0.0,
) -> None:
    """A finished one, that was asked for its own name and said it."""
    response = StoredResponse(
        id=id,
        status="in_progress",
        body={},
        previous_id=previous_id,
        session_id=session_id,
        created_at=created_at,
    )
    await store.begin_response(response, given=[item(f"{id}?")])
    await store.finish_response(
        id,
        status="completed",
        body={"output": id},
        said=[Message.user(f"{id}?"), Message.assistant(id)],
        shown=[item(f"{id}?"), item(id)],
    )


def item(text: str) -> JsonObject:
    return {"type": "message", "text": text}


def texts(messages: list[Message] | None) -> list[str] | None:
    return None if messages is None else [message.text for message in messages]


async def test_a_session_gives_back_every_message_as_it_was(store: SessionStore) -> None:
    session = await store.create_session("conv_1", title="Sums", metadata={"topic": "sums"})

    assert await store.append("conv_1", EVERYTHING[:3])
    assert await store.append("conv_1", EVERYTHING[3:], shown=[item("a"), item("b")])

    assert await store.messages("conv_1") == EVERYTHING
    assert await store.items("conv_1") == [item("a"), item("b")]
    found = await store.session("conv_1")
    assert found is not None
    assert (found.title, found.metadata) == ("Sums", {"topic": "sums"})
    assert found.created_at == session.created_at < found.updated_at


async def test_the_session_last_used_comes_first(store: SessionStore) -> None:
    for name in ("conv_1", "conv_2", "conv_3"):
        await store.create_session(name)
    await store.append("conv_1", [Message.user("again")])
    await store.update_session("conv_2", title="Renamed")

    assert [session.id for session in await store.sessions(limit=2)] == ["conv_2", "conv_1"]


async def test_updating_changes_only_what_is_given(store: SessionStore) -> None:
    await store.create_session("conv_1", title="Old", metadata={"a": "1"})

    renamed = await store.update_session("conv_1", title="New")
    changed = await store.update_session("conv_1", metadata={"b": "2"})

    assert renamed is not None
    assert changed is not None
    assert (renamed.title, renamed.metadata) == ("New", {"a": "1"})
    assert (changed.title, changed.metadata) == ("New", {"b": "2"})


async def test_a_deleted_session_takes_its_messages_along(store: SessionStore) -> None:
    await store.create_session("conv_1")
    await store.append("conv_1", EVERYTHING, shown=[item("a")])
    await add_response(store, "resp_1", session_id="conv_1")

    assert await store.delete_session("conv_1")
    assert not await store.delete_session("conv_1")

    await store.create_session("conv_1")
    assert await store.messages("conv_1") == []
    assert await store.items("conv_1") == []
    assert await store.conversation_of("resp_1") is None
    assert await store.response("resp_1") is not None


async def test_what_is_not_there_is_said_to_be_not_there(store: SessionStore) -> None:
    assert await store.session("conv_1") is None
    assert await store.update_session("conv_1", title="x") is None
    assert not await store.append("conv_1", EVERYTHING)
    assert await store.response("resp_1") is None
    assert await store.conversation_of("resp_1") is None
    assert not await store.delete_response("resp_1")
    assert not await store.finish_response("resp_1", status="completed", body={})


async def test_nobody_sees_what_another_owner_has(store: SessionStore) -> None:
    await store.create_session("conv_1")
    await store.append("conv_1", EVERYTHING, shown=[item("a")])
    await add_response(store, "resp_1")
    other = store.owned_by("key_2")

    assert await other.session("conv_1") is None
    assert await other.sessions() == []
    assert await other.messages("conv_1") == []
    assert await other.items("conv_1") == []
    assert not await other.append("conv_1", EVERYTHING)
    assert not await other.delete_session("conv_1")
    assert await other.response("resp_1") is None
    assert await other.given_items("resp_1") == []
    assert await other.conversation_of("resp_1") is None
    assert not await other.delete_response("resp_1")
    assert await store.messages("conv_1") == EVERYTHING


async def test_a_response_is_kept_from_its_beginning_to_its_end(store: SessionStore) -> None:
    begun = StoredResponse(id="resp_1", status="queued", body={"n": 0}, created_at=time.time())
    await store.begin_response(begun, given=[item("1"), item("2")])
    waiting = await store.response("resp_1")
    assert await store.renew("resp_1", status="in_progress", body={"n": 1})
    working = await store.response("resp_1")
    events = [StoredEvent(0, {"type": "a"}), StoredEvent(1, {"type": "b"})]
    assert await store.finish_response("resp_1", status="failed", body={"n": 2}, events=events)

    assert waiting == begun
    assert working is not None
    assert (working.status, working.body) == ("in_progress", {"n": 1})
    done = await store.response("resp_1")
    assert done is not None
    assert (done.status, done.body, done.is_lost) == ("failed", {"n": 2}, False)
    assert await store.given_items("resp_1") == [item("1"), item("2")]
    assert await store.events("resp_1") == events
    assert await store.events("resp_1", after=0) == events[1:]


async def test_what_is_final_stays_so(store: SessionStore) -> None:
    response = StoredResponse(id="resp_1", status="in_progress", body={})
    await store.begin_response(response)
    assert await store.finish_response("resp_1", status="cancelled", body={"by": "someone"})

    assert not await store.renew("resp_1", status="in_progress", body={})
    assert not await store.finish_response("resp_1", status="completed", body={}, said=EVERYTHING)

    found = await store.response("resp_1")
    assert found is not None
    assert (found.status, found.body) == ("cancelled", {"by": "someone"})
    assert await store.conversation_of("resp_1") == []


async def test_a_response_that_nobody_works_on_any_more_is_lost(store: SessionStore) -> None:
    response = StoredResponse(id="resp_1", status="in_progress", body={})

    with pytest.MonkeyPatch.context() as patch:
        long_ago = time.time() - LEASE_SECONDS - 1
        patch.setattr(time, "time", lambda: long_ago)
        await store.begin_response(response)
    lost = await store.response("resp_1")
    await store.renew("resp_1", status="in_progress", body={})
    found = await store.response("resp_1")

    assert lost is not None
    assert lost.is_lost
    assert found is not None
    assert not found.is_lost


async def test_a_conversation_is_all_that_the_chain_of_responses_said(store: SessionStore) -> None:
    await add_response(store, "a")
    await add_response(store, "b", previous_id="a")
    await add_response(store, "c", previous_id="b")
    await add_response(store, "other", previous_id="a")

    assert texts(await store.conversation_of("c")) == ["a?", "a", "b?", "b", "c?", "c"]
    assert texts(await store.conversation_of("other")) == ["a?", "a", "other?", "other"]


async def test_a_chain_with_a_deleted_link_has_no_conversation(store: SessionStore) -> None:
    await add_response(store, "a")
    await add_response(store, "b", previous_id="a")
    await add_response(store, "c", previous_id="b")

    await store.delete_response("b")

    assert await store.conversation_of("c") is None
    assert texts(await store.conversation_of("a")) == ["a?", "a"]


async def test_a_response_of_a_session_knows_the_session_up_to_its_end(
    store: SessionStore,
) -> None:
    await store.create_session("conv_1")
    await store.append("conv_1", [Message.user("before")], shown=[item("before")])
    await add_response(store, "a", session_id="conv_1")
    await add_response(store, "b", session_id="conv_1")
    await add_response(store, "branch", previous_id="a")

    assert texts(await store.messages("conv_1")) == ["before", "a?", "a", "b?", "b"]
    assert await store.items("conv_1") == [*map(item, ["before", "a?", "a", "b?", "b"])]
    assert texts(await store.conversation_of("a")) == ["before", "a?", "a"]
    assert texts(await store.conversation_of("branch")) == [
        "before",
        "a?",
        "a",
        "branch?",
        "branch",
    ]


async def test_what_joined_a_session_stays_when_the_response_is_deleted(
    store: SessionStore,
) -> None:
    await store.create_session("conv_1")
    await add_response(store, "a", session_id="conv_1")

    assert await store.delete_response("a")

    assert texts(await store.messages("conv_1")) == ["a?", "a"]


async def test_purging_spares_sessions_and_what_younger_ones_go_on_from(
    store: SessionStore,
) -> None:
    await store.create_session("conv_1")
    await add_response(store, "old", created_at=1)
    await add_response(store, "old_in_session", created_at=1, session_id="conv_1")
    await add_response(store, "root", created_at=1)
    await add_response(store, "middle", created_at=2, previous_id="root")
    await add_response(store, "young", created_at=20, previous_id="middle")
    await add_response(store.owned_by("key_2"), "of_another", created_at=1)

    assert await store.purge(before=10) == 2

    assert await store.response("old") is None
    assert await store.owned_by("key_2").response("of_another") is None
    assert await store.response("old_in_session") is not None
    assert texts(await store.conversation_of("young")) == [
        *("root?", "root"),
        *("middle?", "middle"),
        *("young?", "young"),
    ]


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
async def test_opening_drops_what_was_kept_long_enough(url: str) -> None:
    day = 86_400.0
    async with SessionStore.open(url) as store:
        await add_response(store, "old", created_at=time.time() - 3 * day)
        await add_response(store, "young", created_at=time.time() - day)

    async with SessionStore.open(url, retention_days=2) as store:
        assert await store.response("old") is None
        assert await store.response("young") is not None


async def test_many_at_once_lose_nothing_and_keep_what_belongs_together_together(
    store: SessionStore,
) -> None:
    await store.create_session("conv_1")

    async def work(number: int) -> None:
        await add_response(store, f"r{number}", session_id="conv_1")
        assert texts(await store.conversation_of(f"r{number}")) is not None

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(work, number)

    said = texts(await store.messages("conv_1"))
    assert said is not None
    pairs = list(zip(said[::2], said[1::2], strict=True))
    assert sorted(pairs) == sorted((f"r{n}?", f"r{n}") for n in range(20))


async def test_a_cancelled_caller_leaves_a_transaction_whole(store: SessionStore) -> None:
    await store.create_session("conv_1")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.append("conv_1", EVERYTHING)

    assert await store.messages("conv_1") in ([], EVERYTHING)
    assert await store.append("conv_1", EVERYTHING)
