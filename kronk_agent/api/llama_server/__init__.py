"""llama.cpp's own completions: ``/completion`` and ``/infill``.

Fields and answers are those that the README of llama.cpp's server describes.
"""

from __future__ import annotations

from kronk_agent.api.llama_server.routes import router

__all__ = ["router"]
