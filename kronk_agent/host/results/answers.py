"""Results made valid before the SDK reads them: it refuses a whole result for one bad part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kronk_agent.host.results.call_result import valid_block, valid_call_result, valid_resource
from kronk_agent.host.results.tool_list import readable
from kronk_agent.messages import JsonObject, JsonValue

_Make: TypeAlias = Callable[[JsonObject], JsonObject]


def valid_answer(server: str, method: str, result: JsonObject, version: str) -> JsonObject:
    """The result of a request of ours, with what cannot be read left out or named.

    Args:
        server: its name, for warnings.
        method: of the request.
        result: what came; may be changed.
        version: of the protocol that is spoken.
    """
    if "_meta" in result and not isinstance(result["_meta"], dict):
        del result["_meta"]
    match method:
        case "tools/list":
            return {**result, "tools": list(readable(server, _entries(result, "tools"), version))}
        case "tools/call":
            return valid_call_result(
                result, any_structure=version not in HANDSHAKE_PROTOCOL_VERSIONS
            )
        case "tasks/get" if isinstance(done := result.get("result"), dict):
            return {**result, "result": valid_call_result(done, any_structure=True)}
        case "initialize":
            return _valid_introduction(result, server)
        case "resources/read":
            return {**result, "contents": [valid_resource(c) for c in _objects(result, "contents")]}
        case "prompts/get":
            return {**result, "messages": [_valid_message(m) for m in _objects(result, "messages")]}
        case "resources/list":
            return _listing(result, "resources", _valid_resource_entry)
        case "resources/templates/list":
            return _listing(result, "resourceTemplates", _valid_template)
        case "prompts/list":
            return _listing(result, "prompts", _valid_prompt)
        case _:
            return result


def _valid_introduction(result: JsonObject, server: str) -> JsonObject:
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


def _valid_message(message: Mapping[str, JsonValue]) -> JsonObject:
    role = "assistant" if message.get("role") == "assistant" else "user"
    content = message.get("content")
    first = content[0] if isinstance(content, list) and content else content
    return {"role": role, "content": valid_block(first)}


def _valid_resource_entry(entry: JsonObject) -> JsonObject | None:
    uri = entry.get("uri")
    return _named(entry, uri, {"uri": uri}, ("mimeType",)) if isinstance(uri, str) else None


def _valid_template(entry: JsonObject) -> JsonObject | None:
    uri = entry.get("uriTemplate")
    return _named(entry, uri, {"uriTemplate": uri}, ("mimeType",)) if isinstance(uri, str) else None


def _valid_prompt(entry: JsonObject) -> JsonObject | None:
    if not isinstance(name := entry.get("name"), str):
        return None
    gaps = [
        _named(gap, gap["name"], {"required": gap.get("required") is True}, ())
        for gap in _objects(entry, "arguments")
        if isinstance(gap.get("name"), str)
    ]
    return _named(entry, name, {"arguments": list(gaps)}, ())


def _named(
    entry: Mapping[str, JsonValue], name: JsonValue, more: JsonObject, texts: tuple[str, ...]
) -> JsonObject:
    """An entry of a listing, with only what we use of it."""
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
    """The list under a key; of an object in its place the values, and of anything else none."""
    match result.get(key):
        case list() as entries:
            return entries
        case dict() as named:
            return list(named.values())
        case _:
            return []
