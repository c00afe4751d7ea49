"""A chat model on an OpenAI-compatible server."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import assert_never

import anyio

from kronk_agent.chat.remote.options import problem_of_form
from kronk_agent.chat.remote.reader import ChunkReader
from kronk_agent.chat.remote.request import estimate_tokens, left_out, request_body
from kronk_agent.chat.remote.tool_choice_fallback import (
    CollectedTurn,
    Enforcement,
    asked_again,
    asked_as_schema,
    asked_in_words,
    callable_tools,
    calls_format,
    calls_in,
    probe_request,
    problem_of,
)
from kronk_agent.chat.remote.upstream import Upstream, UpstreamClient, open_client
from kronk_agent.errors import InvalidRequestError, UpstreamError
from kronk_agent.messages import Delta, Finish, JsonObject, TextDelta, ToolCallStart
from kronk_agent.model import ChatRequest, ModelInfo, RenderedPrompt

logger = logging.getLogger(__name__)


class RemoteChatModel:
    """Generates turns with a model on an OpenAI-compatible server. See ``open``."""

    def __init__(self, upstream: Upstream, client: UpstreamClient, context_length: int) -> None:
        self._upstream = replace(upstream, context_length=context_length)
        self._client = client
        self._info = ModelInfo(upstream.model, context_length, frozenset({"chat", "tools"}))
        self._enforcement: dict[str, Enforcement] = {}
        """By mode of ``tool_choice``."""
        self._probing = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, upstream: Upstream) -> AsyncIterator[RemoteChatModel]:
        """Ask the upstream how long its context is, unless that is given.

        Raises:
            ModelError: it does not say, has no such model, or cannot be reached.
        """
        async with open_client(upstream) as client:
            context_length = upstream.context_length or await client.context_length()
            yield cls(upstream, client, context_length)

    @property
    def info(self) -> ModelInfo:
        return self._info

    def count_tokens(self, text: str) -> int:
        """An estimate, rather too high: only the upstream knows its vocabulary."""
        return estimate_tokens(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """An estimate like that of ``count_tokens``: of all that is sent."""
        body = request_body(request, self._upstream)
        sent = [body.get("messages"), body.get("tools")]
        return self.count_tokens(json.dumps(sent, ensure_ascii=False))

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Refused: only the upstream knows its template."""
        raise InvalidRequestError(
            f"the model {self._info.id!r} is on a server, which writes its prompts itself: take a "
            "model on a file here",
            param="model",
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The turn as it is generated; see ``ChatModel.stream``.

        A call that must come and does not is an ``UpstreamError``, never another kind of turn.
        """
        if request.tool_choice.mode in ("required", "named"):
            deltas = self._forced(request)
        else:
            deltas = self._free(request)
        notices = left_out(request, self._upstream)
        async with aclosing(deltas):
            async for delta in deltas:
                yield replace(delta, notices=notices) if isinstance(delta, Finish) else delta

    async def _free(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Passed on as it comes; if it is to have a form, that is checked at its end."""
        turn = CollectedTurn()
        async with aclosing(self._turn(request_body(request, self._upstream), request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, TextDelta) and request.logprobs and not delta.logprobs:
                    raise UpstreamError(f"{self._upstream.url} gives no logprobs: leave them out")
                if isinstance(delta, Finish) and delta.reason == "stop":
                    problem = problem_of_form(turn.text, request.response_format)
                    if problem is not None:
                        words = f"did not keep to response_format: {problem}"
                        raise UpstreamError(f"{self._upstream.url} {words}")
                yield delta

    async def _turn(self, body: JsonObject, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        reader = ChunkReader(self._upstream.url, max_calls=request.max_calls)
        async with aclosing(self._client.chunks(body)) as chunks:
            async for chunk in chunks:
                for delta in reader.read(chunk):
                    yield delta
        if not reader.has_usage:
            logger.warning("%s does not count tokens: usage is 0", self._upstream.url)
        for delta in reader.finish():
            yield delta

    async def _forced(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        enforcement = await self._enforcement_of(request)
        match enforcement:
            case Enforcement.TOOL_CHOICE:
                deltas = self._enforced(request)
                async with aclosing(deltas):
                    async for delta in deltas:
                        yield delta
                return
            case Enforcement.RESPONSE_FORMAT:
                turn = await self._as_schema(request)
            case Enforcement.NOTHING:
                turn = await self._with_retry(request)
            case _:
                assert_never(enforcement)
        if not turn.is_cut_off:
            self._check(turn, request)
        for delta in turn.deltas():
            yield delta

    async def _enforced(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Passed on as it comes: the upstream sees to it. Text beside the calls is left out."""
        turn, tools = CollectedTurn(), callable_tools(request)
        async with aclosing(self._turn(request_body(request, self._upstream), request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, ToolCallStart) and delta.name not in tools:
                    raise self._broken(f"There is no tool {delta.name!r}")
                if isinstance(delta, Finish) and not turn.is_cut_off:
                    self._check(turn, request)
                if not isinstance(delta, TextDelta):
                    yield delta

    async def _as_schema(self, request: ChatRequest) -> CollectedTurn:
        body = request_body(asked_as_schema(request), self._upstream)
        turn = await self._collect({**body, "response_format": calls_format(request)}, request)
        turn.calls = calls_in(turn.text)
        return turn

    async def _with_retry(self, request: ChatRequest) -> CollectedTurn:
        body = request_body(asked_in_words(request), self._upstream)
        turn = await self._collect(body, request)
        problem = problem_of(turn.calls, callable_tools(request))
        if problem is None or turn.is_cut_off:
            return turn
        logger.info("%s: %s; asking again", self._upstream.url, problem)
        pinned = asked_again(request, turn, problem)
        second = await self._collect(request_body(pinned, self._upstream), request)
        assert turn.finish is not None
        assert second.finish is not None
        second.finish = replace(second.finish, usage=turn.finish.usage + second.finish.usage)
        return second

    async def _collect(self, body: JsonObject, request: ChatRequest) -> CollectedTurn:
        turn = CollectedTurn()
        async with aclosing(self._turn(body, request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
        return turn

    async def _enforcement_of(self, request: ChatRequest) -> Enforcement:
        """What the upstream holds the model to in this mode; found out when first asked for."""
        mode = request.tool_choice.mode
        async with self._probing:
            if mode not in self._enforcement:
                found = await self._probe(probe_request(request))
                logger.info("%s: %s calls are held to by %s", self._upstream.url, mode, found.value)
                self._enforcement[mode] = found
            return self._enforcement[mode]

    async def _probe(self, request: ChatRequest) -> Enforcement:
        if await self._keeps_to(self._with_tool_choice, request):
            return Enforcement.TOOL_CHOICE
        if await self._keeps_to(self._as_schema, request):
            return Enforcement.RESPONSE_FORMAT
        return Enforcement.NOTHING

    async def _keeps_to(
        self, way: Callable[[ChatRequest], Awaitable[CollectedTurn]], request: ChatRequest
    ) -> bool:
        """Does a call come back that had to come, when it is asked for in this way?"""
        try:
            turn = await way(request)
        except InvalidRequestError as error:
            logger.info("%s", error)
            return False
        return problem_of(turn.calls, callable_tools(request)) is None

    async def _with_tool_choice(self, request: ChatRequest) -> CollectedTurn:
        return await self._collect(request_body(request, self._upstream), request)

    def _check(self, turn: CollectedTurn, request: ChatRequest) -> None:
        problem = problem_of(turn.calls, callable_tools(request))
        if problem is not None:
            raise self._broken(problem)

    def _broken(self, problem: str) -> UpstreamError:
        return UpstreamError(f"{self._upstream.url} did not make the call it must make: {problem}")
