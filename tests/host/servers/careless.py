"""A server that answers calls with whatever it is given: ``python careless.py LINE [PREFIX]``.

``@ID@`` in the line stands for the request's id; the prefix stands before its first message.
"""

from __future__ import annotations

import json
import sys

LINE, PREFIX = sys.argv[1], (sys.argv[2:] or [""])[0]
RESULTS = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}, "logging": None},
        "serverInfo": {"name": "careless"},
    },
    "tools/list": {"tools": [{"name": "get", "inputSchema": {"type": "object"}}]},
}

is_first = True
for request in map(json.loads, sys.stdin.buffer):
    if "id" not in request:
        continue
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    if request["method"] == "tools/call":
        text = LINE.replace("@ID@", json.dumps(request["id"]))
    elif result := RESULTS.get(request["method"]):
        text = json.dumps({**answer, "result": result})
    else:
        text = json.dumps({**answer, "error": {"code": -32601, "message": "no such method"}})
    sys.stdout.buffer.write(((PREFIX if is_first else "") + text + "\n").encode("utf-8"))
    sys.stdout.buffer.flush()
    is_first = False
