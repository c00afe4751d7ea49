"""Chat model on an OpenAI-compatible server."""

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
    callable_tools,
    calls_format,
    find_problem,
    parse_calls,
    probe_request,
    retry_request,
    with_auto_choice,
    with_tools_as_text,
)
from kronk_agent.chat.remote.upstream import Upstream, UpstreamClient, open_client
from kronk_agent.errors import InvalidRequestError, UpstreamError
from kronk_agent.messages import Delta, Finish, JsonObject, TextDelta, ToolCallStart
from kronk_agent.model import ChatRequest, ModelInfo, RenderedPrompt

logger = logging.getLogger(__name__)


class RemoteChatModel:
    """Generates turns with a model on an OpenAI-compatible server. Created by ``open``."""

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
        """Open a remote model; ask the upstream for its context length unless it is configured.

        Raises:
            ModelError: the upstream does not report it, has no such model, or cannot be reached.
        """
        async with open_client(upstream) as client:
            context_length = upstream.context_length or await client.context_length()
            yield cls(upstream, client, context_length)

    @property
    def info(self) -> ModelInfo:
        """Id, context length and capabilities of the model."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, rather too high: only the upstream has the vocabulary."""
        return estimate_tokens(text)

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """Estimate the prompt tokens of a request like ``count_tokens``, from all that is sent."""
        body = request_body(request, self._upstream)
        sent = [body.get("messages"), body.get("tools")]
        return self.count_tokens(json.dumps(sent, ensure_ascii=False))

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Refuse: only the upstream has the chat template.

        Raises:
            InvalidRequestError: always.
        """
        raise InvalidRequestError(
            f"model {self._info.id!r} is remote and its prompts are rendered by its server: "
            "use a local model",
            param="model",
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Yield the turn as it is generated; see ``ChatModel.stream``.

        Raises:
            UpstreamError: a required call is missing; another kind of turn is never returned
            instead.
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
        """Pass the turn on as it arrives; check an answer's ``response_format`` at its end."""
        turn = CollectedTurn()
        async with aclosing(self._turn(request_body(request, self._upstream), request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, TextDelta) and request.logprobs and not delta.logprobs:
                    raise UpstreamError(
                        f"{self._upstream.url} returns no logprobs: do not request them"
                    )
                if isinstance(delta, Finish) and delta.reason == "stop":
                    problem = problem_of_form(turn.text, request.response_format)
                    if problem is not None:
                        raise UpstreamError(
                            f"{self._upstream.url} did not follow response_format: {problem}"
                        )
                yield delta

    async def _turn(self, body: JsonObject, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        reader = ChunkReader(self._upstream.url, max_calls=request.max_calls)
        async with aclosing(self._client.chunks(body)) as chunks:
            async for chunk in chunks:
                for delta in reader.read(chunk):
                    yield delta
        if not reader.has_usage:
            logger.warning("%s reports no token counts: usage is 0", self._upstream.url)
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
        """Pass the turn on as it arrives, since the upstream enforces the call; text is dropped."""
        turn, tools = CollectedTurn(), callable_tools(request)
        async with aclosing(self._turn(request_body(request, self._upstream), request)) as deltas:
            async for delta in deltas:
                turn.add(delta)
                if isinstance(delta, ToolCallStart) and delta.name not in tools:
                    raise self._missing_call(f"There is no tool {delta.name!r}")
                if isinstance(delta, Finish) and not turn.is_cut_off:
                    self._check(turn, request)
                if not isinstance(delta, TextDelta):
                    yield delta

    async def _as_schema(self, request: ChatRequest) -> CollectedTurn:
        body = request_body(with_tools_as_text(request), self._upstream)
        turn = await self._collect({**body, "response_format": calls_format(request)}, request)
        turn.calls = parse_calls(turn.text)
        return turn

    async def _with_retry(self, request: ChatRequest) -> CollectedTurn:
        body = request_body(with_auto_choice(request), self._upstream)
        turn = await self._collect(body, request)
        problem = find_problem(turn.calls, callable_tools(request))
        if problem is None or turn.is_cut_off:
            return turn
        logger.info("%s: %s; asking again", self._upstream.url, problem)
        pinned = retry_request(request, turn, problem)
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
        """Return how the upstream enforces calls in this mode; probed at the first use."""
        mode = request.tool_choice.mode
        async with self._probing:
            if mode not in self._enforcement:
                found = await self._probe(probe_request(request))
                logger.info(
                    "%s: tool_choice %s is enforced by %s", self._upstream.url, mode, found.value
                )
                self._enforcement[mode] = found
            return self._enforcement[mode]

    async def _probe(self, request: ChatRequest) -> Enforcement:
        if await self._is_enforced(self._with_tool_choice, request):
            return Enforcement.TOOL_CHOICE
        if await self._is_enforced(self._as_schema, request):
            return Enforcement.RESPONSE_FORMAT
        return Enforcement.NOTHING

    async def _is_enforced(
        self, ask: Callable[[ChatRequest], Awaitable[CollectedTurn]], request: ChatRequest
    ) -> bool:
        """Return true if a required call is returned when requested in this way."""
        try:
            turn = await ask(request)
        except InvalidRequestError as error:
            logger.info("%s", error)
            return False
        return find_problem(turn.calls, callable_tools(request)) is None

    async def _with_tool_choice(self, request: ChatRequest) -> CollectedTurn:
        return await self._collect(request_body(request, self._upstream), request)

    def _check(self, turn: CollectedTurn, request: ChatRequest) -> None:
        problem = find_problem(turn.calls, callable_tools(request))
        if problem is not None:
            raise self._missing_call(problem)

    def _missing_call(self, problem: str) -> UpstreamError:
        return UpstreamError(f"{self._upstream.url} did not make the required call: {problem}")
