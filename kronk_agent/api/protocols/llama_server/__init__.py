"""llama.cpp's native endpoints: ``/completion``, ``/infill``, ``/props`` and ``/slots``.

Fields and responses follow the README of llama.cpp's server.
"""

from __future__ import annotations

from kronk_agent.api.protocols.llama_server.introspection import router as introspection_router
from kronk_agent.api.protocols.llama_server.routes import router

__all__ = ["introspection_router", "router"]
