"""The HTTP API: each protocol is a package that translates between its wire format and ours.

A request becomes a run of an agent (serving.py), also on a plain model, and the run's events become
the response; a response that is not streamed is the stream, collected.
"""

from __future__ import annotations

from kronk_agent.api.app import create_app

__all__ = ["create_app"]
