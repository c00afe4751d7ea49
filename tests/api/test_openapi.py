"""Requests nobody thought of: there is no 5xx for them, and every refusal is in the envelope.

The first test makes requests from our OpenAPI document, right and wrong ones; the second takes real
requests and puts any JSON in any of their fields.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import httpx2
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from api.support import WEATHER, Server, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from kronk_agent.errors import InvalidRequestError
from kronk_agent.model import ChatRequest
from kronk_agent.testing import Piece, ScriptedModel, call

_BOUNDED = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,  # the same requests every time: what fails here fails for everybody
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _turn(request: ChatRequest) -> Piece:
    """Whatever was asked for; forms are for real grammars to keep."""
    if request.response_format.type != "text":
        raise InvalidRequestError("a script has no forms", param="response_format")
    must_call = request.tool_choice.mode in ("required", "named")
    return call(request.callable_tools[0].name) if must_call else "Hi"


@contextmanager
def server() -> Iterator[Server]:
    """In a thread, for schemathesis and hypothesis do not wait for anything."""
    model = ScriptedModel([_turn] * 100_000)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running(model)) as up:
        yield up


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as up:
        yield up.url


@pytest.mark.timeout(240)
def test_every_request_is_answered_or_refused_in_the_envelope(url: str) -> None:
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    assert "POST /v1/messages" in [operation.label for operation in operations]
    for operation in operations:
        for mode in GenerationMode:

            @_BOUNDED
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Case[APIOperation[Any, Any, Any, Any]]) -> None:
                response = case.call()
                assert response.status_code < 500, response.text
                check(response.status_code, case.path, response.headers, response.content)

            # There is nothing to be wrong in a request without parameters.
            with suppress(Unsatisfiable) if mode.is_negative else nullcontext():
                ask()


# --- any JSON in any field -----------------------------------------------------------------------

MESSAGES: dict[str, Any] = {
    "model": "scripted",
    "max_tokens": 10,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "a", "content": "rain"}],
        },
    ],
    "tools": [
        {"name": "weather", "description": "x", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "stop_sequences": ["END"],
    "temperature": 1.0,
    "top_k": 5,
    "thinking": {"type": "enabled", "budget_tokens": 10},
    "output_config": {"effort": "low"},
    "mcp_servers": [],
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "x"},
    "stream": False,
}
CHAT: dict[str, Any] = {
    "model": "scripted",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ],
    "tools": [WEATHER],
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "stop": ["END"],
    "logit_bias": {"1": 1.0},
    "temperature": 1.0,
    "seed": 1,
    "stream": False,
}
REQUESTS = {"/v1/messages": MESSAGES, "/v1/chat/completions": CHAT}
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something is, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.timeout(120)
def test_any_json_in_any_field_is_answered_or_refused(url: str, path: str) -> None:
    with httpx2.Client(base_url=url, timeout=60) as client:

        @settings(_BOUNDED, max_examples=150)
        @given(place=st.sampled_from(list(places(REQUESTS[path]))), value=ANY_JSON)
        def put(place: tuple[str | int, ...], value: Any) -> None:
            body = copy.deepcopy(REQUESTS[path])
            where: Any = body
            for step in place[:-1]:
                where = where[step]
            where[place[-1]] = value
            response = client.post(path, json=body)
            assert response.status_code < 500, response.text
            check(response.status_code, path, response.headers, response.content)

        put()


def check(status: int, path: str, headers: Any, body: bytes) -> None:
    """A refusal is in the envelope of the path's protocol."""
    if status < 400 or not body:
        return
    assert "application/json" in str(headers["content-type"]), body
    error = httpx2.Response(status, content=body).json()
    if path.startswith("/v1/messages"):
        assert error["type"] == "error"
        assert set(error["error"]) == {"type", "message"}
    else:
        assert set(error["error"]) >= {"message", "type"}
    assert error["error"]["message"]
