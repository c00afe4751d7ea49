from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kronk_agent.messages import JsonObject, Message
from kronk_agent.sessions.codec import message_from_json, message_to_json
from kronk_agent.sessions.database import Database
from kronk_agent.sessions.item_search import find_item_and_siblings
from kronk_agent.sessions.records import FINAL, ResponseStatus, Session, StoredEvent, StoredResponse
from kronk_agent.sessions.schema import items, messages, response_events, responses, sessions

LEASE_SECONDS = 60.0
"""How long a response counts as being worked on after its last ``renew``."""
_DAY_SECONDS = 86_400.0


class SessionStore:
    """Sessions and responses of one owner; nobody sees those of another.

    Every method is one transaction. All of them raise ``StoreError`` when the database fails.
    """

    def __init__(self, database: Database, owner: str = "") -> None:
        self._database = database
        self._owner = owner

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str | None = None, *, retention_days: float | None = None
    ) -> AsyncIterator[SessionStore]:
        """Open the store, make or upgrade its tables, and drop what has been kept long enough.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://…``; None is the person's own SQLite file.
            retention_days: how long to keep responses that are part of no session and that no
                younger one goes on from; None keeps them.

        Raises:
            StoreError: it cannot be opened.
        """
        async with Database.open(url) as database:
            store = cls(database)
            if retention_days is not None:
                await store.purge(before=time.time() - retention_days * _DAY_SECONDS)
            yield store

    def owned_by(self, owner: str) -> SessionStore:
        """The same store as another owner sees it."""
        return SessionStore(self._database, owner)

    # --- sessions ----------------------------------------------------------------------------

    async def create_session(
        self, id: str, *, title: str = "", metadata: Mapping[str, str] | None = None
    ) -> Session:
        now = time.time()
        session = Session(id, title, dict(metadata or {}), now, now)
        async with self._database.write() as connection:
            await connection.execute(
                insert(sessions).values(
                    id=id,
                    owner=self._owner,
                    title=title,
                    metadata=session.metadata,
                    created_at=now,
                    updated_at=now,
                )
            )
        return session

    async def session(self, id: str) -> Session | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(sessions).where(self._is_session(id)))).first()
        return None if row is None else _session(row)

    async def sessions(self, *, limit: int = 20) -> list[Session]:
        """The ones last used, the latest first."""
        query = (
            select(sessions)
            .where(sessions.c.owner == self._owner)
            .order_by(sessions.c.updated_at.desc(), sessions.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [_session(row) for row in await connection.execute(query)]

    async def update_session(
        self, id: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Session | None:
        """Change what is given; None where there is no such session."""
        changes: dict[str, object] = {"updated_at": time.time()}
        if title is not None:
            changes["title"] = title
        if metadata is not None:
            changes["metadata"] = dict(metadata)
        change = update(sessions).where(self._is_session(id)).values(changes).returning(sessions)
        async with self._database.write() as connection:
            row = (await connection.execute(change)).first()
        return None if row is None else _session(row)

    async def delete_session(self, id: str) -> bool:
        """With all its messages. Responses that were part of it can no longer be gone on from."""
        async with self._database.write() as connection:
            done = await connection.execute(delete(sessions).where(self._is_session(id)))
        return done.rowcount == 1

    async def append(
        self, id: str, added: Sequence[Message], *, shown: Sequence[JsonObject] = ()
    ) -> bool:
        """Add messages, and the items the API shows for them; False: there is no such session."""
        async with self._database.write() as connection:
            return await self._append(connection, id, added, shown)

    async def messages(self, id: str) -> list[Message]:
        """All of the session, in order; none where there is no such session."""
        query = (
            select(messages.c.body)
            .join(sessions, sessions.c.id == messages.c.session_id)
            .where(self._is_session(id))
            .order_by(messages.c.number)
        )
        async with self._database.read() as connection:
            return [message_from_json(body) for body in await connection.scalars(query)]

    async def items(self, id: str) -> list[JsonObject]:
        """The session's items, in order."""
        query = (
            select(items.c.body)
            .join(sessions, sessions.c.id == items.c.session_id)
            .where(self._is_session(id))
            .order_by(items.c.number)
        )
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    # --- responses ---------------------------------------------------------------------------

    async def begin_response(
        self, response: StoredResponse, *, given: Sequence[JsonObject] = ()
    ) -> None:
        """Keep a response that is about to be worked on, with the items it was given.

        It counts as lost unless ``renew`` or ``finish_response`` is called within LEASE_SECONDS,
        and again.
        """
        now = time.time()
        async with self._database.write() as connection:
            await connection.execute(
                insert(responses).values(
                    id=response.id,
                    owner=self._owner,
                    session_id=response.session_id,
                    previous_id=response.previous_id,
                    status=response.status,
                    body=response.body,
                    created_at=response.created_at or now,
                    alive_until=None if response.status in FINAL else now + LEASE_SECONDS,
                )
            )
            await _insert(
                connection, items, [{"response_id": response.id, "body": i} for i in given]
            )

    async def renew(self, id: str, *, status: ResponseStatus, body: JsonObject) -> bool:
        """Say that it is still worked on, and how far it is; False: it was ended or deleted."""
        change = (
            update(responses)
            .where(self._is_response(id), responses.c.status.not_in(FINAL))
            .values(status=status, body=body, alive_until=time.time() + LEASE_SECONDS)
        )
        async with self._database.write() as connection:
            return (await connection.execute(change)).rowcount == 1

    async def finish_response(
        self,
        id: str,
        *,
        status: ResponseStatus,
        body: JsonObject,
        said: Sequence[Message] = (),
        shown: Sequence[JsonObject] = (),
        events: Sequence[StoredEvent] = (),
    ) -> bool:
        """Say how it ended, once and for all; False: it was ended or deleted before.

        Args:
            said: its messages, those it was given and those it added; they join its session.
            shown: the items for these, to join the session.
            events: its stream, where it is to be read again.
        """
        change = (
            update(responses)
            .where(self._is_response(id), responses.c.status.not_in(FINAL))
            .values(status=status, body=body, alive_until=None)
            .returning(responses.c.session_id)
        )
        async with self._database.write() as connection:
            row = (await connection.execute(change)).first()
            if row is None:
                return False
            rows = [
                {"response_id": id, "sequence_number": e.sequence_number, "body": e.body}
                for e in events
            ]
            await _insert(connection, response_events, rows)
            if row.session_id is None:
                rows = [{"response_id": id, "body": message_to_json(m)} for m in said]
                await _insert(connection, messages, rows)
            elif await self._append(connection, row.session_id, said, shown):
                last = select(func.max(messages.c.number)).where(
                    messages.c.session_id == row.session_id
                )
                await connection.execute(
                    update(responses)
                    .where(responses.c.id == id)
                    .values(session_end=last.scalar_subquery())
                )
            return True

    async def response(self, id: str) -> StoredResponse | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(responses).where(self._is_response(id)))).first()
        if row is None:
            return None
        return StoredResponse(
            id=row.id,
            status=row.status,
            body=row.body,
            session_id=row.session_id,
            previous_id=row.previous_id,
            created_at=row.created_at,
            is_lost=row.alive_until is not None and _is_over(row.alive_until),
        )

    async def delete_response(self, id: str) -> bool:
        """With its messages; those that joined a session stay there."""
        async with self._database.write() as connection:
            done = await connection.execute(delete(responses).where(self._is_response(id)))
        return done.rowcount == 1

    async def given_items(self, id: str) -> list[JsonObject]:
        """The items a response was given, in order."""
        query = (
            select(items.c.body)
            .join(responses, responses.c.id == items.c.response_id)
            .where(self._is_response(id))
            .order_by(items.c.number)
        )
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    async def events(self, id: str, *, after: int = -1) -> list[StoredEvent]:
        """A response's stream as it was kept, from the one after this sequence number."""
        query = (
            select(response_events.c.sequence_number, response_events.c.body)
            .join(responses, responses.c.id == response_events.c.response_id)
            .where(self._is_response(id), response_events.c.sequence_number > after)
            .order_by(response_events.c.sequence_number)
        )
        async with self._database.read() as connection:
            return [StoredEvent(number, body) for number, body in await connection.execute(query)]

    async def conversation_of(self, id: str) -> list[Message] | None:
        """All that was said up to the end of this response.

        None where this response, or one it goes on from, is not there (any more).
        """
        async with self._database.read() as connection:
            links = _in_order(id, await connection.execute(_chain(self._is_response(id))))
            if not links or links[0].previous_id is not None:
                return None
            said: list[Message] = []
            first = links[0]
            if first.session_end is not None:
                if first.session_id is None:
                    return None
                said += await _read(
                    connection,
                    and_(
                        messages.c.session_id == first.session_id,
                        messages.c.number <= first.session_end,
                    ),
                )
            own = await connection.execute(
                select(messages.c.response_id, messages.c.body)
                .where(messages.c.response_id.in_([link.id for link in links]))
                .order_by(messages.c.number)
            )
            by_response: dict[str, list[Message]] = {}
            for response_id, body in own:
                by_response.setdefault(response_id, []).append(message_from_json(body))
        for link in links:
            said += by_response.get(link.id, [])
        return said

    async def purge(self, *, before: float) -> int:
        """Delete responses from before this time, of any owner; gives how many.

        Those stay that are part of a session, or that a younger response goes on from.
        """
        kept = _chain(responses.c.created_at >= before).subquery()
        old = delete(responses).where(
            responses.c.created_at < before,
            responses.c.session_id.is_(None),
            responses.c.id.not_in(select(kept.c.id)),
        )
        async with self._database.write() as connection:
            return len((await connection.execute(old.returning(responses.c.id))).all())

    async def find_items(self, ids: Iterable[str]) -> dict[str, JsonObject]:
        """Find items of sessions and of the inputs and outputs of responses, by id.

        The search ends at the first id that is not found. If several items have the same id, the
        latest is returned.
        """
        wanted, found = dict.fromkeys(ids), dict[str, JsonObject]()
        async with self._database.read() as connection:
            for id in wanted:
                if id not in found:
                    siblings = await find_item_and_siblings(connection, self._owner, id)
                    found |= {item["id"]: item for item in siblings if item["id"] in wanted}
                if id not in found:
                    break
        return found

    # --- below -------------------------------------------------------------------------------

    def _is_session(self, id: str) -> ColumnElement[bool]:
        return and_(sessions.c.id == id, sessions.c.owner == self._owner)

    def _is_response(self, id: str) -> ColumnElement[bool]:
        return and_(responses.c.id == id, responses.c.owner == self._owner)

    async def _append(
        self,
        connection: AsyncConnection,
        id: str,
        added: Sequence[Message],
        shown: Sequence[JsonObject],
    ) -> bool:
        # The update also holds the row, so that two at a time do not mix what they add.
        touch = update(sessions).where(self._is_session(id)).values(updated_at=time.time())
        if (await connection.execute(touch)).rowcount == 0:
            return False
        rows = [{"session_id": id, "body": message_to_json(message)} for message in added]
        await _insert(connection, messages, rows)
        await _insert(connection, items, [{"session_id": id, "body": item} for item in shown])
        return True


def _is_over(alive_until: float) -> bool:
    """A lease ends at its time. One that is far too long is from before the clock was set back."""
    return not 0 <= alive_until - time.time() <= 2 * LEASE_SECONDS


def _chain(is_last: ColumnElement[bool]) -> Any:
    """The responses that fit, and all that these go on from."""
    columns = (
        responses.c.id,
        responses.c.previous_id,
        responses.c.session_id,
        responses.c.session_end,
    )
    chain = select(*columns).where(is_last).cte("chain", recursive=True)
    return select(chain.union(select(*columns).where(responses.c.id == chain.c.previous_id)))


def _in_order(last: str, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """The links of one chain, the earliest first."""
    by_id = {row.id: row for row in rows}
    links = []
    link = by_id.get(last)
    while link is not None:
        links.append(link)
        link = by_id.get(link.previous_id)
    return links[::-1]


def _session(row: Row[Any]) -> Session:
    return Session(row.id, row.title, row.metadata, row.created_at, row.updated_at)


async def _insert(connection: AsyncConnection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:  # an empty list would insert one row of nothing
        await connection.execute(insert(table), rows)


async def _read(connection: AsyncConnection, which: ColumnElement[bool]) -> list[Message]:
    query = select(messages.c.body).where(which).order_by(messages.c.number)
    return [message_from_json(body) for body in await connection.scalars(query)]
