"""``generate``: one turn of the model, without tools."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import mcp.types as t

from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.messages import JsonObject, Message
from kronk_agent.runtime import Runtime
from kronk_mcp_servers.agent.ask_agent import json_schema, model_of, parsed
from kronk_mcp_servers.agent.caller import cache_salt
from kronk_mcp_servers.agent.following import Follower, usage_value
from kronk_mcp_servers.agent.schemas import USAGE, integer, object_schema, text
from kronk_mcp_servers.serving.registry import ServedTool
from kronk_mcp_servers.serving.request_context import RequestContext

_OUTPUT_SCHEMA = object_schema(
    {
        "text": text("What the model wrote."),
        "reason": text("stop: it was done; length: it was cut off."),
        "usage": USAGE,
    },
    {"data": {"description": "The text as JSON, with response_schema."}},
)


def generate_tool(runtime: Runtime, *, max_prompt_characters: int) -> ServedTool:
    """Return the tool ``generate`` of one runtime."""
    input_schema = object_schema(
        {"prompt": text("What to answer.", minLength=1, maxLength=max_prompt_characters)},
        {
            "model": text("A model by its name; without this the default."),
            "system": text("How to answer: the system message."),
            "max_tokens": integer("Tokens of the answer at most.", minimum=1),
            "temperature": {
                "type": "number",
                "minimum": 0,
                "maximum": 100,
                "description": "0 takes the likeliest token every time.",
            },
            "response_schema": {
                "type": "object",
                "description": "JSON Schema of the answer, which is then JSON.",
            },
        },
    )

    async def generate(arguments: JsonObject, call: RequestContext) -> t.CallToolResult:
        """Generate one answer."""
        follower = Follower(call)
        configured = await follower.opening(
            "loading the model", partial(runtime.agent, model=model_of(arguments))
        )
        agent = Agent(configured.model, (), _options(configured.options, arguments))
        finished = await follower.follow(agent, [Message.user(str(arguments["prompt"]))])
        structured: JsonObject = {
            "text": finished.text,
            "reason": finished.reason,
            "usage": usage_value(finished.usage),
        }
        if "response_schema" in arguments:
            structured["data"] = parsed(finished.text)
        return t.CallToolResult(
            content=[t.TextContent(text=finished.text)], structured_content=structured
        )

    return ServedTool(
        definition=t.Tool(
            name="generate",
            title="Ask the local model",
            description="One answer of the local model, without tools and without a conversation.",
            input_schema=input_schema,
            output_schema=_OUTPUT_SCHEMA,
            annotations=t.ToolAnnotations(
                title="Ask the local model", read_only_hint=True, open_world_hint=False
            ),
        ),
        call=generate,
        task_after_seconds=0,
    )


def _options(configured: AgentOptions, arguments: JsonObject) -> AgentOptions:
    options = AgentOptions(
        instructions="",
        sampling=configured.sampling,
        max_tokens=configured.max_tokens,
        max_steps=1,
        compaction="off",
        streamed=False,
        cache_salt=cache_salt(),
    )
    match arguments.get("system"):
        case str(system):
            options = replace(options, instructions=system)
    match arguments.get("max_tokens"):
        case int(max_tokens):
            options = replace(options, max_tokens=max_tokens)
    match arguments.get("temperature"):
        case int() | float() as temperature:
            sampling = replace(options.sampling, temperature=float(temperature))
            options = replace(options, sampling=sampling)
    match arguments.get("response_schema"):
        case dict(schema):
            options = replace(options, response_format=json_schema(schema))
    return options
