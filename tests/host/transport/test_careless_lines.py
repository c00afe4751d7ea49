"""What can be read of a careless server's line is read; what cannot ends the call at once."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from host.support import call, careless, hosting, text_of
from limits import seconds

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError

RESULT = '"result": {"content": [{"type": "text", "text": "it is 42"}]}'


async def _outcome(server: McpServerConfig, folder: Path) -> str:
    """What the model reads of a call, which has a minute to be answered."""
    with anyio.fail_after(seconds(15)):
        async with hosting({"x": server}, folder) as host:
            await host.wait_ready()
            try:
                return text_of(await call(host, "x__get"))
            except ToolError as error:
                return str(error).removeprefix("MCP server 'x' ")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"jsonrpc": "2.0", "id": @ID@, RESULT}', "it is 42"),
        ('\ufeff{"jsonrpc": "2.0", "id": @ID@, RESULT}', "it is 42"),
        ('{"id": @ID@, RESULT}', "it is 42"),
        ('{"jsonrpc": 2.0, "id": "@ID@", RESULT}', "it is 42"),
        ('{"jsonrpc": "2.0", "id": @ID@.0, RESULT, "error": null}', "it is 42"),
        ('{"jsonrpc": "2.0", "id": null, RESULT}', "it is 42"),
        ('[{"jsonrpc": "2.0", "method": "notifications/x"}, {"id": @ID@, RESULT}]', "it is 42"),
        ('done {1} {"jsonrpc": "2.0", "id": @ID@, RESULT}', "it is 42"),
        ('{"jsonrpc": "2.0", "id": @ID@, "result": "it is 42"}', "it is 42"),
        (
            '{"jsonrpc": "2.0", "id": @ID@, "result": {"content": [{"type": "text", '
            '"text": "half \\ud83d of it"}]}}',
            "half \ufffd of it",
        ),
        ('{"jsonrpc": "2.0", "id": @ID@, "result": {"content": [NaN]}}', "NaN"),
    ],
)
async def test_a_careless_answer_is_read(tmp_path: Path, line: str, text: str) -> None:
    assert await _outcome(careless(line.replace("RESULT", RESULT)), tmp_path) == text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": @ID@, "error": "no customer 17"}', "refused the call: no customer 17"),
        (
            '{"jsonrpc": "2.0", "id": @ID@, "error": {"code": "E7", "detail": "no customer 17"}}',
            "refused the call: no customer 17",
        ),
        (
            '{"jsonrpc": "2.0", "error": {"code": -32000, "message": "busy", "data": {"for": 3}}}',
            'refused the call: busy: {"for": 3}',
        ),
        (
            '{"jsonrpc": "2.0", "id": @ID@, "result": {"content": [{"type"',
            "answered the call with something that is not MCP: "
            '\'{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type"\'',
        ),
        (
            '{"jsonrpc": "2.0", "id": @ID@}',
            "answered the call with something that is not MCP: neither a result nor an error",
        ),
    ],
)
async def test_an_answer_that_fails_ends_the_call_at_once(
    tmp_path: Path, line: str, said: str
) -> None:
    outcome = await _outcome(careless(line), tmp_path)

    assert outcome == said.replace("ID", "3") or outcome == said.replace("ID", "4")


async def test_a_byte_order_mark_costs_no_server(tmp_path: Path) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 0}).replace("0}", "@ID@, RESULT}")

    outcome = await _outcome(careless(line.replace("RESULT", RESULT), "\ufeff"), tmp_path)

    assert outcome == "it is 42"
