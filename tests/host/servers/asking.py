"""A server on the SDK that asks its client for things, and has resources and prompts.

Over stdio, or with a port over HTTP. Its questions reach clients of either era.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import mcp.types as t
from mcp import MCPDeprecationWarning, MCPError
from mcp.server.mcpserver import (
    Context,
    Elicit,
    ElicitationResult,
    ListRoots,
    MCPServer,
    Resolve,
    Sample,
)
from pydantic import BaseModel, Field

warnings.simplefilter("ignore", MCPDeprecationWarning)  # it also serves clients of 2025
server = MCPServer("asking", instructions="Ask first, and travel afterwards.", log_level="WARNING")


def question(text: str) -> t.SamplingMessage:
    return t.SamplingMessage(role="user", content=t.TextContent(text=text))


async def summary(text: str) -> Sample:
    return Sample([question(f"Summarise: {text}")], max_tokens=64, system_prompt="Be brief.")


class Trip(BaseModel):
    """Where to go."""

    city: str
    nights: int = Field(default=2, ge=1)


async def trip() -> Elicit[Trip]:
    return Elicit("Where to?\u202e", Trip)


async def roots() -> ListRoots:
    return ListRoots()


@server.tool()
async def summarise(
    text: str, answer: Annotated[t.CreateMessageResult, Resolve(summary)]
) -> dict[str, Any]:
    """Summarise a text with the client's model."""
    return answer.model_dump(include={"content", "model", "stop_reason"})


@server.tool(structured_output=False)
async def travel(answer: Annotated[ElicitationResult[Trip], Resolve(trip)]) -> str:
    """Book a trip the user chooses."""
    return f"{answer.action} {getattr(answer, 'data', None)!r}"


@server.tool(structured_output=False)
async def folders(answer: Annotated[t.ListRootsResult, Resolve(roots)]) -> str:
    """List the folders that the client opened to us."""
    return " ".join(str(root.uri) for root in answer.roots)


@server.tool(structured_output=False)
async def capabilities(context: Context) -> str:
    """Tell what the client said it can do."""
    declared = context.request_context.session.client_capabilities
    assert declared is not None
    return declared.model_dump_json(exclude_none=True, include={"sampling", "elicitation", "roots"})


@server.tool(structured_output=False)
async def nag(context: Context) -> str:
    """Ask for samples without end, until the client has had enough. For clients of 2025."""
    for number in range(1000):
        try:
            await context.session.create_message([question("again")], max_tokens=5)
        except MCPError as error:
            return f"{number} answers, then: {error.message}"
    return "no end"


WEATHER = t.Tool(
    name="weather",
    description="The weather in a city",
    input_schema={"type": "object", "properties": {"city": {"type": "string"}}},
)


@server.tool(structured_output=False)
async def forecast(context: Context, city: str) -> str:
    """Let the client's model use a tool of ours. For clients of 2025."""
    messages = [question(f"Umbrella in {city}?")]
    while True:
        answer = await context.session.create_message(
            messages, max_tokens=64, tools=[WEATHER], tool_choice=t.ToolChoice(mode="auto")
        )
        uses = [block for block in answer.content_as_list if isinstance(block, t.ToolUseContent)]
        if not uses:
            return f"{answer.stop_reason}: {answer.model_dump_json(include={'content'})}"
        messages.append(t.SamplingMessage(role="assistant", content=answer.content_as_list))
        results: list[t.SamplingMessageContentBlock] = [
            t.ToolResultContent(
                tool_use_id=use.id,
                content=[t.TextContent(text=f"rain in {use.input['city']}")],
            )
            for use in uses
        ]
        messages.append(t.SamplingMessage(role="user", content=results))


@server.tool(structured_output=False)
async def sign_up(context: Context) -> str:
    """Send the user to a page first. For clients of 2025."""
    if not signed_up:
        wanted = t.ElicitRequestURLParams(
            message="Sign up first.", url="https://example.com/sign-up?id=1", elicitation_id="id-1"
        )
        data = t.ElicitationRequiredErrorData(elicitations=[wanted])
        signed_up.append(True)
        done = t.ElicitCompleteNotificationParams(elicitation_id="id-1")
        await context.session.send_notification(t.ElicitCompleteNotification(params=done))
        raise MCPError(t.URL_ELICITATION_REQUIRED, "sign up", data.model_dump(by_alias=True))
    return "signed up"


signed_up: list[bool] = []


@server.tool(structured_output=False)
async def log(context: Context, text: str) -> str:
    """Log a text by the protocol."""
    await context.info(text)
    return "logged"


@server.tool(structured_output=False)
async def essay() -> str:
    """Write very much."""
    return "".join(f"{number:>9}\n" for number in range(10_000))


@server.resource("note://today", title="Today", description="What is up today")
def today() -> str:
    """Today's note."""
    return notes["today"]


notes = {"today": "Water the plants."}


@server.tool(structured_output=False)
async def write_note(context: Context, text: str) -> str:
    """Change today's note."""
    notes["today"] = text
    await context.notify_resource_updated("note://today")
    return "written"


@server.resource("note://pixel", mime_type="image/png")
def pixel() -> bytes:
    """A picture."""
    return b"\x89PNG"


@server.resource("note://about/{city}")
def about(city: str) -> str:
    """A note about a city."""
    return (f"{city} is nice. " * 2000)[:26_000]


@server.prompt(description="Plan a trip")
def plan(city: str, nights: str = "2") -> str:
    return f"Plan {nights} nights in {city}."


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK's
async def complete(
    ref: t.PromptReference | t.ResourceTemplateReference,
    argument: t.CompletionArgument,
    context: t.CompletionContext | None,
) -> t.Completion | None:
    cities = ["Berlin", "Bern", "Oslo"]
    found = [city for city in cities if city.startswith(argument.value)]
    if context is not None and context.arguments:
        found = [f"{city} for {context.arguments['nights']}" for city in found]
    return t.Completion(values=found)


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
