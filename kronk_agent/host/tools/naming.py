"""Tool names as the model sees them: ``server__tool``, never two alike."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH = 64
_PREFIX_LENGTH = 32


def tool_names(server: str, tools: Iterable[str]) -> dict[str, str]:
    """Each tool's own name under the name the model sees, in the server's order.

    A name that had to be cut, or that became another's when it was made safe, ends in a hash of
    the tool's own.
    """
    prefix = server_prefix(server) + "__"
    safe = {tool: prefix + _UNSAFE.sub("_", tool) for tool in tools}
    uses = Counter(safe.values())
    names: dict[str, str] = {}
    for tool, name in safe.items():
        is_own = name == prefix + tool or uses[name] == 1
        if not is_own or len(name) > _NAME_LENGTH:
            name = name[: _NAME_LENGTH - len(_digest(tool))] + _digest(tool)
        names[name] = tool
    return names


def server_prefix(server: str) -> str:
    """The server's name, changed only where ``__`` in a tool's name would no longer mark its end.

    It holds no ``__`` and does not end in ``_``, so no two servers can share a tool name.
    """
    safe = re.sub(r"_{2,}", "_", _UNSAFE.sub("_", server)).rstrip("_")
    if safe == server and len(safe) <= _PREFIX_LENGTH:
        return safe
    room = _PREFIX_LENGTH - len(_digest(server))
    return safe[:room].rstrip("_") + _digest(server)


def _digest(name: str) -> str:
    return f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
