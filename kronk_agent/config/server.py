"""How ``kronk-agent serve`` serves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kronk_agent.config.section import Seconds, Section


class ServerConfig(Section):
    """The HTTP server, `kronk-agent serve`."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network this machine is on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11435
    """Port to listen on; 0 takes one that is free."""
    keep_alive_seconds: Seconds = 15.0
    """A stream that has said nothing for so long sends a comment, so that it is not given up."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """At the end, how long requests that are under way may still take."""
