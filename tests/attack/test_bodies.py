"""A body that is no JSON object is refused in the protocol's envelope, on every route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from api.support import running, scripted
from fastapi.routing import iter_route_contexts

from kronk_agent import Config
from kronk_agent.api import create_app

pytestmark = pytest.mark.usefixtures("own_folders")

DOOR = "bodies that are no JSON objects"

_JSON = "application/json"
TRIES: Mapping[str, tuple[str | None, bytes, int]] = {
    "curl's default": ("application/x-www-form-urlencoded", b'{"model":"x"}', 415),
    "plain text": ("text/plain", b'{"model":"x"}', 415),
    "a form": ("multipart/form-data; boundary=x", b'--x\r\n\r\n{"model":"x"}\r\n--x--', 415),
    "no content type": (None, b'{"model":"x"}', 415),
    "a content type that only begins as JSON": ("application/jsonp", b'{"model":"x"}', 415),
    "no JSON": (_JSON, b"nope", 400),
    "no UTF-8": (_JSON, b'{"model":"\xff"}', 400),
    "an array": (_JSON, b"[1]", 400),
    "a string": (_JSON, b'"x"', 400),
    "null": (_JSON, b"null", 400),
    "half a character": (_JSON, b'{"model":"\\ud800"}', 400),
    "deep nesting": (_JSON, b"[" * 100_000, 400),
}
"""A content type, a body, and the status it is answered with."""
_UNREAD = ("/api/push", "/api/create", "/api/copy")
"""Routes that do nothing, whatever is asked."""
_OF_A_PAGE = {"sec-fetch-site": "cross-site"}
"""Under /api/ programs need not declare a body, and browsers need."""


@pytest.mark.parametrize("kind", TRIES)
async def test_every_route_refuses_it_in_its_envelope(kind: str) -> None:
    content_type, body, status = TRIES[kind]
    headers = {} if content_type is None else {"content-type": content_type}
    found: dict[str, Any] = {}
    async with running(scripted(), config=Config(tools=())) as server:
        for route in iter_route_contexts(create_app(server.runtime).routes):
            if not route.path or "POST" not in (route.methods or ()) or "{" in route.path:
                continue
            if route.path in _UNREAD:
                continue
            sent = {**headers, **_OF_A_PAGE} if route.path.startswith("/api/") else headers
            answer = await server.http.post(route.path, content=body, headers=sent)
            found[route.path] = (answer.status_code, _has_envelope(answer))

    assert len(found) >= 15
    assert set(found.values()) == {(status, True)}, found


def _has_envelope(answer: httpx2.Response) -> bool:
    error = answer.json()["error"]
    if answer.request.url.path.startswith("/api/"):
        return isinstance(error, str) and bool(error)
    is_anthropic = answer.json().get("type") == "error"
    is_named = error["type"] == "invalid_request_error" and bool(error["message"])
    return is_named and (is_anthropic or {"param", "code"} <= error.keys())


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
async def test_json_by_any_of_its_names_is_taken(content_type: str) -> None:
    body = b'{"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}'
    async with running(scripted("Hello."), config=Config(tools=())) as server:
        answer = await server.http.post(
            "/v1/chat/completions", content=body, headers={"content-type": content_type}
        )

    assert answer.status_code == 200, answer.text
