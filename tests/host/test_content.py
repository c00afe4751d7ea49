from __future__ import annotations

import base64

import pytest
from mcp import types

from kronk_agent.host.results.content import to_output
from kronk_agent.messages import AudioPart, ImagePart, TextPart
from kronk_agent.tools import ToolOutput

BYTES = b"\x00\xffdata"
BASE64 = base64.b64encode(BYTES).decode()


async def test_every_kind_of_content_becomes_a_part() -> None:
    result = types.CallToolResult(
        content=[
            types.TextContent(text="words"),
            types.ImageContent(data=BASE64, mime_type="image/png"),
            types.AudioContent(data=BASE64, mime_type="audio/wav"),
            types.ResourceLink(name="notes", uri="file:///n.txt", description="My notes"),
            types.ResourceLink(name="bare", uri="file:///b"),
            types.EmbeddedResource(
                resource=types.TextResourceContents(uri="file:///t", text="inside")
            ),
            types.EmbeddedResource(
                resource=types.BlobResourceContents(
                    uri="file:///z", blob=BASE64, mime_type="application/zip"
                )
            ),
            types.EmbeddedResource(
                resource=types.BlobResourceContents(uri="file:///u", blob=BASE64)
            ),
        ]
    )

    assert await to_output(result, None) == ToolOutput(
        content=(
            TextPart("words"),
            ImagePart(BYTES, "image/png"),
            AudioPart(BYTES, "audio/wav"),
            TextPart("[resource notes at file:///n.txt: My notes]"),
            TextPart("[resource bare at file:///b]"),
            TextPart("[resource file:///t]\ninside"),
            TextPart("[resource file:///z: application/zip, not shown]"),
            TextPart("[resource file:///u: binary data, not shown]"),
        )
    )


@pytest.mark.parametrize(
    ("result", "output"),
    [
        (types.CallToolResult(content=[]), ToolOutput((TextPart("done"),))),
        (
            types.CallToolResult(content=[], is_error=True),
            ToolOutput((TextPart("failed without saying why"),), is_error=True),
        ),
        (
            types.CallToolResult(content=[], structured_content={"größe": 3}),
            ToolOutput((TextPart('{"größe": 3}'),), structured={"größe": 3}),
        ),
        (
            types.CallToolResult(content=[], structured_content=[1, 2]),
            ToolOutput((TextPart("[1, 2]"),)),
        ),
        (
            types.CallToolResult(
                content=[types.TextContent(text="no")], structured_content={"a": 1}, is_error=True
            ),
            ToolOutput((TextPart("no"), TextPart('{"a": 1}')), structured={"a": 1}, is_error=True),
        ),
    ],
)
async def test_there_is_always_something_to_read(
    result: types.CallToolResult, output: ToolOutput
) -> None:
    assert await to_output(result, None) == output
