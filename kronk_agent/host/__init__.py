"""The MCP servers a person has registered: started, kept alive, and offered as toolsets."""

from kronk_agent.host.host import Host
from kronk_agent.host.server import ServerState, ServerStatus

__all__ = ["Host", "ServerState", "ServerStatus"]
