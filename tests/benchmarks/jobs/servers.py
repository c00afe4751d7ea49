"""The MCP servers that jobs are done with: real ones, of fixed versions (Makefile)."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
NODE_MODULES = ROOT / "node_modules" / "@modelcontextprotocol"
PYTHON_SERVERS = ROOT / "build" / "mcp-servers"
SQLITE_SERVER = ROOT / "build" / "mcp-server-sqlite" / "bin" / "python"
"""Python with the server, and with an older SDK than ours."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def _npm(name: str, *args: str, **env: str) -> Program:
    node = shutil.which("node") or "node"
    return Program(node, (str(_npm_file(name)), *args), env)


def _npm_file(name: str) -> Path:
    return NODE_MODULES / f"server-{name}" / "dist" / "index.js"


def _python(module: str, *args: str) -> Program:
    return Program(sys.executable, ("-m", module, *args), {"PYTHONPATH": str(PYTHON_SERVERS)})


def _sqlite(database: Path) -> Program:
    start = "from mcp_server_sqlite import main; main()"
    return Program(str(SQLITE_SERVER), ("-c", start, "--db-path", str(database)))


SERVERS: Mapping[str, Callable[[Path], Program]] = {
    "filesystem": lambda folder: _npm("filesystem", str(folder)),
    "memory": lambda folder: _npm("memory", MEMORY_FILE_PATH=str(folder / "memory.jsonl")),
    "everything": lambda folder: _npm("everything", "stdio"),
    "git": lambda folder: _python("mcp_server_git", "--repository", str(folder)),
    "time": lambda folder: _python("mcp_server_time", "--local-timezone", "UTC"),
    "sqlite": lambda folder: _sqlite(folder / "shop.db"),
}
"""Each given the folder of the job's world, in which it also runs."""


def is_installed(name: str) -> bool:
    """Can this server be started here?"""
    match name:
        case "sqlite":
            return SQLITE_SERVER.is_file()
        case "git" | "time":
            return (PYTHON_SERVERS / f"mcp_server_{name}").is_dir()
        case _:
            return shutil.which("node") is not None and _npm_file(name).is_file()
