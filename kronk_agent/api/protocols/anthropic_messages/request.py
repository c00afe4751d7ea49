"""Requests for ``/v1/messages``, as runs of an agent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.api.middleware.identity import current_client
from kronk_agent.api.model_router import as_asked
from kronk_agent.api.protocols.anthropic_messages.conversation import to_messages
from kronk_agent.api.protocols.anthropic_messages.encoder import MessageFormat
from kronk_agent.api.protocols.anthropic_messages.schema import (
    CountTokensRequest,
    MessagesRequest,
    OutputFormat,
    ThinkingAdaptive,
    ThinkingEnabled,
)
from kronk_agent.api.protocols.anthropic_messages.thinking import Cleared, clear_thinking
from kronk_agent.api.protocols.anthropic_messages.tools import (
    cites_pages,
    is_parallel,
    servers_of,
    to_choice,
    to_tools,
)
from kronk_agent.api.protocols.common.schema import new_id
from kronk_agent.errors import InvalidRequestError
from kronk_agent.messages import JsonObject, Message
from kronk_agent.settings import ResponseFormat, SamplingParams, ToolChoice
from kronk_agent.tools import Tool, Toolset


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesRun:
    """One run: agent, conversation and client tools."""

    agent: Agent
    messages: Sequence[Message]
    client_tools: tuple[Tool, ...]
    tool_choice: ToolChoice | None
    cleared: tuple[Cleared, ...] | None
    """The effect of each edit of ``context_management``; None without any."""


def to_run(
    body: CountTokensRequest,
    agent: Agent,
    toolsets: Sequence[Toolset],
    urls: Mapping[str, str | None],
    inline_servers: Collection[str] = (),
) -> MessagesRun:
    """Build the run of a request.

    Args:
        body: the request.
        agent: the agent behind the request's model.
        toolsets: all toolsets of the server.
        urls: the MCP servers there are, and where those are that are not programs.
        guests: those among them that the request brings along.

    Raises:
        InvalidRequestError: the request is invalid; ``param`` names the field.
        HttpError: the API key has no scope for server tools (403).
    """
    tools = to_tools(body.tools, body.mcp_servers, toolsets, urls, inline_servers)
    if tools.hosted:
        current_client().need("agents")
    names = {place: name for name, place in servers_of(toolsets).items()}
    messages = to_messages(body.system, body.messages, names)
    cleared: list[Cleared] = []
    for edit in body.context_management.edits if body.context_management else ():
        messages, one = clear_thinking(messages, edit)
        cleared.append(one)
    agent_options = options(body, agent.options, goes_on=body.messages[-1].role == "assistant")
    return MessagesRun(
        agent=as_asked(agent, toolsets=(*tools.hosted, *agent.toolsets), options=agent_options),
        messages=messages,
        client_tools=tools.client,
        tool_choice=to_choice(body.tool_choice),
        cleared=None if body.context_management is None else tuple(cleared),
    )


def message_format(body: MessagesRequest, job: MessagesRun) -> MessageFormat:
    """The format of the answer."""
    thinking = body.thinking
    display = thinking.display if isinstance(thinking, _THINKS) else None
    return MessageFormat(
        id=new_id("msg_"),
        model=body.model,
        client_tools=frozenset(tool.name for tool in job.client_tools),
        servers=servers_of(job.agent.toolsets),
        max_tokens=body.max_tokens,
        shows_thinking=display != "omitted",
        cites_pages=cites_pages(body.tools),
        more=_more(body),
        context_management=_applied(job),
    )


_THINKS = (ThinkingEnabled, ThinkingAdaptive)


def options(body: CountTokensRequest, base: AgentOptions, *, goes_on: bool) -> AgentOptions:
    """The options of an agent with the changes of a request.

    Args:
        body: the request.
        base: what is configured.
        goes_on: True if the conversation ends with an assistant's message, to be continued.

    Raises:
        InvalidRequestError: a value out of range, or two that exclude each other.
    """
    changes: dict[str, Any] = {
        "response_format": _response_format(body),
        "reasoning_effort": body.output_config.effort if body.output_config else None,
        "parallel_tool_calls": is_parallel(body.tool_choice),
        "continue_final_message": goes_on or None,
    }
    changes |= _thinking(body, base)
    if isinstance(body, MessagesRequest):
        changes |= {
            "max_tokens": body.max_tokens,
            "stop": tuple(body.stop_sequences) or None,
            "streamed": bool(body.stream),
            "sampling": _sampling(body, base.sampling),
        }
    return replace(base, **{key: value for key, value in changes.items() if value is not None})


def _thinking(body: CountTokensRequest, base: AgentOptions) -> dict[str, Any]:
    """The thinking settings; in this API thinking is off unless requested or configured."""
    match body.thinking:
        case ThinkingEnabled(budget_tokens=budget):
            return {"enable_thinking": True, "reasoning_budget": budget}
        case ThinkingAdaptive():
            return {}
        case None if base.enable_thinking is not None:
            return {}
        case _:
            return {"enable_thinking": False}


def _response_format(body: CountTokensRequest) -> ResponseFormat | None:
    given: dict[str, OutputFormat | None] = {
        "output_config.format": body.output_config.format if body.output_config else None,
        "output_format": body.output_format,
    }
    forms = [form for form in given.values() if form is not None]
    if len(forms) > 1:
        raise InvalidRequestError(
            "output_format cannot be combined with output_config.format", param="output_format"
        )
    return ResponseFormat(type="json_schema", schema=forms[0].schema_) if forms else None


def _sampling(body: MessagesRequest, base: SamplingParams) -> SamplingParams:
    given: dict[str, Any] = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
    }
    return replace(base, **{key: value for key, value in given.items() if value is not None})


def _more(body: MessagesRequest) -> JsonObject:
    if body.diagnostics is None or body.diagnostics.previous_message_id is None:
        return {}
    return {"diagnostics": {"cache_miss_reason": {"type": "unavailable"}}}


def _applied(job: MessagesRun) -> JsonObject | None:
    """The edits applied to the conversation; those without effect are left out."""
    if job.cleared is None:
        return None
    count = job.agent.model.count_tokens
    return {
        "applied_edits": [
            {
                "type": "clear_thinking_20251015",
                "cleared_thinking_turns": cleared.num_turns,
                "cleared_input_tokens": count(cleared.thinking),
            }
            for cleared in job.cleared
            if cleared.num_turns
        ]
    }
