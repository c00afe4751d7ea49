"""kronk-agent itself as an MCP server: the agent, the web tools, and all registered servers.

``server.py`` says what is exposed; each tool, the resources and the prompts have a module.
"""

from __future__ import annotations

from kronk_mcp_servers.agent.server import agent_server
from kronk_mcp_servers.agent.user import ClientUser

__all__ = ["ClientUser", "agent_server"]
