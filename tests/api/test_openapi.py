"""Requests nobody thought of: there is no 5xx for them, and every refusal is in the envelope.

The first test makes requests from our OpenAPI document, right and wrong ones; the second takes real
requests and puts any JSON in any of their fields.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import httpx2
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from api.support import WEATHER, running
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from limits import seconds
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from kronk_agent import Config
from kronk_agent.config.schema.config import (
    SearchProviderConfig,
    SearchResultConfig,
    WebSearchConfig,
)
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


@pytest.fixture(scope="module")
def url(models: Config) -> Iterator[str]:
    """Of a server in a thread, for schemathesis and hypothesis do not wait for anything."""
    page = SearchResultConfig(title="Tea", url="https://tea.example", snippet="All about tea.")
    provider = SearchProviderConfig(type="static", results=(page,))
    config = models.model_copy(
        update={"tools": ("web_search",), "web_search": WebSearchConfig(providers=(provider,))}
    )
    serving = running(ScriptedModel([_turn] * 100_000), config=config)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving) as up:
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
FUNCTION: dict[str, Any] = {"type": "function", **WEATHER["function"]}
ITEMS: list[Any] = [
    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a", "output": "rain"},
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "tea", "sources": []},
    },
]
RESPONSE: dict[str, Any] = {
    "model": "scripted",
    "input": ITEMS,
    "instructions": "Be brief.",
    "tools": [FUNCTION, {"type": "custom", "name": "apply"}],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "weather"}],
    },
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "truncation": "auto",
}
TEMPLATE: dict[str, Any] = {
    "model": "chatty",
    "messages": CHAT["messages"],
    "tools": [WEATHER],
    "chat_template_kwargs": {"x": 1},
    "enable_thinking": False,
}
COMPLETION: dict[str, Any] = {
    "model": "fim",
    "prompt": ["a b", "c d"],
    "max_tokens": 2,
    "n": 2,
    "best_of": 2,
    "echo": True,
    "logprobs": 1,
    "stop": ["END"],
    "logit_bias": {"1": 1.0},
    "temperature": 1.0,
    "json_schema": None,
    "suffix": None,
}
LLAMA_COMPLETION: dict[str, Any] = {
    "model": "fim",
    "prompt": "a b",
    "n_predict": 2,
    "n_probs": 1,
    "stop": ["END"],
    "logit_bias": {"1": 1.0},
    "samplers": ["top_k"],
    "grammar": None,
}
INFILL: dict[str, Any] = {
    "model": "fim",
    "input_prefix": "def f(",
    "input_suffix": "return x",
    "input_extra": [{"filename": "a.py", "text": "x = 1"}],
    "prompt": "a",
    "n_predict": 2,
    "json_schema": None,
}
OLLAMA_CHAT: dict[str, Any] = {
    "model": "scripted",
    "messages": [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"place": "Oslo"}}}],
        },
        {"role": "tool", "tool_name": "weather", "content": "rain"},
    ],
    "tools": [WEATHER],
    "options": {"temperature": 1.0, "num_predict": 5, "stop": ["END"], "seed": 1},
    "think": True,
    "keep_alive": 5,
    "stream": False,
}
CONVERSATION: dict[str, Any] = {"items": ITEMS, "metadata": {"topic": "tea"}}
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": {
        key: MESSAGES[key] for key in ("model", "system", "messages", "tools", "tool_choice")
    },
    "/v1/chat/completions": CHAT,
    "/v1/apply-template": TEMPLATE,
    "/apply-template": TEMPLATE,
    "/v1/responses": {
        **RESPONSE,
        "include": ["reasoning.encrypted_content"],
        "metadata": {"topic": "tea"},
        "max_output_tokens": 10,
        "max_tool_calls": 1,
        "store": True,
        "previous_response_id": None,
    },
    "/v1/responses/input_tokens": RESPONSE,
    "/v1/responses/compact": {"model": "scripted", "input": ITEMS, "instructions": "Be brief."},
    "/v1/responses/{id}/cancel": {},
    "/v1/conversations": CONVERSATION,
    "/v1/conversations/{id}": {"metadata": {"topic": "tea"}},
    "/v1/conversations/{id}/items": {"items": ITEMS},
    "/v1/completions": COMPLETION,
    "/completion": LLAMA_COMPLETION,
    "/infill": INFILL,
    "/v1/embeddings": {"model": "bert", "input": ["a", "b"], "dimensions": 8},
    "/v1/rerank": {
        "model": "ranker",
        "query": "water",
        "documents": ["the sea", {"text": "a tree"}],
        "top_n": 1,
        "return_documents": True,
    },
    "/v1/chat/completions/input_tokens": CHAT,
    "/embedding": {"model": "bert", "content": ["a", "b"]},
    "/api/chat": OLLAMA_CHAT,
    "/api/generate": {
        "model": "scripted",
        "prompt": "Hi",
        "system": "Be brief.",
        "format": "",
        "context": [],
        "keep_alive": "5m",
        "stream": False,
    },
    "/api/embed": {"model": "bert", "input": ["a", "b"], "dimensions": 8},
    "/api/embeddings": {"model": "bert", "prompt": "a"},
    "/api/show": {"model": "fim", "verbose": True},
    "/api/pull": {"model": "fim", "stream": False},
    "/v1/tokenize": {"model": "fim", "input": "a b", "with_pieces": True},
    "/v1/detokenize": {"model": "fim", "tokens": [1, 2]},
    "/tokenize": {"model": "fim", "content": "a b", "parse_special": False},
    "/detokenize": {"model": "fim", "tokens": [1, 2]},
}
"""One for each route that takes a body, with as many of its fields as go together."""
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


def test_there_is_a_request_for_every_route(url: str) -> None:
    paths = httpx2.get(f"{url}/openapi.json", timeout=seconds(5)).json()["paths"]

    assert set(REQUESTS) == {path for path, methods in paths.items() if "post" in methods}


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.timeout(120)
def test_any_json_in_any_field_is_answered_or_refused(url: str, path: str) -> None:
    with httpx2.Client(base_url=url, timeout=seconds(60)) as client:
        conversation = client.post("/v1/conversations", json={}).json()["id"]
        address = path.format(id=conversation)
        plain = client.post(address, json=REQUESTS[path])
        assert plain.status_code == 200 or "{id}/cancel" in path, plain.text

        @settings(_BOUNDED, max_examples=100)
        @given(place=st.sampled_from([(), *places(REQUESTS[path])]), value=ANY_JSON)
        def put(place: tuple[str | int, ...], value: Any) -> None:
            body = {"": copy.deepcopy(REQUESTS[path])}
            where: Any = body
            for step in ("", *place)[:-1]:
                where = where[step]
            where[("", *place)[-1]] = value
            response = client.post(address, json=body[""])
            assert response.status_code < 500, response.text
            check(response.status_code, path, response.headers, response.content)

        put()


def check(status: int, path: str, headers: Any, body: bytes) -> None:
    """A refusal is in the envelope of the path's protocol."""
    if status < 400 or not body:
        return
    assert "application/json" in str(headers["content-type"]), body
    error = httpx2.Response(status, content=body).json()
    if path.startswith("/api/"):
        assert isinstance(error["error"], str)
        assert error["error"]
        return
    if path.startswith("/v1/messages"):
        assert error["type"] == "error"
        assert set(error["error"]) == {"type", "message"}
    else:
        assert set(error["error"]) >= {"message", "type"}
    assert error["error"]["message"]
