"""Tool names as the model sees them: ``server__tool``, always unique."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH = 64
_PREFIX_LENGTH = 32


def tool_names(server: str, tools: Iterable[str]) -> dict[str, str]:
    """Map the names the model sees to the server's own, in the server's order.

    A name that had to be shortened, or that would clash after unsafe characters were replaced, ends
    in a hash of the original name.
    """
    prefix = server_prefix(server) + "__"
    safe = {tool: prefix + _UNSAFE.sub("_", tool) for tool in tools}
    uses = Counter(safe.values())
    names: dict[str, str] = {}
    for tool, name in safe.items():
        is_unique = name == prefix + tool or uses[name] == 1
        if not is_unique or len(name) > _NAME_LENGTH:
            name = name[: _NAME_LENGTH - len(_digest(tool))] + _digest(tool)
        names[name] = tool
    return names


def server_prefix(server: str) -> str:
    """The server's name, changed only if its end could not be found in ``server__tool``.

    It contains no ``__`` and does not end in ``_``, so no two servers can share a tool name.
    """
    safe = re.sub(r"_{2,}", "_", _UNSAFE.sub("_", server)).rstrip("_")
    if safe == server and len(safe) <= _PREFIX_LENGTH:
        return safe
    length = _PREFIX_LENGTH - len(_digest(server))
    return safe[:length].rstrip("_") + _digest(server)


def _digest(name: str) -> str:
    return f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
