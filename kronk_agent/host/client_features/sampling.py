"""Sampling: a server asks for a completion, under the sampling policy and within a budget."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias, assert_never

import anyio
import mcp.types as t

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ConfigError, KronkError, ToolError
from kronk_agent.host.client_features.user import SamplingApproval, UserInteraction
from kronk_agent.host.session.call_timeouts import CallTimeouts
from kronk_agent.messages import (
    AudioPart,
    Finish,
    ImagePart,
    JsonObject,
    Message,
    Part,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.settings import SamplingParams, ToolChoice
from kronk_agent.tools import Tool, ToolContext, ToolOutput

GetModel: TypeAlias = Callable[[], Awaitable[ChatModel]]
"""Returns the model, loading it first if necessary."""
Answer: TypeAlias = t.CreateMessageResult | t.CreateMessageResultWithTools | t.ErrorData

REQUESTS_PER_CALL = 10
"""Sampling requests a server may make during one tool call."""
TOKENS_PER_REQUEST = 4096
"""Maximum completion tokens of a request, whatever the server asks for."""

_REFUSED = -1  # "User rejected sampling request" in the specification's example


class SamplingHandler:
    """Answers one server's requests, one at a time, while calls to it are in progress."""

    def __init__(
        self,
        server: str,
        config: McpServerConfig,
        *,
        get_model: GetModel,
        person: UserInteraction | None,
        timeouts: CallTimeouts,
    ) -> None:
        self._server = server
        self._config = config
        self._get_model = get_model
        self._person = person
        self._timeouts = timeouts
        self._lock = anyio.Lock()
        self._num_requests = 0
        self._num_calls = 0

    @property
    def is_offered(self) -> bool:
        """True if the policy allows sampling, or says ``ask`` and a user can be asked."""
        policy = self._config.sampling
        return policy == "allow" or (policy == "ask" and self._person is not None)

    def note_call(self) -> None:
        """Add a tool call's share to the budget; the first call in progress resets it."""
        if self._timeouts.num_calls <= 1:
            self._num_requests, self._num_calls = 0, 0
        self._num_calls += 1

    async def answer(self, params: t.CreateMessageRequestParams) -> Answer:
        """Answer a sampling request, or refuse it with an error."""
        if self._timeouts.num_calls == 0:
            return t.ErrorData(code=_REFUSED, message="sampling is only allowed during a tool call")
        self._num_requests += 1
        if self._num_requests > REQUESTS_PER_CALL * self._num_calls:
            message = f"the budget of {REQUESTS_PER_CALL} sampling requests per call is spent"
            return t.ErrorData(code=_REFUSED, message=message)
        try:
            request = _request(params)
        except (KronkError, ValueError) as error:
            return t.ErrorData(code=t.INVALID_PARAMS, message=str(error))
        with self._timeouts.paused_for_client_request():
            async with self._lock:
                if not await self._is_approved(request):
                    return t.ErrorData(code=_REFUSED, message="the user declined")
                return await self._generate(request)

    async def _is_approved(self, request: ChatRequest) -> bool:
        if self._config.sampling == "allow":
            return True
        if self._config.sampling == "deny" or self._person is None:
            return False
        assert request.max_tokens is not None
        approval = SamplingApproval(self._server, request.messages, request.max_tokens)
        return await self._person.approve_sampling(approval)

    async def _generate(self, request: ChatRequest) -> Answer:
        try:
            model = await self._get_model()
            # The salt keeps other servers from probing these prompts through the prefix cache.
            salted = replace(request, cache_salt=f"mcp:{self._server}")
            message, reason = await _collect(model, salted)
        except KronkError as error:
            return t.ErrorData(code=t.INTERNAL_ERROR, message=f"the model failed: {error}")
        stop_reason = {"stop": "endTurn", "length": "maxTokens", "tool_calls": "toolUse"}[reason]
        text = t.TextContent(text=message.text)
        if not request.tools:
            return t.CreateMessageResult(
                role="assistant", content=text, model=model.info.id, stop_reason=stop_reason
            )
        uses = [
            t.ToolUseContent(id=call.id, name=call.name, input=json.loads(call.arguments or "{}"))
            for call in message.tool_calls
        ]
        return t.CreateMessageResultWithTools(
            role="assistant",
            content=[*([text] if message.text or not uses else []), *uses],
            model=model.info.id,
            stop_reason=stop_reason,
        )


async def _collect(model: ChatModel, request: ChatRequest) -> tuple[Message, str]:
    """Collect the stream into one message and its finish reason. Incomplete calls are dropped."""
    text: list[str] = []
    calls: dict[int, ToolCall] = {}
    complete: list[ToolCall] = []
    reason = "stop"
    async with aclosing(model.stream(request)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(more):
                    text.append(more)
                case ToolCallStart(index, id, name):
                    calls[index] = ToolCall(id, name, "")
                case ToolCallArguments(index, more):
                    call = calls[index]
                    calls[index] = ToolCall(call.id, call.name, call.arguments + more)
                case ToolCallEnd(index):
                    complete.append(calls[index])
                case Finish():
                    reason = delta.reason
                case ReasoningDelta():
                    pass  # the server gets the answer without the reasoning
                case _:
                    assert_never(delta)
    return Message.assistant("".join(text), tuple(complete)), reason


def _request(params: t.CreateMessageRequestParams) -> ChatRequest:
    """Convert the server's request. Model preferences are ignored.

    Raises:
        KronkError: a value is not supported by the model.
        ValueError: invalid base64, or content that the model cannot take.
    """
    if params.include_context not in (None, "none"):
        raise ValueError(f"includeContext {params.include_context!r} is not offered: use none")
    tools = tuple(_tool(tool) for tool in params.tools or ())
    mode = (params.tool_choice.mode if params.tool_choice else None) or "auto"
    sampling = SamplingParams()
    if params.temperature is not None:
        sampling = SamplingParams(temperature=params.temperature)
    system = [Message.system(params.system_prompt)] if params.system_prompt else []
    return ChatRequest(
        messages=(*system, *_messages(params.messages)),
        tools=tools,
        tool_choice=ToolChoice(mode if tools else "none"),
        sampling=sampling,
        max_tokens=min(params.max_tokens, TOKENS_PER_REQUEST),
        stop=tuple(params.stop_sequences or ()),
        streamed=False,
    )


async def _not_callable(arguments: JsonObject, context: ToolContext) -> ToolOutput:
    raise ToolError("the server calls its tools itself")


def _tool(tool: t.Tool) -> Tool:
    try:
        return Tool(
            name=tool.name,
            description=tool.description or tool.name,
            parameters=tool.input_schema,
            call=_not_callable,
            strict=False,
        )
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _messages(given: Iterable[t.SamplingMessage]) -> Iterable[Message]:
    names: dict[str, str] = {}
    for message in given:
        parts: list[Part] = []
        calls: list[ToolCall] = []
        for block in message.content_as_list:
            match block:
                case t.ToolUseContent():
                    names[block.id] = block.name
                    calls.append(ToolCall(block.id, block.name, json.dumps(block.input)))
                case t.ToolResultContent():
                    yield _tool_message(block, names.get(block.tool_use_id))
                case _:
                    parts.append(_part(block))
        if parts or calls:
            yield Message(message.role, tuple(parts), tool_calls=tuple(calls))


def _tool_message(block: t.ToolResultContent, name: str | None) -> Message:
    parts: list[Part] = []
    for item in block.content:
        if isinstance(item, t.TextContent | t.ImageContent | t.AudioContent):
            parts.append(_part(item))
        else:
            raise ValueError(f"a tool result with {item.type} content is not taken: send its text")
    if not parts:
        parts.append(TextPart(json.dumps(block.structured_content, ensure_ascii=False)))
    return Message("tool", tuple(parts), tool_call_id=block.tool_use_id, name=name)


def _part(block: t.TextContent | t.ImageContent | t.AudioContent) -> Part:
    match block:
        case t.TextContent():
            return TextPart(block.text)
        case t.ImageContent():
            return ImagePart(base64.b64decode(block.data, validate=True), block.mime_type)
        case t.AudioContent():
            return AudioPart(base64.b64decode(block.data, validate=True), block.mime_type)
        case _:
            assert_never(block)
