"""A small MCP server with fixed answers, for testing clients.

``python -m kronk_mcp_servers.demo`` serves stdio; with ``--http PORT``, http://127.0.0.1:PORT/mcp.
"""

from __future__ import annotations

import argparse
import os
import socket
from typing import Annotated, Literal

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from kronk_agent import __version__

server = MCPServer(
    "kronk-demo",
    version=__version__,
    instructions="Tools with answers that never change, to try a client on.",
    log_level="WARNING",
)

City = Literal["Berlin", "Nairobi", "Reykjavik", "Singapore"]


class Weather(BaseModel):
    """Weather in a city."""

    temperature_celsius: int
    sky: Literal["clear", "cloudy", "rain"]


_WEATHER: dict[City, Weather] = {
    "Berlin": Weather(temperature_celsius=11, sky="cloudy"),
    "Nairobi": Weather(temperature_celsius=24, sky="clear"),
    "Reykjavik": Weather(temperature_celsius=3, sky="rain"),
    "Singapore": Weather(temperature_celsius=31, sky="rain"),
}


@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Say the text back."""
    return text


@server.tool()
def weather(city: City) -> Weather:
    """Tell the weather in a city."""
    return _WEATHER[city]


@server.tool(structured_output=False)
async def countdown(
    start: Annotated[int, Field(ge=1, le=1000)],
    context: Context,
    seconds_between: Annotated[float, Field(ge=0, le=60)] = 0.0,
) -> str:
    """Count down to zero, reporting progress at every number."""
    for number in range(start - 1, -1, -1):
        await anyio.sleep(seconds_between)
        await context.report_progress(start - number, start, f"{number} left")
    return "liftoff"


@server.tool(structured_output=False)
def fail(reason: str) -> str:
    """Fail for the given reason."""
    raise ToolError(reason)


def main() -> None:
    """Serve stdio, or HTTP with ``--http``."""
    parser = argparse.ArgumentParser(prog="kronk_mcp_servers.demo", description=__doc__)
    parser.add_argument("--http", type=int, metavar="PORT", help="serve HTTP on this port")
    port: int | None = parser.parse_args().http
    if port is None:
        server.run("stdio")
        return
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        parser.error(f"port {port}: {os.strerror(error.errno or 0)}; choose another port")
    server.run("streamable-http", port=port)


if __name__ == "__main__":
    main()
