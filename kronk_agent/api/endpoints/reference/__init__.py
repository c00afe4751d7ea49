"""``/docs``: the API reference, a page without scripts generated from ``/openapi.json``.

A third-party script would run with this server's origin, and could use its API.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from jinja2 import Environment


def router() -> APIRouter:
    """The route of the reference page."""
    routes = APIRouter(include_in_schema=False)
    folder = files(__name__)
    style = (folder / "page.css").read_text(encoding="utf-8")
    source = (folder / "page.html.jinja").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    headers = {
        "content-security-policy": _policy(style),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }

    @routes.get("/docs")
    async def get_docs(request: Request) -> Response:
        """Serve the reference of all endpoints and their fields."""
        html = page.render(document=request.app.openapi(), style=style)
        return Response(html, media_type="text/html", headers=headers)

    return routes


def _policy(style: str) -> str:
    """A Content Security Policy that allows one inline style sheet, and loads nothing."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{digest}'"
    )
