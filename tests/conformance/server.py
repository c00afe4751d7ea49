"""The things the official conformance suite wants to find on a server, on our own server layer.

``python server.py PORT`` serves http://127.0.0.1:PORT/mcp.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import anyio
import mcp.types as t
import uvicorn
from mcp import MCPError

from kronk_agent.errors import ToolError
from kronk_agent.messages import JsonObject
from kronk_mcp_servers.serving import Completed, Registry, RequestContext, ServedTool, build_server
from kronk_mcp_servers.serving.registry import Contents

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAA"
    "AABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

Answer: TypeAlias = t.CallToolResult
Work: TypeAlias = Callable[[JsonObject, RequestContext], Awaitable[Answer]]

TOOLS: dict[str, ServedTool] = {}


def tool(
    name: str,
    schema: JsonObject | None = None,
    *,
    task_after_seconds: float | None = None,
    is_task_only: bool = False,
) -> Callable[[Work], Work]:
    """Register a tool; its schema's type is an object's."""

    def register(work: Work) -> Work:
        input_schema = {"type": "object", **(schema or {})}
        TOOLS[name] = ServedTool(
            definition=t.Tool(name=name, description=name, input_schema=input_schema),
            call=work,
            task_after_seconds=task_after_seconds,
            is_task_only=is_task_only,
        )
        return work

    return register


def text(words: str) -> t.TextContent:
    return t.TextContent(text=words)


def said(words: str) -> Answer:
    return Answer(content=[text(words)])


def embedded(uri: str, mime_type: str, words: str) -> t.EmbeddedResource:
    contents = t.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return t.EmbeddedResource(resource=contents)


def form(message: str, **properties: JsonObject) -> t.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    params = t.ElicitRequestFormParams(message=message, requested_schema=schema)
    return t.ElicitRequest(params=params)


def sampling(prompt: str) -> t.CreateMessageRequest:
    message = t.SamplingMessage(role="user", content=text(prompt))
    return t.CreateMessageRequest(
        params=t.CreateMessageRequestParams(messages=[message], max_tokens=100)
    )


NAME = form("What is your name?", name={"type": "string"})
CONFIRM = form("Please confirm", ok={"type": "boolean"})


def accepted(answer: t.InputResponse) -> JsonObject:
    assert isinstance(answer, t.ElicitResult)
    if answer.action != "accept":
        raise ToolError(f"the person answered: {answer.action}")
    return {**(answer.content or {})}  # type: ignore[dict-item]  # list is invariant


def sampled(answer: t.InputResponse) -> str:
    assert isinstance(answer, t.CreateMessageResult)
    assert isinstance(answer.content, t.TextContent)
    return answer.content.text


# --- content -----------------------------------------------------------------------------------


@tool("test_simple_text")
async def simple_text(arguments: JsonObject, call: RequestContext) -> Answer:
    return said("This is a simple text response for testing.")


@tool("test_image_content")
async def image(arguments: JsonObject, call: RequestContext) -> Answer:
    return Answer(content=[t.ImageContent(data=PNG, mime_type="image/png")])


@tool("test_audio_content")
async def audio(arguments: JsonObject, call: RequestContext) -> Answer:
    return Answer(content=[t.AudioContent(data=WAV, mime_type="audio/wav")])


@tool("test_embedded_resource")
async def resource(arguments: JsonObject, call: RequestContext) -> Answer:
    words = "This is an embedded resource content."
    return Answer(content=[embedded("test://embedded-resource", "text/plain", words)])


@tool("test_multiple_content_types")
async def mixed(arguments: JsonObject, call: RequestContext) -> Answer:
    words = '{"test":"data","value":123}'
    return Answer(
        content=[
            text("Multiple content types test:"),
            t.ImageContent(data=PNG, mime_type="image/png"),
            embedded("test://mixed-content-resource", "application/json", words),
        ]
    )


@tool("test_error_handling")
async def error(arguments: JsonObject, call: RequestContext) -> Answer:
    raise ToolError("This tool intentionally returns an error for testing")


@tool("test_tool_with_logging")
async def logs(arguments: JsonObject, call: RequestContext) -> Answer:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await call.log("info", words)
    return said("done")


@tool("test_logging_tool")
async def logs_once(arguments: JsonObject, call: RequestContext) -> Answer:
    await call.log("info", "hello")
    return said("logged")


@tool("test_tool_with_progress")
async def progress(arguments: JsonObject, call: RequestContext) -> Answer:
    for percent in (0, 50, 100):
        await call.report_progress(percent, 100, f"Completed step {percent} of 100")
    return said("done")


@tool("test_x_mcp_header", {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}})
async def header(arguments: JsonObject, call: RequestContext) -> Answer:
    return said(f"region={arguments.get('region')}")


ADDRESS: JsonObject = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}


@tool(
    "json_schema_2020_12_tool",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"address": ADDRESS},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {
            "properties": {"contactMethod": {"const": "phone"}},
            "required": ["contactMethod"],
        },
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def schema(arguments: JsonObject, call: RequestContext) -> Answer:
    return said("as it should be")


@tool("test_trigger_tool_change")
async def tool_change(arguments: JsonObject, call: RequestContext) -> Answer:
    await server.listeners.tools_changed()
    return said("changed")


@tool("test_trigger_prompt_change")
async def prompt_change(arguments: JsonObject, call: RequestContext) -> Answer:
    await server.listeners.prompts_changed()
    return said("changed")


# --- asking the client -------------------------------------------------------------------------


@tool("test_sampling", {"properties": {"prompt": {"type": "string"}}, "required": ["prompt"]})
async def asks_model(arguments: JsonObject, call: RequestContext) -> Answer:
    answer = await call.ask({"model": sampling(str(arguments["prompt"]))})
    return said(f"LLM response: {sampled(answer['model'])}")


@tool("test_missing_capability")
async def needs_sampling(arguments: JsonObject, call: RequestContext) -> Answer:
    return said(sampled((await call.ask({"model": sampling("Hello?")}))["model"]))


async def elicited(call: RequestContext, message: str, properties: JsonObject) -> Answer:
    answer = await call.elicit(message, {"type": "object", "properties": properties})
    words = f"action={answer.action}, content={json.dumps(answer.content)}"
    return said(f"Elicitation completed: {words}")


@tool("test_elicitation", {"properties": {"message": {"type": "string"}}, "required": ["message"]})
async def elicits(arguments: JsonObject, call: RequestContext) -> Answer:
    field: JsonObject = {"type": "string", "description": "User's response"}
    return await elicited(call, str(arguments["message"]), {"response": field})


@tool("test_elicitation_sep1034_defaults")
async def elicits_with_defaults(arguments: JsonObject, call: RequestContext) -> Answer:
    statuses: JsonObject = {"type": "string", "enum": ["active", "inactive", "pending"]}
    properties: JsonObject = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {**statuses, "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicited(call, "Who are you?", properties)


@tool("test_elicitation_sep1330_enums")
async def elicits_choices(arguments: JsonObject, call: RequestContext) -> Answer:
    titled: list[JsonObject] = [
        {"const": "value1", "title": "First"},
        {"const": "value2", "title": "Second"},
    ]
    untitled: JsonObject = {"type": "string", "enum": ["option1", "option2"]}
    properties: JsonObject = {
        "untitledSingle": untitled,
        "titledSingle": {"type": "string", "oneOf": [*titled]},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
        "untitledMulti": {"type": "array", "items": untitled},
        "titledMulti": {"type": "array", "items": {"anyOf": [*titled]}},
    }
    return await elicited(call, "Which?", properties)


@tool("test_streaming_elicitation")
async def elicits_once(arguments: JsonObject, call: RequestContext) -> Answer:
    return said(str(await call.ask({"q": NAME})))


@tool("test_input_required_result_elicitation")
async def greets(arguments: JsonObject, call: RequestContext) -> Answer:
    answers = await call.ask({"user_name": NAME})
    return said(f"Hello, {accepted(answers['user_name'])['name']}!")


@tool("test_input_required_result_sampling")
async def knows_capitals(arguments: JsonObject, call: RequestContext) -> Answer:
    answers = await call.ask({"capital_question": sampling("What is the capital of France?")})
    return said(f"Model said: {sampled(answers['capital_question'])}")


@tool("test_input_required_result_list_roots")
async def counts_roots(arguments: JsonObject, call: RequestContext) -> Answer:
    roots = (await call.ask({"client_roots": t.ListRootsRequest()}))["client_roots"]
    assert isinstance(roots, t.ListRootsResult)
    return said(f"{len(roots.roots)} roots: {roots.roots[0].uri}")


@tool("test_input_required_result_request_state")
@tool("test_input_required_result_tampered_state")
async def keeps_state(arguments: JsonObject, call: RequestContext) -> Answer:
    accepted((await call.ask({"confirm": CONFIRM}))["confirm"])
    return said("state-ok")


@tool("test_input_required_result_multiple_inputs")
async def asks_much(arguments: JsonObject, call: RequestContext) -> Answer:
    answers = await call.ask(
        {
            "user_name": NAME,
            "greeting": sampling("Generate a greeting"),
            "client_roots": t.ListRootsRequest(),
        }
    )
    return said(f"All inputs received: {', '.join(answers)}.")


@tool("test_input_required_result_multi_round")
async def asks_twice(arguments: JsonObject, call: RequestContext) -> Answer:
    first = await call.ask({"step1": form("Step 1: name?", name={"type": "string"})})
    second = await call.ask({"step2": form("Step 2: color?", color={"type": "string"})})
    return said(f"{accepted(first['step1'])['name']}: {accepted(second['step2'])['color']}.")


@tool("test_input_required_result_capabilities")
async def asks_what_it_may(arguments: JsonObject, call: RequestContext) -> Answer:
    requests: dict[str, t.InputRequest] = {}
    if call.capabilities.sampling is not None:
        requests["sample"] = sampling("Hello?")
    if call.can_elicit:
        requests["ask"] = NAME
    return said(", ".join(await call.ask(requests)))


# --- tasks -------------------------------------------------------------------------------------


@tool("greet", {"properties": {"name": {"type": "string"}}, "required": ["name"]})
async def greet(arguments: JsonObject, call: RequestContext) -> Answer:
    return said(f"Hello, {arguments['name']}!")


@tool("slow_compute", {"properties": {"seconds": {"type": "number"}}}, task_after_seconds=0)
async def slow_compute(arguments: JsonObject, call: RequestContext) -> Answer:
    seconds = arguments.get("seconds", 0)
    assert isinstance(seconds, int | float)
    await anyio.sleep(seconds)
    return said(f"computed {arguments.get('label')}")


@tool("failing_job", task_after_seconds=0, is_task_only=True)
async def failing_job(arguments: JsonObject, call: RequestContext) -> Answer:
    await anyio.sleep(0.5)
    raise ToolError("out of luck")


@tool("protocol_error_job", task_after_seconds=0, is_task_only=True)
async def protocol_error_job(arguments: JsonObject, call: RequestContext) -> Answer:
    await anyio.sleep(0.5)
    raise MCPError(t.INTERNAL_ERROR, "protocol level failure")


@tool("confirm_delete", task_after_seconds=0, is_task_only=True)
async def confirm_delete(arguments: JsonObject, call: RequestContext) -> Answer:
    request = form("Delete it?", confirm={"type": "boolean"})
    return said(str(accepted((await call.ask({"confirm": request}))["confirm"])))


@tool("multi_input", task_after_seconds=0, is_task_only=True)
async def multi_input(arguments: JsonObject, call: RequestContext) -> Answer:
    return said(str(await call.ask({"first": NAME, "second": NAME})))


@tool("test_tool_with_task", task_after_seconds=0.05, is_task_only=True)
async def asks_then_works(arguments: JsonObject, call: RequestContext) -> Answer:
    name = accepted((await call.ask({"user_name": NAME}))["user_name"])["name"]
    await anyio.sleep(0.5)
    return said(f"Hello, {name}!")


# --- resources and prompts ---------------------------------------------------------------------


class Resources:
    """Three of them, and those of a template."""

    async def resources(self) -> Sequence[t.Resource]:
        return [
            t.Resource(uri="test://static-text", name="text", mime_type="text/plain"),
            t.Resource(uri="test://static-binary", name="image", mime_type="image/png"),
            t.Resource(uri="test://watched-resource", name="watched", mime_type="text/plain"),
        ]

    async def templates(self) -> Sequence[t.ResourceTemplate]:
        return [t.ResourceTemplate(uri_template="test://template/{id}/data", name="template")]

    async def read(self, uri: str, call: RequestContext) -> Sequence[Contents] | None:
        words = "This is the content of the static text resource."
        match uri.removeprefix("test://").split("/"):
            case ["static-text"] | ["watched-resource"]:
                return [t.TextResourceContents(uri=uri, mime_type="text/plain", text=words)]
            case ["static-binary"]:
                return [t.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)]
            case ["template", name, "data"]:
                data = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
                found = json.dumps(data)
                return [t.TextResourceContents(uri=uri, mime_type="application/json", text=found)]
            case _:
                return None

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        return Completed(()) if argument == "id" else None


ARGUMENTS: dict[str, list[str]] = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


class Prompts:
    """Texts, an image, a resource, and one that asks first."""

    async def prompts(self) -> Sequence[t.Prompt]:
        return [
            t.Prompt(
                name=name,
                description=name,
                arguments=[
                    t.PromptArgument(name=argument, description=argument, required=True)
                    for argument in arguments
                ],
            )
            for name, arguments in ARGUMENTS.items()
        ]

    async def get(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> t.GetPromptResult | None:
        if name not in ARGUMENTS:
            return None
        content = await self._content(name, arguments, call)
        return t.GetPromptResult(
            messages=[t.PromptMessage(role="user", content=block) for block in content]
        )

    async def _content(
        self, name: str, arguments: Mapping[str, str], call: RequestContext
    ) -> list[t.ContentBlock]:
        match name:
            case "test_prompt_with_arguments":
                one, two = arguments["arg1"], arguments["arg2"]
                return [text(f"Prompt with arguments: arg1='{one}', arg2='{two}'")]
            case "test_prompt_with_embedded_resource":
                words = "Embedded resource content for testing."
                found = embedded(arguments["resourceUri"], "text/plain", words)
                return [found, text("Please process the embedded resource above.")]
            case "test_prompt_with_image":
                found_image = t.ImageContent(data=PNG, mime_type="image/png")
                return [found_image, text("Please analyze the image above.")]
            case "test_input_required_result_prompt":
                request = form("In which context?", context={"type": "string"})
                answers = await call.ask({"user_context": request})
                return [text(f"Use: {accepted(answers['user_context'])['context']}")]
            case _:
                return [text("This is a simple prompt for testing.")]

    async def complete(
        self, of: str, argument: str, value: str, others: Mapping[str, str]
    ) -> Completed | None:
        known = argument in ARGUMENTS.get(of, ())
        return Completed(("paris", "park", "party")) if known else None


server = build_server(
    Registry(tools=lambda: tuple(TOOLS.values()), resources=(Resources(),), prompts=(Prompts(),)),
    name="kronk-fixture",
)

if __name__ == "__main__":
    uvicorn.run(server.streamable_http_app(), port=int(sys.argv[1]), log_level="warning")
