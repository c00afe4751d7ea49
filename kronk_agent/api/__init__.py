"""The HTTP API: each protocol is a package that translates between its wire format and ours.

A request becomes a run of an agent (model_router.py), also for a plain model, and the run's events
become the response; a response that is not streamed is the collected stream.
"""

from __future__ import annotations

from kronk_agent.api.app import create_app

__all__ = ["create_app"]
