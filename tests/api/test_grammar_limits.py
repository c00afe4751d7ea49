"""A client's grammar that cannot be enforced, in each protocol's words."""

from __future__ import annotations

from typing import Any

import pytest
from api.support import Server, running

from kronk_agent import Config

ENDLESS = {"$ref": "#"}
"""A schema that compiles, and then allows nothing."""
BOMB = {
    "type": "object",
    "properties": {
        "a": {
            "allOf": [
                {"type": "string", "pattern": rf".*[a-z]{{{i}}}.*x{{{i}}}"} for i in range(1, 26)
            ]
        }
    },
    "required": ["a"],
}
ASKED = [{"role": "user", "content": "Hello"}]


async def _ask(server: Server, path: str, schema: dict[str, Any]) -> dict[str, Any]:
    json_schema = {"name": "answer", "schema": schema, "strict": True}
    match path:
        case "/v1/chat/completions":
            format = {"type": "json_schema", "json_schema": json_schema}
            asked: dict[str, Any] = {"messages": ASKED, "response_format": format}
        case "/v1/responses":
            asked = {"input": "Hello", "text": {"format": {"type": "json_schema", **json_schema}}}
        case "/v1/messages":
            arguments = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
            tool = {"name": "answer", "input_schema": arguments}
            choice = {"type": "tool", "name": "answer"}
            asked = {"messages": ASKED, "tools": [{**tool, "strict": True}], "tool_choice": choice}
            asked["max_tokens"] = 50
        case _:
            asked = {"prompt": "Hello", "json_schema": schema}
    response = await server.post(path, model="chatty", **asked)
    assert response.status_code == 400, response.text
    return dict(response.json())


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/v1/chat/completions", BOMB),
        ("/v1/chat/completions", ENDLESS),
        ("/v1/responses", ENDLESS),
        ("/v1/messages", ENDLESS),
        ("/v1/completions", ENDLESS),
        ("/completion", ENDLESS),
    ],
)
async def test_a_schema_that_cannot_be_enforced_is_the_clients_mistake_in_its_envelope(
    models: Config, path: str, schema: dict[str, Any]
) -> None:
    async with running(config=models) as server:
        body = await _ask(server, path, schema)
        health = await server.http.get("/health")

    assert body["error"]["type"] == "invalid_request_error"
    assert "grammar" in body["error"]["message"] or "JSON Schema" in body["error"]["message"]
    assert health.status_code == 200
