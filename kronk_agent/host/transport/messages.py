"""Lenient JSON-RPC parser: also reads what strict JSON or the SDK's types reject.

An unreadable answer to a request becomes that request's error, so that the caller does not have to
wait for its timeout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import IntEnum

from mcp.types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

from kronk_agent.host.transport.pending import PendingRequests

_QUOTED = 120
"""Characters of an unreadable answer quoted in its error."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ID = re.compile(r'"id"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+))')
_REASON_KEYS = ("message", "data", "detail", "details", "error_description", "error", "reason")
_BEGINS = '{"jsonrpc"'
_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
"""Accepts line breaks in strings, and reads NaN as null."""


class SyntheticErrorCode(IntEnum):
    """Codes of errors synthesized for requests without a valid answer."""

    UNREADABLE = 900_001
    """The answer is not a JSON-RPC message; the error's message describes it."""
    CUT_OFF = 900_002
    """The answer is incomplete: the request may have been carried out."""
    REFUSED = 900_003
    """The request was rejected over HTTP."""


def to_text(data: bytes) -> str:
    """Decode UTF-8, or the encoding of the byte order mark; invalid bytes become U+FFFD."""
    return data.decode(json.detect_encoding(data), "replace")


def text_of(error: ValidationError) -> str:
    """The line that failed validation: pydantic keeps it, or the object parsed from it."""
    inputs = [each["input"] for each in error.errors(include_url=False)]
    whole = next((each for each in inputs if isinstance(each, dict | list)), inputs[0])
    return whole if isinstance(whole, str) else json.dumps(whole)


def is_json(text: str) -> bool:
    """True if the text is JSON, with or without a byte order mark."""
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def read_messages(
    text: str, pending: PendingRequests, answers: RequestId | None = None
) -> list[JSONRPCMessage]:
    """Parse the messages in a text: one, several in a row, a batch, or none.

    Args:
        text: a line, an HTTP body, or the data of an event.
        pending: requests to match answers without a usable id against.
        answers: the request this text answers, if the transport tells.
    """
    found = (_message(value, pending, answers) for value in _objects(text))
    return [message for message in found if message is not None]


def unreadable_answer(
    text: str, pending: PendingRequests, answers: RequestId | None = None
) -> JSONRPCError | None:
    """Error for the request that an unreadable text answers; None if the text is just noise."""
    id = answers if answers is not None else _claimed_id(text, pending)
    if id is None:
        return None
    quoted = " ".join(text.split())[:_QUOTED]
    return synthetic_error(id, SyntheticErrorCode.UNREADABLE, repr(quoted) if quoted else "nothing")


def synthetic_error(id: RequestId, trouble: SyntheticErrorCode, message: str) -> JSONRPCError:
    """Build an error that no server sent."""
    return JSONRPCError(jsonrpc="2.0", id=id, error=ErrorData(code=trouble, message=message))


def _claimed_id(text: str, pending: PendingRequests) -> RequestId | None:
    """The pending request that an unreadable message names, or the only one it can answer."""
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return None
    for match in _ID.finditer(text):
        if (id := pending.find(match[1] or match[2])) is not None:
            return id
    return pending.only() if '"jsonrpc"' in text else None


def _objects(text: str) -> Iterator[dict[str, object]]:
    """The consecutive JSON objects in a text; anything before the first is skipped."""
    position = min((p for p in (text.find("{"), text.find("[{")) if p >= 0), default=len(text))
    while position < len(text):
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            position = text.find(_BEGINS, position + 1)  # the brace was part of some text
            if position < 0:
                return
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield item
        while position < len(text) and (text[position].isspace() or text[position] == "\ufeff"):
            position += 1


def _message(
    raw: Mapping[str, object], pending: PendingRequests, answers: RequestId | None
) -> JSONRPCMessage | None:
    whole = without_surrogates(raw)
    assert isinstance(whole, dict)
    if isinstance(method := whole.get("method"), str):
        given = whole.get("params")
        params = given if isinstance(given, dict) else None
        own_id = _as_id(whole.get("id"))
        if own_id is None:
            return JSONRPCNotification(jsonrpc="2.0", method=method, params=params)
        return JSONRPCRequest(jsonrpc="2.0", id=own_id, method=method, params=params)
    id = answers if answers is not None else _answered_id(whole, pending)
    if id is None:
        return None
    error, result = whole.get("error"), whole.get("result")
    if error is not None and result is None:
        return JSONRPCError(jsonrpc="2.0", id=id, error=to_error(error))
    if "result" in whole:
        body = _result(result, pending.method_of(id))
        return JSONRPCResponse(jsonrpc="2.0", id=id, result=body)
    if "jsonrpc" in whole and answers is None:
        return synthetic_error(id, SyntheticErrorCode.UNREADABLE, "neither a result nor an error")
    return None


def _answered_id(raw: Mapping[str, object], pending: PendingRequests) -> RequestId | None:
    id = _as_id(raw.get("id"))
    if id is None:
        is_answer = "result" in raw or "error" in raw
        return pending.only() if is_answer else None
    pending_id = pending.find(id)
    return id if pending_id is None else pending_id


def _as_id(value: object) -> RequestId | None:
    match value:
        case bool():
            return None
        case int() | str():
            return value
        case float() if value.is_integer():
            return int(value)
        case _:
            return None


def to_error(error: object) -> ErrorData:
    """Convert what a server sent as ``error``: an object, a string, or anything else."""
    if not isinstance(error, dict):
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        return ErrorData(code=INTERNAL_ERROR, message=text or "no reason given")
    code = error.get("code")
    message, key = next(
        ((error[key], key) for key in _REASON_KEYS if error.get(key)), ("no reason given", "")
    )
    return ErrorData(
        code=code if isinstance(code, int) and not isinstance(code, bool) else INTERNAL_ERROR,
        message=message if isinstance(message, str) else json.dumps(message, ensure_ascii=False),
        data=error.get("data") if key != "data" else None,
    )


def _result(result: object, method: str | None) -> dict[str, object]:
    """Wrap a result that is not an object into the field its method expects."""
    match result, method:
        case dict(), _:
            return result
        case list(), "tools/list":
            return {"tools": result}
        case None, _:
            return {}
        case _:
            return {"toolResult": result}


def without_surrogates(value: object) -> object:
    """Replace lone surrogates, which UTF-8 cannot encode, by U+FFFD in a JSON value."""
    match value:
        case str():
            return _LONE_SURROGATE.sub("\ufffd", value)
        case dict():
            return {
                _LONE_SURROGATE.sub("\ufffd", k): without_surrogates(v) for k, v in value.items()
            }
        case list():
            return [without_surrogates(item) for item in value]
        case _:
            return value
