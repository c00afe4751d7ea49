"""The response object: sent to the client, stored, and retrieved later."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kronk_agent.api.protocols.common.schema import new_id
from kronk_agent.api.protocols.openai_responses.request import CreateResponse
from kronk_agent.api.protocols.openai_responses.tools import WireTool
from kronk_agent.api.tools.client_tools import OtherTool
from kronk_agent.errors import ContextLengthError, InvalidRequestError, OverloadedError
from kronk_agent.messages import JsonObject, JsonValue, RunFinished, Usage
from kronk_agent.sessions.records import ResponseStatus
from kronk_agent.settings import SamplingParams


@dataclass(slots=True, kw_only=True)
class ResponseState:
    """The current state of a response."""

    request: CreateResponse
    sampling: SamplingParams
    """The sampling parameters in effect."""
    id: str = field(default_factory=lambda: new_id("resp_"))
    created_at: int = field(default_factory=lambda: int(time.time()))
    status: ResponseStatus = "in_progress"
    output: list[JsonObject] = field(default_factory=list)
    """Items; empty objects are placeholders of unfinished ones."""
    usage: Usage | None = None
    error: JsonObject | None = None
    incomplete_reason: str | None = None
    completed_at: int | None = None
    notices: list[JsonValue] = field(default_factory=list)
    """Warnings for the user; sent as the extension field ``kronk.notices``."""

    def finish(self, finished: RunFinished, *, is_budget_spent: bool) -> None:
        """Set the final state from the end of the run."""
        self.usage = finished.usage
        match finished.reason:
            case "error":
                self.fail(finished.exception, finished.error or "the run failed")
            case "length":
                self.status, self.incomplete_reason = "incomplete", "max_output_tokens"
            case "cancelled" if is_budget_spent:
                self.status, self.incomplete_reason = "incomplete", "max_output_tokens"
            case "cancelled":
                self.status = "cancelled"
            case "malformed_tool_call":
                self.status, self.incomplete_reason = "incomplete", "malformed_tool_call"
            case _:
                self.status, self.completed_at = "completed", int(time.time())

    def fail(self, error: BaseException | None, message: str) -> None:
        """Set the state to failed."""
        self.status = "failed"
        self.error = {"code": _error_code(error), "message": message}

    def to_json(self) -> JsonObject:
        """Encode the response object, without the request's secrets."""
        wire = self.request
        conversation = wire.conversation_id
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": self.status,
            "background": bool(wire.background),
            "completed_at": self.completed_at,
            "conversation": None if conversation is None else {"id": conversation},
            "error": self.error,
            "incomplete_details": (
                None if self.incomplete_reason is None else {"reason": self.incomplete_reason}
            ),
            "instructions": wire.instructions,
            "max_output_tokens": wire.max_output_tokens,
            "max_tool_calls": wire.max_tool_calls,
            "metadata": dict(wire.metadata or {}),
            "model": wire.model,
            "output": [item for item in self.output if item],
            "parallel_tool_calls": wire.parallel_tool_calls is not False,
            "previous_response_id": wire.previous_response_id,
            "prompt_cache_key": wire.prompt_cache_key,
            "reasoning": {
                "effort": wire.reasoning.effort if wire.reasoning else None,
                "summary": wire.reasoning.summary if wire.reasoning else None,
            },
            "safety_identifier": wire.safety_identifier,
            "service_tier": "default",
            "store": wire.is_stored,
            "temperature": self.sampling.temperature,
            "text": _text(wire),
            "tool_choice": _tool_choice(wire),
            "tools": tools_to_wire(wire.tools or ()),
            "top_logprobs": wire.top_logprobs or 0,
            "top_p": self.sampling.top_p,
            "truncation": wire.truncation or "disabled",
            "usage": None if self.usage is None else usage_to_wire(self.usage),
            "user": wire.user,
            **({"kronk": {"notices": list(self.notices)}} if self.notices else {}),
        }


def usage_to_wire(usage: Usage) -> JsonObject:
    """The usage in OpenAI's format."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.prompt_tokens - usage.cached_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def tools_to_wire(tools: Sequence[WireTool]) -> list[JsonValue]:
    """The effective tools, without ignored ones and without secrets."""
    return [_tool(tool) for tool in tools if not isinstance(tool, OtherTool)]


def _tool(tool: WireTool) -> JsonObject:
    given: JsonObject = tool.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"headers", "authorization"}
    )
    match given.get("server_url"):
        case str(url):
            given["server_url"] = urlsplit(url)._replace(query="", fragment="").geturl()
    return {"parameters": None, "strict": False, **given} if tool.type == "function" else given


def _text(wire: CreateResponse) -> JsonObject:
    given: JsonObject = (
        wire.text.model_dump(mode="json", by_alias=True, exclude_none=True) if wire.text else {}
    )
    return {"format": {"type": "text"}, "verbosity": "medium", **given}


def _tool_choice(wire: CreateResponse) -> JsonValue:
    choice = wire.tool_choice
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    given: JsonObject = choice.model_dump(mode="json", by_alias=True, exclude_none=True)
    return given


def _error_code(error: BaseException | None) -> str:
    match error:
        case ContextLengthError():
            return "context_length_exceeded"
        case InvalidRequestError():
            return "invalid_prompt"
        case OverloadedError():
            return "rate_limit_exceeded"
        case _:
            return "server_error"
