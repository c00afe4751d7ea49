"""Lets the model summarize the older part of a conversation, constrained by a JSON Schema."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace

from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import Finish, JsonObject, JsonValue, Message, TextDelta, Usage
from kronk_agent.model import ChatModel, ChatRequest
from kronk_agent.settings import ResponseFormat, ToolChoice

_ASK = (
    "Stop here for a moment. All messages above will be deleted to make room. Write as JSON what "
    "you need to go on without them. summary: what was asked for and what has been done. facts: "
    "each name, number, path, address and result found so far that may still matter, copied "
    "exactly. open_tasks: what is still to be done."
)
_TITLE = "Summary of the conversation so far, in place of older messages:"
_MAX_FACTS = 24
_MAX_TASKS = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary that the model wrote, as text for later prompts."""

    text: str
    """Empty if the answer could not be parsed."""
    usage: Usage


def summary_request(request: ChatRequest, max_tokens: int) -> ChatRequest:
    """Return the request for a summary of at most ``max_tokens`` tokens.

    Its prompt begins like those of the run, including the tools, so that the prefix cache is used.
    """
    return replace(
        request,
        messages=(*request.messages, Message.user(_ASK)),
        tool_choice=ToolChoice("none"),
        tool_call_bias=None,
        response_format=ResponseFormat(
            type="json_schema", schema=_schema(max_tokens), strict=False
        ),
        enable_thinking=False,
        reasoning_effort=None,
        reasoning_budget=None,
        separate_reasoning=True,
        continue_final_message=False,
        max_tokens=max_tokens,
        stop=(),
        logprobs=False,
        top_logprobs=0,
        streamed=False,
    )


async def write_summary(model: ChatModel, request: ChatRequest) -> Summary:
    """Let the model write the summary.

    Raises:
        KronkError: the model failed.
    """
    try:
        return await _write(model, request)
    except InvalidRequestError as error:
        if error.param != "enable_thinking":
            raise
        # Some servers do not support disabling thinking.
        return await _write(model, replace(request, enable_thinking=None))


async def _write(model: ChatModel, request: ChatRequest) -> Summary:
    usage = Usage()
    texts: list[str] = []
    async with aclosing(model.stream(request)) as deltas:
        async for delta in deltas:
            if isinstance(delta, TextDelta):
                texts.append(delta.text)
            elif isinstance(delta, Finish):
                usage = delta.usage
    return Summary(_to_text("".join(texts)), usage)


def _schema(max_tokens: int) -> JsonObject:
    """Return the schema; its lengths (characters) are chosen to rarely exceed ``max_tokens``."""
    long, short = max(80, max_tokens), max(40, max_tokens // 4)
    return {
        "type": "object",
        "properties": {
            "summary": {"type": "string", "minLength": 1, "maxLength": long},
            "facts": _list_of(_MAX_FACTS, short),
            "open_tasks": _list_of(_MAX_TASKS, short),
        },
        "required": ["summary", "facts", "open_tasks"],
        "additionalProperties": False,
    }


def _list_of(max_items: int, max_length: int) -> JsonObject:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": max_length},
        "maxItems": max_items,
    }


def _to_text(answer: str) -> str:
    """Format the answer as text, as far as it can be parsed; empty if it cannot."""
    from pydantic_core import from_json  # heavy

    try:
        value = from_json(answer, allow_partial="trailing-strings")
    except ValueError:
        return ""
    if not isinstance(value, dict):
        return ""
    lines = [*_lines(value.get("summary"))]
    for key, title in {"facts": "Facts:", "open_tasks": "Open tasks:"}.items():
        items = _lines(value.get(key))
        if items:
            lines += [title, *(f"- {item}" for item in items)]
    return "\n".join([_TITLE, *lines]) if lines else ""


def _lines(value: JsonValue) -> list[str]:
    """Return the texts in a value, each on one line, without repetitions."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    lines = [" ".join(text.split()) for text in texts if isinstance(text, str)]
    return list(dict.fromkeys(line for line in lines if line))
