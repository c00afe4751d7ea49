from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kronk_agent.agent import Agent
from kronk_agent.api.errors import openai_error_frame
from kronk_agent.api.model_router import ModelRouter, as_asked, with_seed
from kronk_agent.api.protocols.common.sampling import with_token_bias
from kronk_agent.api.protocols.common.schema import left_out
from kronk_agent.api.protocols.openai_chat.encoder import ChatCompletionEncoder
from kronk_agent.api.protocols.openai_chat.events import AnswerDelta, ChoiceReader
from kronk_agent.api.protocols.openai_chat.messages import to_messages
from kronk_agent.api.protocols.openai_chat.request import ChatCompletionRequest
from kronk_agent.api.protocols.openai_chat.server_tools import server_toolsets
from kronk_agent.api.protocols.openai_chat.tools import (
    custom_names,
    to_tool_choice,
    to_tools,
    tool_notices,
)
from kronk_agent.api.sse import EventStream, Write, while_connected
from kronk_agent.concurrency.task_group import open_task_group
from kronk_agent.messages import Message, Notice
from kronk_agent.settings import ToolChoice
from kronk_agent.tools import Tool

_LAST = AnswerDelta({})


def router(models: ModelRouter) -> APIRouter:
    """The routes for chat completions."""
    routes = APIRouter(tags=["chat completions"])

    @routes.post("/v1/chat/completions", response_model=None)
    @routes.post("/chat/completions", response_model=None, include_in_schema=False)
    async def create_chat_completion(body: ChatCompletionRequest, request: Request) -> Response:
        """Create a chat completion."""
        stream = body.stream_options
        encoder = ChatCompletionEncoder(
            model=models.resolve_id(body.model),
            include_usage=bool(stream and stream.include_usage),
            include_obfuscation=bool(stream and stream.include_obfuscation),
        )
        chat = await _parse(models, body)
        if body.stream:

            async def produce(write: Write) -> None:
                """Stream the answer."""
                await _stream(chat, encoder, write)

            return EventStream(
                produce,
                error_frame=openai_error_frame,
                keep_alive_seconds=models.config.keep_alive_seconds,
            )
        return JSONResponse(await while_connected(request, lambda: _collect(chat, encoder)))

    @routes.post("/v1/chat/completions/input_tokens", tags=["tokens"])
    @routes.post("/chat/completions/input_tokens", include_in_schema=False)
    async def count_input_tokens(body: ChatCompletionRequest) -> dict[str, Any]:
        """Count the prompt tokens of a chat completion, without generating."""
        chat = await _parse(models, body)
        count = await chat.agents[0].count_tokens(
            chat.messages, tool_choice=chat.tool_choice, client_tools=chat.client_tools
        )
        return {"object": "response.input_tokens", "input_tokens": count}

    return routes


@dataclass(frozen=True, slots=True)
class ChatRun:
    """A parsed request, ready to run."""

    models: ModelRouter
    model: str
    agents: Sequence[Agent]
    """One for each choice."""
    messages: Sequence[Message]
    client_tools: Sequence[Tool]
    custom_tools: frozenset[str]
    tool_choice: ToolChoice | None
    notices: Sequence[Notice]
    """One for each ignored part of the request."""

    def readers(self) -> list[ChoiceReader]:
        """A new reader for each choice."""
        names = frozenset(tool.name for tool in self.client_tools)
        return [ChoiceReader(names, self.custom_tools) for _ in self.agents]

    async def run(
        self, index: int, reader: ChoiceReader, take: Callable[[AnswerDelta], Awaitable[None]]
    ) -> None:
        """Run one choice to its end.

        Raises:
            KronkError: the run failed.
        """
        for notice in self.notices:
            if (shown := reader.read(notice)) is not None:
                await take(shown)
        running = self.agents[index].run(
            self.messages, tool_choice=self.tool_choice, client_tools=self.client_tools
        )
        async with running as run:
            async for event in run:
                delta = reader.read(event)
                if delta is not None:
                    await take(delta)
        assert reader.finished is not None
        self.models.pending_turns.keep(reader.finished, reader.calls)


async def _parse(models: ModelRouter, body: ChatCompletionRequest) -> ChatRun:
    messages = to_messages(body.messages)
    model = models.resolve_id(body.model)
    await models.check_media(model, messages)
    agent = await models.agent(model, cache_salt=body.cache_salt)
    agent = as_asked(
        agent,
        toolsets=(*agent.toolsets, *server_toolsets(models, body)),
        options=(await with_token_bias(models, model, body)).options(agent.options),
    )
    return ChatRun(
        models,
        model,
        [with_seed(agent, index) for index in range(body.n or 1)],
        models.pending_turns.restore(messages),
        to_tools(body.tools or ()),
        custom_names(body.tools or ()),
        None if body.tool_choice is None else to_tool_choice(body.tool_choice),
        [Notice(text) for text in (*left_out(body), *tool_notices(body.tools or ()))],
    )


async def _stream(chat: ChatRun, encoder: ChatCompletionEncoder, write: Write) -> None:
    readers = chat.readers()

    async def run(index: int) -> None:
        """Run one choice and stream it."""
        has_begun = False

        async def take(delta: AnswerDelta) -> None:
            """Write a delta, preceded by the first frame."""
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                await write(encoder.frame(index, _first(delta)))
            await write(encoder.frame(index, delta))

        await chat.run(index, readers[index], take)
        first = "" if has_begun else encoder.frame(index, _first(_LAST))
        await write(first + encoder.frame(index, _LAST, readers[index].finish_reason))

    async with open_task_group() as tasks:
        for index in range(len(readers)):
            tasks.start_soon(run, index)
    await write(encoder.last_frames(readers))


def _first(delta: AnswerDelta) -> AnswerDelta:
    """The first delta of a stream.

    Before tool calls its content is null, as in OpenAI's API: clients would display an empty text.
    """
    text = None if "tool_calls" in delta.delta else ""
    return AnswerDelta({"role": "assistant", "content": text})


async def _collect(chat: ChatRun, encoder: ChatCompletionEncoder) -> object:
    readers = chat.readers()
    deltas: list[list[AnswerDelta]] = [[] for _ in readers]

    async def run(index: int) -> None:
        """Run one choice and collect it."""

        async def take(delta: AnswerDelta) -> None:
            """Collect a delta."""
            deltas[index].append(delta)

        await chat.run(index, readers[index], take)

    async with open_task_group() as tasks:
        for index in range(len(readers)):
            tasks.start_soon(run, index)
    return encoder.whole(readers, deltas)
