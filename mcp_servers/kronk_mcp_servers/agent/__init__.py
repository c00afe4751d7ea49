"""kronk-agent as an MCP server: the agent, the web tools, and the tools of all MCP servers.

``server.py`` selects what is exposed; each tool, the resources and the prompts have a module.
"""

from __future__ import annotations

from kronk_mcp_servers.agent.server import agent_server
from kronk_mcp_servers.agent.user import ClientUser

__all__ = ["ClientUser", "agent_server"]
