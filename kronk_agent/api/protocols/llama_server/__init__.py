"""llama.cpp's own routes: ``/completion`` and ``/infill``, ``/props`` and ``/slots``.

Fields and answers are those that the README of llama.cpp's server describes.
"""

from __future__ import annotations

from kronk_agent.api.protocols.llama_server.introspection import router as introspection_router
from kronk_agent.api.protocols.llama_server.routes import router

__all__ = ["introspection_router", "router"]
