"""The store of sessions and responses."""

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
"""Time after the last ``renew`` until a response counts as lost."""
_DAY_SECONDS = 86_400.0


class SessionStore:
    """Sessions and responses of one owner, isolated from those of other owners.

    Every method is one transaction. All of them raise ``StoreError`` if the database fails.
    """

    def __init__(self, database: Database, owner: str = "") -> None:
        self._database = database
        self._owner = owner

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str | None = None, *, retention_days: float | None = None
    ) -> AsyncIterator[SessionStore]:
        """Open the store, migrate its tables, and delete expired responses.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://...``; None means the user's SQLite file.
            retention_days: days to keep responses that belong to no session and that no later
                response continues; None keeps them forever.

        Raises:
            StoreError: the store cannot be opened.
        """
        async with Database.open(url) as database:
            store = cls(database)
            if retention_days is not None:
                await store.purge(before=time.time() - retention_days * _DAY_SECONDS)
            yield store

    def owned_by(self, owner: str) -> SessionStore:
        """Return the same store for another owner."""
        return SessionStore(self._database, owner)

    # --- sessions ----------------------------------------------------------------------------

    async def create_session(
        self, id: str, *, title: str = "", metadata: Mapping[str, str] | None = None
    ) -> Session:
        """Create a session."""
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
        """Return a session; None if it does not exist."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(sessions).where(self._is_session(id)))).first()
        return None if row is None else _session(row)

    async def sessions(self, *, limit: int = 20) -> list[Session]:
        """Return the most recently used sessions, latest first."""
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
        """Change the given fields; returns None if the session does not exist."""
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
        """Delete a session with its messages; returns False if it does not exist.

        Responses that belonged to it can no longer be continued.
        """
        async with self._database.write() as connection:
            done = await connection.execute(delete(sessions).where(self._is_session(id)))
        return done.rowcount == 1

    async def append(
        self, id: str, added: Sequence[Message], *, shown: Sequence[JsonObject] = ()
    ) -> bool:
        """Add messages, and the items that the API shows for them.

        Args:
            id: the session.
            added: the messages.
            shown: the items.

        Returns:
            False if the session does not exist.
        """
        async with self._database.write() as connection:
            return await self._append(connection, id, added, shown)

    async def messages(self, id: str) -> list[Message]:
        """Return the messages of a session in order; empty if it does not exist."""
        query = (
            select(messages.c.body)
            .join(sessions, sessions.c.id == messages.c.session_id)
            .where(self._is_session(id))
            .order_by(messages.c.number)
        )
        async with self._database.read() as connection:
            return [message_from_json(body) for body in await connection.scalars(query)]

    async def items(self, id: str) -> list[JsonObject]:
        """Return the items of a session in order; empty if it does not exist."""
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
        """Store a response that is about to be processed, with its input items.

        It counts as lost unless ``renew`` or ``finish_response`` is called at least every
        LEASE_SECONDS.

        Args:
            response: the response.
            given: its input items.
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
        """Extend the lease and update the response; returns False if it ended or was deleted."""
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
        """Finish a response; returns False if it already ended or was deleted.

        Args:
            id: the response.
            status: its final status.
            body: the response as shown by the API.
            said: its input and output messages; they are added to its session.
            shown: the items for these messages, for the session.
            events: its stream, if it must be replayable.
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
        """Return a response; None if it does not exist."""
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
            is_lost=row.alive_until is not None and _is_expired(row.alive_until),
        )

    async def delete_response(self, id: str) -> bool:
        """Delete a response and its messages, except messages that joined a session.

        Returns:
            False if it does not exist.
        """
        async with self._database.write() as connection:
            done = await connection.execute(delete(responses).where(self._is_response(id)))
        return done.rowcount == 1

    async def given_items(self, id: str) -> list[JsonObject]:
        """Return the input items of a response, in order."""
        query = (
            select(items.c.body)
            .join(responses, responses.c.id == items.c.response_id)
            .where(self._is_response(id))
            .order_by(items.c.number)
        )
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    async def events(self, id: str, *, after: int = -1) -> list[StoredEvent]:
        """Return the stored stream of a response after this sequence number."""
        query = (
            select(response_events.c.sequence_number, response_events.c.body)
            .join(responses, responses.c.id == response_events.c.response_id)
            .where(self._is_response(id), response_events.c.sequence_number > after)
            .order_by(response_events.c.sequence_number)
        )
        async with self._database.read() as connection:
            return [StoredEvent(number, body) for number, body in await connection.execute(query)]

    async def conversation_of(self, id: str) -> list[Message] | None:
        """Return the conversation up to the end of this response.

        Returns:
            The messages; None if this response, or one that it continues, does not exist.
        """
        async with self._database.read() as connection:
            links = _in_order(id, await connection.execute(_chain(self._is_response(id))))
            if not links or links[0].previous_id is not None:
                return None
            conversation: list[Message] = []
            first = links[0]
            if first.session_end is not None:
                if first.session_id is None:
                    return None
                conversation += await _read(
                    connection,
                    and_(
                        messages.c.session_id == first.session_id,
                        messages.c.number <= first.session_end,
                    ),
                )
            rows = await connection.execute(
                select(messages.c.response_id, messages.c.body)
                .where(messages.c.response_id.in_([link.id for link in links]))
                .order_by(messages.c.number)
            )
            by_response: dict[str, list[Message]] = {}
            for response_id, body in rows:
                by_response.setdefault(response_id, []).append(message_from_json(body))
        for link in links:
            conversation += by_response.get(link.id, [])
        return conversation

    async def purge(self, *, before: float) -> int:
        """Delete responses from before this time, of any owner; returns their number.

        Keeps responses that belong to a session, or that a later response continues.
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

    # --- helpers ---------------------------------------------------------------------------

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
        # The update also locks the row, so that concurrent additions are not interleaved.
        touch = update(sessions).where(self._is_session(id)).values(updated_at=time.time())
        if (await connection.execute(touch)).rowcount == 0:
            return False
        rows = [{"session_id": id, "body": message_to_json(message)} for message in added]
        await _insert(connection, messages, rows)
        await _insert(connection, items, [{"session_id": id, "body": item} for item in shown])
        return True


def _is_expired(alive_until: float) -> bool:
    """True if the lease has expired, or is implausibly long because the clock was set back."""
    return not 0 <= alive_until - time.time() <= 2 * LEASE_SECONDS


def _chain(is_last: ColumnElement[bool]) -> Any:
    """Select the matching responses and all that they continue."""
    columns = (
        responses.c.id,
        responses.c.previous_id,
        responses.c.session_id,
        responses.c.session_end,
    )
    chain = select(*columns).where(is_last).cte("chain", recursive=True)
    return select(chain.union(select(*columns).where(responses.c.id == chain.c.previous_id)))


def _in_order(last: str, rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    """Sort the links of one chain, earliest first."""
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
    if rows:  # an empty list would insert an empty row
        await connection.execute(insert(table), rows)


async def _read(connection: AsyncConnection, which: ColumnElement[bool]) -> list[Message]:
    query = select(messages.c.body).where(which).order_by(messages.c.number)
    return [message_from_json(body) for body in await connection.scalars(query)]
