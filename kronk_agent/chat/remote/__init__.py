"""Chat models that run elsewhere: any server that speaks OpenAI's chat completions.

A request is written as the upstream's kind takes it (request.py, by the tables of kinds.py), sent
and read back as chunks (upstream.py, wire.py), and the chunks become deltas (reader.py). What the
upstream does not enforce is asked for in another way and checked (forced.py).
"""

from __future__ import annotations

from kronk_agent.chat.remote.model import RemoteChatModel
from kronk_agent.chat.remote.upstream import Upstream

__all__ = ["RemoteChatModel", "Upstream"]
