"""Normalizes results before the SDK reads them, which rejects a whole result for one bad part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kronk_agent.host.results.call_result import (
    normalize_block,
    normalize_call_result,
    normalize_resource,
)
from kronk_agent.host.results.tool_list import readable_tools
from kronk_agent.messages import JsonObject, JsonValue

_Make: TypeAlias = Callable[[JsonObject], JsonObject]


def normalize_result(server: str, method: str, result: JsonObject, version: str) -> JsonObject:
    """Normalize the result of a request; unreadable parts are dropped or named.

    Args:
        server: name of the server, for warnings.
        method: method of the request.
        result: the received result; may be modified.
        version: negotiated protocol version.
    """
    if "_meta" in result and not isinstance(result["_meta"], dict):
        del result["_meta"]
    match method:
        case "tools/list":
            return {
                **result,
                "tools": list(readable_tools(server, _entries(result, "tools"), version)),
            }
        case "tools/call":
            return normalize_call_result(
                result, any_structure=version not in HANDSHAKE_PROTOCOL_VERSIONS
            )
        case "tasks/get" if isinstance(done := result.get("result"), dict):
            return {**result, "result": normalize_call_result(done, any_structure=True)}
        case "initialize":
            return _normalize_initialize(result, server)
        case "resources/read":
            return {
                **result,
                "contents": [normalize_resource(c) for c in _objects(result, "contents")],
            }
        case "prompts/get":
            return {
                **result,
                "messages": [_normalize_message(m) for m in _objects(result, "messages")],
            }
        case "resources/list":
            return _listing(result, "resources", _resource_entry)
        case "resources/templates/list":
            return _listing(result, "resourceTemplates", _template_entry)
        case "prompts/list":
            return _listing(result, "prompts", _prompt_entry)
        case _:
            return result


def _normalize_initialize(result: JsonObject, server: str) -> JsonObject:
    about = result.get("serverInfo")
    about = about if isinstance(about, dict) else {}
    name, version = about.get("name"), about.get("version")
    capabilities = result.get("capabilities")
    valid = result | {
        "serverInfo": {
            "name": name if isinstance(name, str) else server,
            "version": version if isinstance(version, str) else "unknown",
        },
        "capabilities": {
            key: value
            for key, value in (capabilities if isinstance(capabilities, dict) else {}).items()
            if isinstance(value, dict)
        },
    }
    if not isinstance(valid.get("instructions"), str):
        valid.pop("instructions", None)
    return valid


def _normalize_message(message: Mapping[str, JsonValue]) -> JsonObject:
    role = "assistant" if message.get("role") == "assistant" else "user"
    content = message.get("content")
    first = content[0] if isinstance(content, list) and content else content
    return {"role": role, "content": normalize_block(first)}


def _resource_entry(entry: JsonObject) -> JsonObject | None:
    uri = entry.get("uri")
    return _named(entry, uri, {"uri": uri}, ("mimeType",)) if isinstance(uri, str) else None


def _template_entry(entry: JsonObject) -> JsonObject | None:
    uri = entry.get("uriTemplate")
    return _named(entry, uri, {"uriTemplate": uri}, ("mimeType",)) if isinstance(uri, str) else None


def _prompt_entry(entry: JsonObject) -> JsonObject | None:
    if not isinstance(name := entry.get("name"), str):
        return None
    arguments = [
        _named(argument, argument["name"], {"required": argument.get("required") is True}, ())
        for argument in _objects(entry, "arguments")
        if isinstance(argument.get("name"), str)
    ]
    return _named(entry, name, {"arguments": list(arguments)}, ())


def _named(
    entry: Mapping[str, JsonValue], name: JsonValue, more: JsonObject, texts: tuple[str, ...]
) -> JsonObject:
    """An entry of a listing, reduced to the fields in use."""
    given = entry.get("name")
    kept: JsonObject = {"name": given if isinstance(given, str) else name, **more}
    for key in ("title", "description", *texts):
        if isinstance(value := entry.get(key), str):
            kept[key] = value
    size = entry.get("size")
    if isinstance(size, int) and not isinstance(size, bool):
        kept["size"] = size
    return kept


def _listing(
    result: JsonObject, key: str, valid: Callable[[JsonObject], JsonObject | None]
) -> JsonObject:
    entries = [valid(entry) for entry in _objects(result, key)]
    kept: list[JsonValue] = [entry for entry in entries if entry is not None]
    return {**result, key: kept}


def _objects(result: Mapping[str, JsonValue], key: str) -> list[JsonObject]:
    return [entry for entry in _entries(result, key) if isinstance(entry, dict)]


def _entries(result: Mapping[str, JsonValue], key: str) -> list[JsonValue]:
    """The list under a key; an object's values, if it is an object; else empty."""
    match result.get(key):
        case list() as entries:
            return entries
        case dict() as named:
            return list(named.values())
        case _:
            return []
