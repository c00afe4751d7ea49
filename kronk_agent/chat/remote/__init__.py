"""Chat models on another machine: any server with OpenAI's chat completions API.

``request.py`` writes a request as the server's type expects it, according to
``server_profiles.py``. ``upstream.py`` sends it and reads the chunks (``schema.py``), and
``reader.py`` turns them into deltas. ``tool_choice_fallback.py`` asks differently for what the
server does not enforce, and checks the result.
"""

from __future__ import annotations

from kronk_agent.chat.remote.model import RemoteChatModel
from kronk_agent.chat.remote.upstream import Upstream

__all__ = ["RemoteChatModel", "Upstream"]
