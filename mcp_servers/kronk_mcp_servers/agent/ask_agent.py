"""``ask_agent``: a complete run of the agent with its tools."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import mcp.types as t

from kronk_agent.agent import Agent
from kronk_agent.agent.tool_calls.tool_executor import collect_tools
from kronk_agent.config.schema.config import NamedAgentConfig
from kronk_agent.errors import InvalidRequestError, ToolError
from kronk_agent.messages import JsonObject, JsonValue, Message, RunFinished
from kronk_agent.runtime import Runtime
from kronk_agent.runtime.agents import FilteredToolset
from kronk_agent.settings import ResponseFormat
from kronk_agent.tools import Rule
from kronk_agent.tools.policy import is_named
from kronk_mcp_servers.agent.caller import cache_salt
from kronk_mcp_servers.agent.following import Follower, OnResult, usage_value
from kronk_mcp_servers.agent.resources import sessions_of_caller
from kronk_mcp_servers.agent.schemas import INTEGER, STRING, USAGE, integer, object_schema, text
from kronk_mcp_servers.serving.registry import ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

_MAX_TITLE_CHARS = 80


class OnAnswer(Protocol):
    """Called when a session has a new answer; ``is_new`` for its first."""

    async def __call__(self, session_id: str, /, *, is_new: bool) -> None:
        """Handle the new answer."""


_DESCRIPTION = (
    "Give a task to the agent that runs on this machine with a local model. It works on its own "
    "with its tools (it searches the web, reads pages and uses the MCP servers registered with "
    "it) and answers when it is done. It knows nothing of your conversation: say all it needs."
)


def _input_schema(max_prompt_characters: int, agents: Mapping[str, NamedAgentConfig]) -> JsonObject:
    listed = "; ".join(
        f"{name}: {agent.description}".rstrip(": ") for name, agent in agents.items()
    )
    return object_schema(
        {
            "prompt": text(
                "The task, with all that is needed to do it.",
                minLength=1,
                maxLength=max_prompt_characters,
            )
        },
        {
            "agent": text(
                f"An agent by its name; without this the default. There are: {listed or 'none'}."
            ),
            "model": text("A model by its name; without this the default."),
            "session_id": text("Go on with an earlier conversation: the id its answer gave."),
            "tools": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Names of the tools it may use; * and ? stand for any text. "
                "Without this all of them; an empty list is none.",
            },
            "max_steps": integer("Turns of the model at most.", minimum=1, maximum=100),
            "response_schema": {
                "type": "object",
                "description": "JSON Schema of the answer, which is then JSON.",
            },
        },
    )


_OUTPUT_SCHEMA = object_schema(
    {
        "answer": text("What the agent said in the end."),
        "reason": text("Why it ended: stop is as it should be."),
        "session_id": text("To go on with this conversation."),
        "sources": {
            "type": "array",
            "items": object_schema(
                {"number": INTEGER, "url": STRING, "title": {"type": ["string", "null"]}}
            ),
        },
        "steps": {
            "type": "array",
            "items": object_schema(
                {
                    "step": INTEGER,
                    "tool_calls": {
                        "type": "array",
                        "items": object_schema(
                            {
                                "tool": STRING,
                                "is_error": {"type": "boolean"},
                                "seconds": {"type": "number"},
                            }
                        ),
                    },
                }
            ),
        },
        "usage": USAGE,
    },
    {"data": {"description": "The answer as JSON, with response_schema."}},
)


class AskAgent:
    """The tool ``ask_agent`` of one runtime."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        policy_ceiling: tuple[Rule, ...],
        max_prompt_characters: int,
        on_result: OnResult,
        on_answer: OnAnswer,
    ) -> None:
        self._runtime = runtime
        self._policy_ceiling = policy_ceiling
        self._on_result = on_result
        self._on_answer = on_answer
        self._busy: set[str] = set()
        self.tool = ServedTool(
            definition=t.Tool(
                name="ask_agent",
                title="Ask the local agent",
                description=_DESCRIPTION,
                input_schema=_input_schema(max_prompt_characters, runtime.config.agents),
                output_schema=_OUTPUT_SCHEMA,
                annotations=t.ToolAnnotations(
                    title="Ask the local agent", read_only_hint=False, open_world_hint=True
                ),
            ),
            call=self._call,
            task_after_seconds=0,
        )

    async def _call(self, arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        prompt = arguments["prompt"]
        assert isinstance(prompt, str)
        given = arguments.get("session_id")
        session_id = str(given) if given is not None else f"session_{secrets.token_urlsafe(16)}"
        if session_id in self._busy:
            raise ToolError(f"session_id: {session_id!r} is being answered: wait, or begin another")
        self._busy.add(session_id)
        try:
            return await self._answer(arguments, prompt, session_id, given is None, call)
        finally:
            self._busy.discard(session_id)

    async def _answer(
        self,
        arguments: JsonObject,
        prompt: str,
        session_id: str,
        is_new: bool,
        call: RequestContext,
    ) -> t.CallToolResult:
        store = await sessions_of_caller(self._runtime)
        if not is_new and await store.session(session_id) is None:
            raise ToolError(f"session_id: there is no session {session_id[:64]!r}; leave it out")
        earlier = [] if is_new else await store.messages(session_id)
        follower = Follower(call, on_result=self._on_result)
        agent = await follower.opening(
            "loading the model",
            partial(self._runtime.agent, _agent_of(arguments), model=model_of(arguments)),
        )
        agent = self._with_options(agent, arguments)
        message = Message.user(prompt)
        finished = await follower.follow(agent, [*earlier, message])
        if is_new:
            title = prompt.partition("\n")[0][:_MAX_TITLE_CHARS]
            await store.create_session(session_id, title=title)
        await store.append(session_id, [message, *finished.messages])
        await self._on_answer(session_id, is_new=is_new)
        return _result(finished, follower, session_id, "response_schema" in arguments)

    def _with_options(self, agent: Agent, arguments: JsonObject) -> Agent:
        salt = cache_salt()
        is_shared = not salt or self._runtime.config.server.share_agent_prefixes
        options = replace(
            agent.options,
            policy_ceiling=self._policy_ceiling,
            streamed=False,
            cache_salt=salt,
            share_prefix=agent.options.share_prefix and is_shared,
        )
        agent = replace(agent, options=options)
        match arguments.get("tools"):
            case list(patterns):
                agent = _with_tools(agent, tuple(str(pattern) for pattern in patterns))
        match arguments.get("max_steps"):
            case int(max_steps):
                options = replace(options, max_steps=max_steps)
        match arguments.get("response_schema"):
            case dict(schema):
                options = replace(options, response_format=json_schema(schema))
        return replace(agent, options=options)


def _with_tools(agent: Agent, patterns: Sequence[str]) -> Agent:
    """Restrict the agent to these tools.

    Raises:
        ToolError: a pattern matches no tool that may be called.
    """
    tools, _ = collect_tools(agent.toolsets, policy=agent.options.effective_rules)
    for pattern in patterns:
        if not any(is_named(name, [pattern]) for name in tools):
            available = ", ".join(tools) or "none"
            raise ToolError(f"tools: there is no tool {pattern!r}; there are: {available}")
    toolsets = tuple(FilteredToolset(toolset, tuple(patterns)) for toolset in agent.toolsets)
    return replace(agent, toolsets=toolsets)


def _agent_of(arguments: JsonObject) -> str | None:
    agent = arguments.get("agent")
    return agent if isinstance(agent, str) else None


def model_of(arguments: JsonObject) -> str | None:
    """Return the model that the client chose; None for the default."""
    model = arguments.get("model")
    return model if isinstance(model, str) else None


def json_schema(schema: JsonObject) -> ResponseFormat:
    """Return the response format for a JSON Schema.

    Raises:
        InvalidRequestError: the schema is invalid.
    """
    from jsonschema import Draft202012Validator  # heavy
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        message = f"the schema is wrong at {error.json_path}: {error.message}"
        raise InvalidRequestError(message, param="response_schema") from None
    return ResponseFormat(type="json_schema", schema=schema)


def _result(
    finished: RunFinished, follower: Follower, session_id: str, is_json: bool
) -> t.CallToolResult:
    steps: list[JsonValue] = list(follower.steps)
    structured: JsonObject = {
        "answer": finished.text,
        "reason": finished.reason,
        "session_id": session_id,
        "sources": [
            {"number": source.number, "url": source.url, "title": source.title}
            for source in finished.sources
        ],
        "steps": steps,
        "usage": usage_value(finished.usage),
    }
    if is_json:
        structured["data"] = parsed(finished.text)
    content: list[t.ContentBlock] = [t.TextContent(text=finished.text)]
    content += [
        t.ResourceLink(
            name=f"[{source.number}] {source.title or source.url}",
            title=source.title,
            uri=source.url,
        )
        for source in finished.sources
    ]
    return t.CallToolResult(content=content, structured_content=structured)


def parsed(text: str) -> JsonValue:
    """Parse the answer as JSON; None if it was truncated or is nested too deeply."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
