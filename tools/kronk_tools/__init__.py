"""Built-in web tools: ``web_search`` and ``web_fetch``.

Each is created by a factory, so that a program can use several with different settings::

    from kronk_tools import web_fetch_tool, web_search_tool

    tools = [web_search_tool(region="de-de"), web_fetch_tool(timeout_seconds=10)]
"""

from kronk_tools.web_fetch import web_fetch_tool
from kronk_tools.web_search import web_search_tool

__all__ = ["web_fetch_tool", "web_search_tool"]
