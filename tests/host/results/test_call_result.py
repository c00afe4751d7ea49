"""One bad part of a result costs none of the good ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import CallToolResult

from kronk_agent.host.results.call_result import normalize_call_result
from kronk_agent.host.results.content import to_output
from kronk_agent.messages import ImagePart, JsonObject, JsonValue, Part, TextPart

PNG = b"\x89PNG\r\n\x1a\n"
PNG_BASE64 = "iVBORw0KGgo"  # without padding
GOOD: JsonObject = {"type": "text", "text": "good"}


async def _read(result: JsonObject) -> tuple[tuple[Part, ...], bool]:
    valid = normalize_call_result(result, any_structure=False)
    output = await to_output(CallToolResult.model_validate(valid, by_name=False), None)
    return output.content, output.is_error


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": 42}, TextPart("42")),
        ({"type": "text", "text": {"a": 1}}, TextPart('{"a": 1}')),
        ({"type": "text"}, TextPart("")),
        ("bare", TextPart("bare")),
        (7, TextPart("7")),
        ({"text": "no type"}, TextPart("no type")),
        ({"type": "json", "json": {"a": 1}}, TextPart('{"a": 1}')),
        ({"type": "markdown", "markdown": "# a"}, TextPart("# a")),
        (
            {"type": "video", "data": "AAAA", "mimeType": "video/mp4"},
            TextPart("[content of the unknown kind 'video' (video/mp4), not shown]"),
        ),
        ({"type": "image", "data": PNG_BASE64}, ImagePart(PNG, "image/png")),
        ({"data": PNG_BASE64, "mimeType": "image/x-png"}, ImagePart(PNG, "image/png")),
        ({"type": "image", "url": f"data:;base64,{PNG_BASE64}"}, ImagePart(PNG, "image/png")),
        (
            {"type": "image", "data": {"type": "Buffer", "data": [*PNG]}, "mimeType": "image/png"},
            ImagePart(PNG, "image/png"),
        ),
        (
            {"type": "image", "source": {"media_type": "image/png", "data": PNG_BASE64}},
            ImagePart(PNG, "image/png"),
        ),
        (
            {"type": "image", "url": "https://a.example/b.png"},
            TextPart("[image at https://a.example/b.png, not shown]"),
        ),
        ({"type": "image"}, TextPart("[image, not shown: it has no data]")),
        (
            {"type": "resource_link", "uri": "db://orders/2026.csv"},
            TextPart("[resource 2026.csv at db://orders/2026.csv]"),
        ),
        ({"resource": {"uri": "a:b", "text": [1]}}, TextPart("[resource a:b]\n[1]")),
        ({"type": "resource", "uri": "a:b", "text": "c"}, TextPart("[resource a:b]\nc")),
        (
            {"type": "resource", "resource": {"uri": "a:b", "blob": "aSBhbQ", "mimeType": 3}},
            TextPart("[resource a:b]\ni am"),
        ),
    ],
)
async def test_a_bad_block_stays_beside_good_ones(block: JsonValue, part: Part) -> None:
    assert await _read({"content": [GOOD, block]}) == ((TextPart("good"), part), False)


@pytest.mark.parametrize(
    ("result", "texts", "is_error"),
    [
        ({"content": None}, ["done"], False),
        ({"content": GOOD, "isError": None}, ["good"], False),
        ({"content": "bare", "isError": "true"}, ["bare"], True),
        ({"toolResult": {"a": 1}}, ['{"a": 1}'], False),
        ({"answer": 42}, ['{"answer": 42}'], False),
        ({"content": [GOOD], "structuredContent": [1, 2]}, ["good", "[1, 2]"], False),
        ({"content": [], "_meta": {}}, ["done"], False),
    ],
)
async def test_a_result_of_another_shape_is_read(
    result: JsonObject, texts: list[str], is_error: bool
) -> None:
    assert await _read(result) == (tuple(map(TextPart, texts)), is_error)


async def test_a_result_that_wants_input_stays_as_it_is() -> None:
    result: JsonObject = {"resultType": "input_required", "inputRequests": {}}

    assert normalize_call_result(result, any_structure=True) == result


ANY_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "data", "resource", "uri", "mimeType", "blob", "url"]),
            inner | st.sampled_from(["text", "image", "audio", "resource", "resource_link"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANY_JSON, ANY_JSON, ANY_JSON)
async def test_no_result_is_too_bad_to_be_read(
    content: JsonValue, structured: JsonValue, is_error: JsonValue
) -> None:
    result: JsonObject = {
        "content": content,
        "structuredContent": structured,
        "isError": is_error,
    }

    parts, _ = await _read(result)

    assert parts
