"""Background responses: they continue after their client disconnects, and can be followed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup

from kronk_agent.api.protocols.openai_responses.encoder import WireEvent
from kronk_agent.api.protocols.openai_responses.run import ResponseRun, run_response
from kronk_agent.errors import KronkError

logger = logging.getLogger(__name__)


class Watched:
    """A background response in progress, with its events so far."""

    def __init__(self, job: ResponseRun) -> None:
        self.job = job
        self.scope = CancelScope()
        self.done = anyio.Event()
        self._events: list[WireEvent] = []
        self._more = anyio.Event()

    async def add(self, event: WireEvent) -> None:
        """Append an event, and wake the followers."""
        self._events.append(event)
        self._wake()

    def end(self) -> None:
        """Mark the response as done, and wake the followers."""
        self.done.set()
        self._wake()

    async def follow(self, *, after: int = -1) -> AsyncIterator[WireEvent]:
        """Yield the events after this sequence number, until the response ends."""
        number = after + 1
        while True:
            more = self._more
            while number < len(self._events):
                yield self._events[number]
                number += 1
            if self.done.is_set():
                return
            if more is self._more:
                await more.wait()

    def _wake(self) -> None:
        self._more.set()
        self._more = anyio.Event()


class Background:
    """The background responses of this process."""

    def __init__(self) -> None:
        self._tasks: TaskGroup | None = None
        self._watched: dict[str, Watched] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run background responses inside the block; unfinished ones are stored as failed."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    def find(self, id: str) -> Watched | None:
        """The background response with this id, if it is in progress here."""
        return self._watched.get(id)

    async def start(self, job: ResponseRun) -> Watched:
        """Start a response, and return once it is stored."""
        assert self._tasks is not None, "opened by the application's lifespan"
        watched = self._watched[job.id] = Watched(job)
        await self._tasks.start(self._run, watched)
        return watched

    async def cancel(self, watched: Watched) -> None:
        """Cancel a response, and wait until that is stored."""
        watched.job.is_cancelled = True
        if watched.job.run is not None:
            watched.job.run.cancel()  # its end reports how far it came
        else:
            watched.scope.cancel()
        await watched.done.wait()

    async def _run(self, watched: Watched, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        has_started = False

        async def add(event: WireEvent) -> None:
            """Record an event; the first one marks the start."""
            nonlocal has_started
            await watched.add(event)
            if not has_started:
                has_started = True
                task_status.started()

        try:
            with watched.scope:
                await run_response(watched.job, add)
        except KronkError as error:
            if not has_started:
                raise
            logger.error("background response failed: %s", error)
        finally:
            watched.end()
            del self._watched[watched.job.id]
