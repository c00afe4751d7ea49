"""A small web on the loopback address, and how our web tools are told of it."""

from __future__ import annotations

from loopback_web import LoopbackWeb

from kronk_agent.messages import JsonObject, JsonValue


def web_config(web: LoopbackWeb) -> JsonObject:
    """Configuration of web_search and web_fetch; a search finds every page that is served."""
    results: list[JsonValue] = [
        {"title": path.strip("/").replace("-", " "), "url": web.url + path, "snippet": ""}
        for path in web.answers
    ]
    return {
        "web_search": {"providers": [{"type": "static", "results": results}]},
        "web_fetch": {"allow_private": ["127.0.0.0/8"], "delay_seconds": 0},
    }
