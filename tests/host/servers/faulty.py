"""MCP servers with faults: ``python faulty.py FAULT``. Plain JSON-RPC, since the SDK behaves.

With PIDS in the environment, each writes its process id as a file name into that directory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

Json = dict[str, Any]

ANY_OBJECT: Json = {"type": "object"}
PING: Json = {"name": "ping", "inputSchema": ANY_OBJECT}


class Refusal(Exception):
    """The call is answered with an error of the protocol."""


def write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def send(message: Json) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}))


def text(words: str) -> Json:
    return {"content": [{"type": "text", "text": words}]}


def pong(name: str, arguments: Json) -> Json:
    return text("pong")


def initialized(version: str) -> Json:
    return {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
        "serverInfo": {"name": "faulty", "version": "1"},
    }


def serve(
    tools: list[Json],
    call: Callable[[str, Json], Json] = pong,
    *,
    on_discover: Callable[[], None] | None = None,
    version: str = "2025-11-25",
    page: int = 2,
) -> None:
    """A server of the year 2025, with ``page`` tools a page."""
    for line in sys.stdin:
        request = json.loads(line)
        params: Json = request.get("params", {})
        result: Json
        if "id" not in request:
            continue
        match request["method"]:
            case "server/discover" if on_discover is not None:
                on_discover()
                continue
            case "initialize":
                result = initialized(version)
            case "tools/list":
                begin = int(params.get("cursor", 0))
                result = {"tools": tools[begin : begin + page]}
                if begin + page < len(tools):
                    result["nextCursor"] = str(begin + page)
            case "tools/call":
                try:
                    result = call(params["name"], params.get("arguments", {}))
                except Refusal as refusal:
                    error = {"code": -32602, "message": str(refusal)}
                    send({"id": request["id"], "error": error})
                    continue
            case method:
                error = {"code": -32601, "message": f"unknown method {method}"}
                send({"id": request["id"], "error": error})
                continue
        send({"id": request["id"], "result": result})


def healthy() -> None:
    serve([PING])


def noisy() -> None:
    write("Listening on stdio!\n{not json\n")
    sys.stdout.buffer.write("café\n".encode("latin-1"))
    serve([PING])


def talks_only() -> None:
    write("Hello! I am no MCP server.")
    silent()


def silent() -> None:
    for _ in sys.stdin:
        pass


def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def exits() -> None:
    sys.exit(f"Traceback:\n\n  no licence for token {os.environ.get('TOKEN')}")


def exits_quietly() -> None:
    sys.exit(1)


def mortal() -> None:
    def call(name: str, arguments: Json) -> Json:
        if name == "die":
            sys.stderr.write(arguments.get("words", ""))
            sys.stderr.flush()
            os._exit(1)
        return text(str(os.getpid()))

    serve([{"name": "die", "inputSchema": ANY_OBJECT}, {**PING, "name": "pid"}], call)


def mortal_once() -> None:
    """Like ``mortal``, but it leaves a mark, and where it finds one it exits at once."""
    mark = Path(os.environ["MARK"])
    if mark.exists():
        sys.exit("buried")
    mark.touch()
    mortal()


def samples_on_its_own() -> None:
    """Asks for a sample when nothing was asked of it, and tells the answer afterwards."""
    answers: list[str] = []
    question = {"role": "user", "content": {"type": "text", "text": "psst"}}
    for line in sys.stdin:
        message = json.loads(line)
        match message:
            case {"id": "sample"}:
                answers.append(message.get("error", message.get("result"))["message"])
            case {"id": id, "method": "initialize"}:
                send({"id": id, "result": initialized("2025-11-25")})
            case {"id": id, "method": "tools/list"}:
                params = {"messages": [question], "maxTokens": 5}
                send({"id": "sample", "method": "sampling/createMessage", "params": params})
                send({"id": id, "result": {"tools": [PING]}})
            case {"id": id, "method": "tools/call"}:
                send({"id": id, "result": text(answers.pop())})
            case {"id": id}:
                send({"id": id, "error": {"code": -32601, "message": "unknown method"}})


def subscribable() -> None:
    """Its resource changes with every call, which it tells those who listen."""
    listening: list[str] = []
    for line in sys.stdin:
        match json.loads(line):
            case {"id": id, "method": "initialize"}:
                send({"id": id, "result": initialized("2025-11-25")})
            case {"id": id, "method": "tools/list"}:
                send({"id": id, "result": {"tools": [PING]}})
            case {"id": id, "method": "resources/subscribe", "params": {"uri": uri}}:
                listening.append(uri)
                send({"id": id, "result": {}})
            case {"id": id, "method": "resources/unsubscribe", "params": {"uri": uri}}:
                listening.remove(uri)
                send({"id": id, "result": {}})
            case {"id": id, "method": "tools/call"}:
                for uri in listening:
                    send({"method": "notifications/resources/updated", "params": {"uri": uri}})
                send({"id": id, "result": text(f"{listening or 'nobody'} listens to note://a")})
            case {"id": id}:
                send({"id": id, "error": {"code": -32601, "message": "unknown method"}})


def renames() -> None:
    """Its tool has another name when it is started again."""
    mark = Path(os.environ["MARK"])
    name = "after" if mark.exists() else "before"
    mark.touch()
    serve([{**PING, "name": name}])


def modernised() -> None:
    """A server of 2025 that is one of 2026 when it is started again."""
    mark = Path(os.environ["MARK"])
    if not mark.exists():
        mark.touch()
        serve([PING])
        return
    listing = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    results: dict[str, Json] = {
        "server/discover": {
            **listing,
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
        },
        "tools/list": {**listing, "tools": [PING]},
        "tools/call": {**text("pong"), "resultType": "complete"},
    }
    for line in sys.stdin:
        request = json.loads(line)
        if result := results.get(request["method"]):
            send({"id": request["id"], "result": result})
        elif "id" in request:
            send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})


def exit_soon() -> None:
    time.sleep(0.1)
    os._exit(1)


def moody() -> None:
    """Each of its tools goes wrong in its own way."""

    def call(name: str, arguments: Json) -> Json:
        match name:
            case "hang":
                signal.pause()
            case "late":
                time.sleep(2.5)
            case "die":
                os._exit(1)
            case "die_afterwards":
                Thread(target=exit_soon).start()
            case "huge":
                return text("x" * 20_000_000)
        return text(f"{name} answered")

    names = ["ping", "hang", "late", "die", "die_afterwards", "huge"]
    serve([{**PING, "name": name} for name in names], call)


def chatty() -> None:
    """Writes two megabytes to its stderr for every call."""

    def call(name: str, arguments: Json) -> Json:
        sys.stderr.write("blah\n" * 400_000 + "last words\n")
        sys.stderr.flush()
        return text("pong")

    serve([PING], call)


def many() -> None:
    serve([{**PING, "name": f"tool{number}"} for number in range(1000)], page=100)


def exits_when_asked() -> None:
    serve([PING], on_discover=lambda: os._exit(1))


def ignores_the_question() -> None:
    """Leaves a mark when it is asked, and says nothing."""
    mark = os.environ.get("MARK")
    serve([PING], on_discover=lambda: Path(mark).touch() if mark else None)


def old_fashioned() -> None:
    serve([PING], version="1999-12-31")


def paged() -> None:
    serve([{**PING, "name": f"tool{number}"} for number in range(5)])


def refuses() -> None:
    """Its tools answer in the wrong way that is asked for, or die of it."""

    def call(name: str, arguments: Json) -> Json:
        results: dict[str, Json] = {
            "unknown content": {"content": [{"type": "video", "data": ""}]},
            "no base64": {"content": [{"type": "image", "data": "?", "mimeType": "image/png"}]},
            "breaks its schema": {"content": [], "structuredContent": {"sum": "three"}},
        }
        return results[arguments["how"]]

    output = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    serve([PING, {**PING, "name": "typed", "outputSchema": output}], call)


def grows() -> None:
    tools = [{**PING, "name": "grow"}]

    def call(name: str, arguments: Json) -> Json:
        if "refuse" in arguments:
            raise Refusal(arguments["refuse"])
        if name == "grown":
            return text("pong")
        tools.append({**PING, "name": "grown"})
        for _ in range(5):
            send({"method": "notifications/tools/list_changed"})
        return text("grew")

    serve(tools, call)


def environment() -> None:
    serve(
        [PING], lambda name, arguments: text(json.dumps({**os.environ, "PWD_NOW": str(Path.cwd())}))
    )


def broken_schemas() -> None:
    def tool(name: object, schema: object, **more: object) -> Json:
        return {"name": name, "inputSchema": schema, **more}

    serve(
        [
            tool("good", {"type": "object", "properties": {"a": {"type": "integer"}}}),
            tool("empty", {}),
            {"name": "none"},
            tool("nullable", {"type": ["object", "null"]}),
            tool("upper", {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}),
            tool("odd_extras", ANY_OBJECT, title=7, icons="none", annotations=[], outputSchema=3),
            tool("unknown_dialect", {"type": "object", "$schema": "https://example.org/mine"}),
            tool("array", {"type": "array"}),
            tool("text", "no schema"),
            tool("null_property", {"type": "object", "properties": {"a": None}}),
            tool("bad_type", {"type": "object", "properties": {"a": {"type": "strong"}}}),
            tool("dangling", {"type": "object", "properties": {"a": {"$ref": "#/$defs/no"}}}),
            tool("remote", {"type": "object", "allOf": [{"$ref": "http://127.0.0.1:9/s.json"}]}),
            tool("bad_pattern", {"type": "object", "properties": {"a": {"pattern": r"\p{L}"}}}),
            tool(42, ANY_OBJECT),
            tool("recursive", {"type": "object", "properties": {"child": {"$ref": "#"}}}),
        ]
    )


if __name__ == "__main__":
    if pids := os.environ.get("PIDS"):
        (Path(pids) / str(os.getpid())).touch()
    globals()[sys.argv[1]]()
