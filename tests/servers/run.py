"""Other people's MCP servers, as they are published: ``python run.py [NAME ...]``.

Each is installed below build/servers with a fixed version, started by the host, listed, called once
and ended. One that needs something from outside (a browser, an account, a database) is called all
the same: its own words about that must arrive. Of every tool, the grammar is made that holds a
model's calls to its schema, and of all the server's tools the one that offers them.

Prints a table, and ends with 1 if a row is wrong. ``schemas`` counts the tools whose schema is held
whole, without some keywords (named below), and not at all.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil
from servers.schemas import Grammars

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ToolError
from kronk_agent.host import Host
from kronk_agent.messages import JsonObject, TextPart
from kronk_agent.testing import invoke
from kronk_agent.tools import Tool

BUILD = Path(__file__).parents[2] / "build" / "servers"
WORK = Path(tempfile.mkdtemp(prefix="servers-"))
SECONDS = 120.0
_SHOWN = 70


@dataclass(frozen=True)
class Server:
    """A published server, and one call of it."""

    name: str
    package: str
    version: str
    tool: str
    arguments: JsonObject = field(default_factory=dict)
    program: str = ""
    """Of an npm package, its file; of a PyPI package, its command. Empty: the package's name."""
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    with_packages: tuple[str, ...] = ()
    needs: str = ""
    """What from outside the call needs, so that it fails here."""

    @property
    def is_npm(self) -> bool:
        return self.program.endswith((".js", ".mjs"))

    @property
    def folder(self) -> Path:
        return BUILD / f"{self.name}-{self.version}"

    @property
    def config(self) -> McpServerConfig:
        if self.is_npm:
            file = self.folder / "node_modules" / self.package / self.program
            command = ["node", str(file), *self.args]
        else:
            command = [str(self.folder / "bin" / (self.program or self.package)), *self.args]
        return McpServerConfig(
            command=command[0],
            args=tuple(command[1:]),
            env={"HOME": str(WORK), **self.env},
            cwd=WORK,
            startup_timeout=SECONDS,
            timeout=SECONDS,
        )

    def install(self) -> None:
        if (self.folder / ".done").exists():
            return
        if self.is_npm:
            quiet = (
                "--no-save",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
            )
            packages = f"{self.package}@{self.version}"
            command = ["npm", "install", "--prefix", str(self.folder), *quiet, packages]
        else:
            venv.create(self.folder, with_pip=True)
            pip = [str(self.folder / "bin" / "python"), "-m", "pip", "install", "-q"]
            command = [*pip, f"{self.package}=={self.version}", *self.with_packages]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        (self.folder / ".done").touch()


SERVERS = (
    Server(
        *("playwright", "@playwright/mcp", "0.0.83", "browser_navigate"),
        {"url": "about:blank"},
        program="cli.js",
        args=("--headless", "--isolated"),
        needs="a browser",
    ),
    Server(
        *("chrome-devtools", "chrome-devtools-mcp", "1.11.0", "list_pages"),
        program="build/src/bin/chrome-devtools-mcp.js",
        args=("--headless", "--isolated"),
        needs="a browser",
    ),
    Server(
        *("context7", "@upstash/context7-mcp", "4.1.1", "resolve-library-id"),
        {"query": "anyio", "libraryName": "anyio"},
        program="dist/index.js",
        needs="the internet",
    ),
    Server(
        *("desktop-commander", "@wonderwhy-er/desktop-commander", "0.2.52", "list_directory"),
        {"path": str(WORK)},
        program="dist/index.js",
    ),
    Server(
        *("kubernetes", "mcp-server-kubernetes", "4.1.7", "kubectl_get"),
        {"resourceType": "pods"},
        program="dist/index.js",
        needs="a cluster",
    ),
    Server(
        *("mongodb", "mongodb-mcp-server", "3.0.4", "list-databases"),
        {"connectionId": "none"},
        program="dist/esm/index.js",
        env={"MDB_MCP_TELEMETRY": "disabled"},
        needs="a database",
    ),
    Server(
        *("notion", "@notionhq/notion-mcp-server", "2.5.2", "API-get-self"),
        program="bin/cli.mjs",
        env={"NOTION_TOKEN": "ntn_none"},
        needs="an account",
    ),
    Server(
        *("firecrawl", "firecrawl-mcp", "3.26.0", "firecrawl_scrape"),
        {"url": "https://example.com"},
        program="dist/index.js",
        env={"FIRECRAWL_API_KEY": "fc-none"},
        needs="an account",
    ),
    Server(
        *("figma", "figma-developer-mcp", "0.13.2", "get_figma_data"),
        {"fileKey": "abc"},
        program="dist/bin.js",
        args=("--stdio", "--figma-api-key=none"),
        needs="an account",
    ),
    Server(
        *("excel", "excel-mcp-server", "2.2.2", "create_workbook"),
        {"path": str(WORK / "a.xlsx")},
        args=("stdio",),
    ),
    Server(
        *("sqlite", "mcp-server-sqlite", "2025.4.25", "read_query"),
        {"query": "SELECT 6 * 7"},
        args=("--db-path", str(WORK / "a.db")),
        with_packages=("mcp<2",),
    ),
    Server(
        *("duckdb", "mcp-server-motherduck", "1.1.0", "execute_query"),
        {"sql": "SELECT 6 * 7"},
        args=("--db-path", ":memory:", "--read-write"),
    ),
    Server(
        *("word", "office-word-mcp-server", "1.1.11", "create_document"),
        {"filename": str(WORK / "a.docx")},
        program="word_mcp_server",
    ),
    Server(
        *("aws-docs", "awslabs.aws-documentation-mcp-server", "1.2.3", "search_documentation"),
        {"search_phrase": "lambda"},
        env={"FASTMCP_LOG_LEVEL": "ERROR"},
        needs="the internet",
    ),
    Server(
        *("arxiv", "arxiv-mcp-server", "0.8.2", "search_papers"),
        {"query": "tools"},
        args=("--storage-path", str(WORK)),
        needs="the internet",
    ),
)


class LeftOut(logging.Handler):
    """Counts the tools that the host leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "ignored tool" in record.msg:
            self.lines.append(record.getMessage())


async def tried(server: Server, grammars: Grammars) -> tuple[str, bool]:
    """The server's row, and whether it is as it should be."""
    left_out = LeftOut()
    logging.getLogger("kronk_agent.host").addHandler(left_out)
    folder = Path(tempfile.mkdtemp(prefix="host-"))
    said, is_right = "", False
    ours = set(psutil.Process().children(recursive=True))
    try:
        async with Host(
            {server.name: server.config}, log_dir=folder, cache_dir=folder, pins_dir=folder / "pins"
        ) as host:
            await host.wait_ready()
            (status,) = host.statuses()
            tools = {tool.name: tool for toolset in host.toolsets for tool in toolset.tools()}
            if status.error is None:
                said, is_right = await _called(server, tools)
            else:
                said = status.error[:_SHOWN]
            processes = set(psutil.Process().children(recursive=True)) - ours
    finally:
        logging.getLogger("kronk_agent.host").removeHandler(left_out)
    _, alive = psutil.wait_procs([*processes], timeout=3)
    end = "clean" if not alive else f"{len(alive)} left"
    offered = f"{status.num_tools}/{status.num_tools + len(left_out.lines)}"
    held = await grammars.held(tuple(tools.values()))
    row = _row(
        server.name, server.version, offered, held.counts, f"{held.milliseconds:.0f} ms", end, said
    )
    lines = [row, *(f"    {problem}" for problem in [*left_out.lines, *held.problems])]
    is_right = is_right and held.is_right and not alive and not left_out.lines
    return "\n".join(lines), is_right


def _row(*cells: str) -> str:
    return "{:18} {:10} {:>7} {:>8} {:>7}  {:6} {}".format(*cells)


async def _called(server: Server, tools: Mapping[str, Tool]) -> tuple[str, bool]:
    """What the one call said, and whether it is what it should say."""
    name = f"{server.name}__{server.tool}"
    if name not in tools:
        return f"has no {server.tool}: {', '.join(tools)}"[:200], False
    try:
        output = await invoke(tools[name], server.arguments)
    except ToolError as failure:
        return f"needs {server.needs or 'nothing'}: {failure}"[:_SHOWN], bool(server.needs)
    text = " ".join(part.text for part in output.content if isinstance(part, TextPart))
    words = " ".join(text.split())[:_SHOWN]
    if server.needs:
        return f"needs {server.needs}: {words}", bool(words)
    return words, bool(words) and not output.is_error


def main(names: Sequence[str]) -> int:
    chosen = [server for server in SERVERS if not names or server.name in names]
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)  # a line that is no message is fine
    grammars = Grammars()
    are_right = []
    print(_row("server", "version", "tools", "schemas", "grammar", "end", "one call"))
    for server in chosen:
        try:
            server.install()
            row, is_right = anyio.run(tried, server, grammars)
        except subprocess.CalledProcessError:
            row = _row(server.name, server.version, *[""] * 4, "could not be installed")
            is_right = False
        are_right.append(is_right)
        print(row, flush=True)
    print(f"{sum(are_right)} of {len(are_right)} as they should be")
    return 0 if all(are_right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
