"""Test support for programs built on kronk-agent: a chat model that follows a script.

The agent around it and the tools it calls are real::

    model = ScriptedModel([call("add", a=1, b=2), "It is 3."])
    agent = Agent(model, [StaticToolset("mine", (add,))])
    assert (await agent.answer([Message.user("1 + 2?")])).text == "It is 3."
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence
from typing import TypeAlias, TypeVar, assert_never

import anyio
from anyio.lowlevel import checkpoint
from jsonschema import Draft202012Validator

from kronk_agent.errors import ContextLengthError, InvalidRequestError
from kronk_agent.messages import (
    Delta,
    Finish,
    FinishReason,
    JsonObject,
    JsonValue,
    Message,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from kronk_agent.model import ChatModel, ChatRequest, ModelInfo, RenderedPrompt
from kronk_agent.settings import ResponseFormat
from kronk_agent.tools import Tool, ToolContext, ToolOutput

T = TypeVar("T")

Piece: TypeAlias = str | ReasoningDelta | ToolCall | anyio.Event | Exception
"""A part of a turn: text, reasoning, a call, an event to wait for, or an exception to raise."""

Turn: TypeAlias = Piece | Sequence[Piece] | Callable[[ChatRequest], Piece | Sequence[Piece]]
"""One turn of a script; a function receives the request and returns the turn."""

_LOGPROB = -0.5
_TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s")


class ScriptError(AssertionError):
    """The script and the requests do not match: the test or the agent is wrong."""


def call(name: str, /, **arguments: JsonValue) -> ToolCall:
    """Return a call for a script. Its ID is assigned on use: ``call_1``, ``call_2``, ..."""
    return ToolCall(id="", name=name, arguments=json.dumps(arguments))


async def collect(items: AsyncIterable[T]) -> list[T]:
    """Collect all items of an async iterable, such as the events of a run."""
    return [item async for item in items]


async def invoke(
    tool: Tool, arguments: JsonObject | None = None, context: ToolContext | None = None
) -> ToolOutput:
    """Call a tool as an agent does, without checking arguments; failures are raised."""
    assert tool.call is not None, "client tools cannot be called"
    return await tool.call(arguments or {}, context or ToolContext())


class ScriptedModel:
    """A ``ChatModel`` that produces one turn of its script per request, token by token.

    It keeps the guarantees that a real model keeps with a grammar (``tool_choice``,
    ``parallel_tool_calls``, ``max_parallel_calls``, ``response_format``, thinking limits) by
    rejecting a script that breaks them. It leaves open what a grammar does not guarantee for every
    model: a call may name an unknown tool or have invalid arguments. ``max_tokens``, the context
    length and ``stop`` cut a turn short. With ``logprobs``, all tokens are equally likely. Grammars
    are not compiled, so ``lark`` and ``gbnf`` are rejected; sampling and template parameters have
    no effect.

    Tokens are counted in a simple way: up to six letters or digits with the preceding blank are one
    token, any other character is one. A message costs three more, and a call one.

    Args:
        turns: the script.
        context_length: maximum tokens of a prompt and its turn together.
        counts_like: a model whose counts of texts and prompts, tools included, are used instead.
    """

    def __init__(
        self,
        turns: Sequence[Turn],
        *,
        context_length: int = 8192,
        counts_like: ChatModel | None = None,
    ) -> None:
        self.info = ModelInfo("scripted", context_length, frozenset({"chat", "tools"}))
        self.requests: list[ChatRequest] = []
        """All requests so far."""
        self.num_interrupted = 0
        """Number of turns that were closed or cancelled before they finished."""
        self._turns = list(turns)
        self._num_calls = 0
        self._counts_like = counts_like

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        if self._counts_like is not None:
            return self._counts_like.count_tokens(text)
        return len(_tokens(text))

    async def count_prompt_tokens(self, request: ChatRequest) -> int:
        """Return the number of prompt tokens of a request."""
        if self._counts_like is not None:
            return await self._counts_like.count_prompt_tokens(request)
        return sum(self._size(message) for message in request.messages)

    async def render_prompt(self, request: ChatRequest) -> RenderedPrompt:
        """Always raises: a scripted model has no chat template.

        Raises:
            InvalidRequestError: always.
        """
        raise InvalidRequestError("a scripted model has no chat template", param="model")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Stream the next turn of the script.

        Raises:
            ScriptError: the script has ended, or breaks a guarantee.
            InvalidRequestError: the response format is a grammar.
        """
        if request.response_format.type in ("lark", "gbnf"):
            raise InvalidRequestError(
                f"a scripted model has no {request.response_format.type} grammars",
                param="response_format",
            )
        self.requests.append(request)
        pieces = self._pieces(request)
        num_prompt_tokens = await self.count_prompt_tokens(request)
        limit = self._limit(request, num_prompt_tokens)
        reason: FinishReason = "stop"
        pieces, stop_sequence = _up_to_stop(pieces, request.stop)
        num_tokens = num_reasoning = 0
        try:
            for item in self._deltas(pieces):
                if isinstance(item, anyio.Event):
                    await item.wait()
                    continue
                if not isinstance(item, ToolCallEnd):
                    if num_tokens == limit:
                        reason = "length"
                        break
                    num_tokens += 1
                if isinstance(item, ToolCallStart):
                    reason = "tool_calls"
                num_reasoning += isinstance(item, ReasoningDelta)
                await checkpoint()
                yield _scored(item, request.top_logprobs) if request.logprobs else item
        except (GeneratorExit, anyio.get_cancelled_exc_class()):
            self.num_interrupted += 1
            raise
        usage = Usage(num_prompt_tokens, num_tokens, reasoning_tokens=num_reasoning)
        if stop_sequence is not None and reason != "length":
            yield Finish("stop", usage, stop_sequence=stop_sequence)
            return
        yield Finish(reason, usage)

    def _pieces(self, request: ChatRequest) -> Sequence[Piece]:
        number = len(self.requests)
        if number > len(self._turns):
            raise ScriptError(
                f"the script has ended: it has {len(self._turns)} turns, and turn {number} was "
                "requested"
            )
        turn = self._turns[number - 1]
        content = turn(request) if callable(turn) else turn
        pieces = (content,) if isinstance(content, Piece) else content
        problem = _broken_promise(pieces, request)
        if problem is not None:
            raise ScriptError(f"turn {number} of the script {problem}")
        return pieces

    def _limit(self, request: ChatRequest, num_prompt_tokens: int) -> int:
        context_length = self.info.context_length
        if num_prompt_tokens >= context_length:
            raise ContextLengthError(
                num_prompt_tokens=num_prompt_tokens, context_length=context_length
            )
        num_free = context_length - num_prompt_tokens
        return num_free if request.max_tokens is None else min(request.max_tokens, num_free)

    def _size(self, message: Message) -> int:
        calls = sum(1 + self.count_tokens(call.arguments) for call in message.tool_calls)
        return 3 + self.count_tokens(message.text) + calls

    def _deltas(self, pieces: Sequence[Piece]) -> Iterator[Delta | anyio.Event]:
        num_calls = 0
        for piece in pieces:
            match piece:
                case str(text):
                    yield from map(TextDelta, _tokens(text))
                case ReasoningDelta(text):
                    yield from map(ReasoningDelta, _tokens(text))
                case ToolCall():
                    yield from self._call_deltas(num_calls, piece)
                    num_calls += 1
                case anyio.Event():
                    yield piece
                case Exception():
                    raise piece
                case _:
                    assert_never(piece)

    def _call_deltas(self, index: int, call: ToolCall) -> Iterator[Delta]:
        self._num_calls += 1
        yield ToolCallStart(index, call.id or f"call_{self._num_calls}", call.name)
        for fragment in _tokens(call.arguments):
            yield ToolCallArguments(index, fragment)
        yield ToolCallEnd(index)


def _up_to_stop(pieces: Sequence[Piece], stop: Sequence[str]) -> tuple[Sequence[Piece], str | None]:
    """Return the turn up to the first stop sequence, and that sequence."""
    for number, piece in enumerate(pieces):
        content = piece if isinstance(piece, str) else ""
        found = [(at, text) for text in stop if (at := content.find(text)) >= 0]
        if found:
            at, text = min(found)
            return [*pieces[:number], content[:at]], text
    return pieces, None


def _scored(delta: Delta, num_top: int) -> Delta:
    if not isinstance(delta, TextDelta):
        return delta
    alternatives = [delta.text, *(f"other_{number}" for number in range(1, num_top))]
    top = tuple(
        TokenLogprob(text, text.encode(), None, _LOGPROB - number)
        for number, text in enumerate(alternatives[:num_top])
    )
    token = TokenLogprob(delta.text, delta.text.encode(), None, _LOGPROB, top)
    return TextDelta(delta.text, (token,))


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _broken_promise(pieces: Sequence[Piece], request: ChatRequest) -> str | None:
    is_cut = any(isinstance(piece, Exception) for piece in pieces)
    return (
        _broken_call(pieces, request, is_cut)
        or _broken_thinking(pieces, request)
        or (None if is_cut else _broken_format(pieces, request.response_format))
    )


def _broken_call(pieces: Sequence[Piece], request: ChatRequest, is_cut: bool) -> str | None:
    names = [piece.name for piece in pieces if isinstance(piece, ToolCall)]
    choice = request.tool_choice
    if choice.mode == "none" and names:
        return f"calls {names[0]}, but tool_choice is none"
    if choice.allowed is not None and not set(names) <= set(choice.allowed):
        return f"calls {', '.join(names)}, but tool_choice allows {', '.join(choice.allowed)}"
    if len(names) > 1 and not request.parallel_tool_calls:
        return f"makes {len(names)} calls, but parallel_tool_calls is false"
    if len(names) > (request.max_parallel_calls or len(names)):
        return f"makes {len(names)} calls, but max_parallel_calls is {request.max_parallel_calls}"
    if is_cut:
        return None
    if choice.mode in ("required", "named") and not names:
        return f"makes no call, but tool_choice is {choice.name or choice.mode}"
    if choice.mode == "named" and set(names) != {choice.name}:
        return f"calls {', '.join(names)}, but tool_choice is {choice.name}"
    return None


def _broken_thinking(pieces: Sequence[Piece], request: ChatRequest) -> str | None:
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningDelta))
    if thought and request.is_thinking_enabled is False:
        return "thinks, but thinking is switched off"
    budget = request.reasoning_budget
    if budget is not None and len(_tokens(thought)) > budget:
        return f"thinks for {len(_tokens(thought))} tokens, but reasoning_budget is {budget}"
    return None


def _broken_format(pieces: Sequence[Piece], format: ResponseFormat) -> str | None:
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    if any(isinstance(piece, ToolCall) for piece in pieces) and not text:
        return None
    match format.type:
        case "json_object" | "json_schema":
            try:
                value = json.loads(text)
            except ValueError:
                return f"answers {text!r}, which is not the JSON that response_format asks for"
            schema = format.schema or {"type": "object"}
            if not Draft202012Validator(schema).is_valid(value):
                return f"answers {text!r}, which response_format's schema does not allow"
        case "regex" if not re.fullmatch(format.pattern or "", text):
            return f"answers {text!r}, which response_format's regex does not match"
        case _:
            pass
    return None
