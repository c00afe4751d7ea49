"""Whatever a server does: the turn goes on, the other servers too, and somebody reads what it was.

What comes of each fault is written into docs/mcp-host.md, from what happens here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from host.support import asking, faulty, hosting, states, tools, until
from host.test_requests import Models
from limits import seconds

from kronk_agent.agent import Agent
from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.host import Host
from kronk_agent.messages import JsonObject, Message, RunFinished, ToolFinished
from kronk_agent.testing import ScriptedModel, Turn, call

CHAPTER = Path(__file__).parents[2] / "docs" / "mcp-host.md"
BEGIN, END = "<!-- faults: written by tests/host/test_faults.py -->\n", "<!-- end of faults -->"
UPDATE = "KRONK_UPDATE_DOCS"

MakeServer = Callable[[str], McpServerConfig]
"""Of the address of the odd HTTP server."""


@dataclass(frozen=True)
class Case:
    """One fault: a server, and the tools of it that the model calls, a turn for each."""

    fault: str
    server: MakeServer
    tools: Sequence[str] = ()
    arguments: JsonObject = field(default_factory=dict)


def stdio(name: str, **more: object) -> MakeServer:
    return lambda odd_url: faulty(name, **more)


def http(path: str, **more: object) -> MakeServer:
    return lambda odd_url: McpServerConfig.model_validate({"url": odd_url + path, **more})


CASES = (
    Case("never answers", stdio("silent", startup_timeout=0.5)),
    Case("never answers, and ignores that it is told to end", stdio("deaf", startup_timeout=0.5)),
    Case("never answers a call", stdio("moody", timeout=0.3), ["hang"]),
    Case("answers a call after the timeout", stdio("moody", timeout=2), ["late"]),
    Case("… and is called again", stdio("moody", timeout=2), ["late", "ping"]),
    Case("dies at start", stdio("exits")),
    Case("dies in a call", stdio("moody"), ["die"]),
    Case("… and is called again", stdio("moody"), ["die", "ping"]),
    Case("dies between calls", stdio("moody"), ["die_afterwards", "ping"]),
    Case("prints noise", stdio("noisy"), ["ping"]),
    Case("prints only noise", stdio("talks_only", startup_timeout=2)),
    Case("sends a result of 20 MB", stdio("moody", max_output_tokens=5), ["huge"]),
    Case("sends an event of 2 MB", http("/call/event"), ["ping"]),
    Case("has a tool whose schema is `{}`", stdio("broken_schemas"), ["empty"]),
    Case("has a tool whose schema is recursive", stdio("broken_schemas"), ["recursive"]),
    Case("has a tool whose arguments are no object", stdio("broken_schemas"), ["array"]),
    Case("has 1,000 tools", stdio("many"), ["tool999"]),
    Case("changes its tools mid-run", stdio("grows"), ["grow", "grown"]),
    Case("ignores `server/discover`", stdio("ignores_the_question"), ["ping"]),
    Case("exits on `server/discover`", stdio("exits_when_asked"), ["ping"]),
    Case("refuses the protocol version", stdio("old_fashioned")),
    Case(
        "sends content of an unknown kind",
        stdio("refuses"),
        ["ping"],
        arguments={"how": "unknown content"},
    ),
    Case(
        "sends what breaks its own output schema",
        stdio("refuses"),
        ["typed"],
        arguments={"how": "breaks its schema"},
    ),
    Case("HTTP 401", http("/401")),
    Case("HTTP 404", http("/404")),
    Case("HTTP 500", http("/500")),
    Case("HTTP hangs", http("/hang", startup_timeout=0.5)),
    Case("HTTP 401 on a call", http("/call/401"), ["ping"]),
    Case("HTTP 404 on a call", http("/call/404"), ["ping"]),
    Case("HTTP 500 on a call", http("/call/500"), ["ping"]),
    Case("HTTP hangs on a call", http("/call/hang", timeout=0.3), ["ping"]),
    Case(
        "asks for samples in a loop",
        lambda odd_url: asking(protocol="legacy", sampling="allow"),
        ["nag"],
    ),
)


async def _outcome(case: Case, folder: Path, odd_url: str) -> str:
    """What the model or the person reads, with the good server and the turns unharmed."""
    servers = {"bad": case.server(odd_url), "good": faulty("healthy")}
    outcome = ""
    with anyio.fail_after(seconds(100)):
        async with hosting(servers, folder, get_model=Models(*["again"] * 20)) as host:
            with anyio.fail_after(seconds(20)):  # whatever the other one does
                await until(lambda: states(host)["good"] == "ready")
            await host.wait_ready()
            if not case.tools:
                outcome = str(host.statuses()[0].error)
                await _turn(host, ["good__ping"], case.arguments)
            for tool in case.tools:
                outcome = await _turn(host, [f"bad__{tool}", "good__ping"], case.arguments)
                await _settle(host, tool)
    return outcome


async def _turn(host: Host, names: Sequence[str], arguments: JsonObject) -> str:
    """An agent calls the bad server's tool, then the good one's, and answers. The first result."""
    script: list[Turn] = [call(name, **arguments) for name in names]
    results: list[str] = []
    finished: RunFinished | None = None
    agent = Agent(ScriptedModel([*script, "Done."]), host.toolsets)
    async with agent.run([Message.user("Go.")]) as run:
        async for event in run:
            match event:
                case ToolFinished():
                    results.append(event.result.text)
                case RunFinished():
                    finished = event
    assert finished is not None
    assert (finished.reason, finished.text, results[-1]) == ("stop", "Done.", "pong")
    return results[0]


async def _settle(host: Host, tool: str) -> None:
    """Wait for what the call brings about."""
    if tool == "die_afterwards":
        await until(lambda: states(host)["bad"] == "starting")
    if tool == "grow":
        await until(lambda: "bad__grown" in tools(host))


def _cell(outcome: str) -> str:
    """The words without what differs from run to run, and without what goes on for too long."""
    outcome = re.sub(r"127\.0\.0\.1:\d+", "HOST", outcome)
    outcome = re.sub(r"run '[^']*' by hand to see why; its output is in \S+", "…", outcome)
    outcome = re.sub(
        r"There is no tool (\S+)\. The tools are: .*", r"There is no tool \1. …", outcome
    )
    outcome = re.sub(r"output://bad/[a-z]+", "output://bad/…", outcome)
    outcome = re.sub(r"(x{10})x{100,}", r"\1…", outcome)
    outcome = outcome.replace("\n", " ").replace("|", "\\|").strip()
    return outcome


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fault}, {case.tools}")
async def test_the_fault_table_is_true(case: Case, tmp_path: Path, odd_url: str) -> None:
    outcome = _cell(await _outcome(case, tmp_path, odd_url))
    row = f"| {case.fault} | {outcome} |"

    chapter = CHAPTER.read_text(encoding="utf-8")
    before, _, rest = chapter.partition(BEGIN)
    written, end, after = rest.partition(END)
    assert end, f"{CHAPTER.name} has no place for the table"
    head, *rows = [line for line in written.splitlines() if not line.startswith("|---")]
    if os.environ.get(UPDATE):
        rows = [*rows, *[""] * (len(CASES) - len(rows))][: len(CASES)]
        rows[CASES.index(case)] = row
        table = "\n".join([head, "|---|---|", *rows])
        CHAPTER.write_text(f"{before}{BEGIN}{table}\n{END}{after}", encoding="utf-8")
        return

    assert rows[CASES.index(case)] == row, f"stale: run this with {UPDATE}=1"
    assert len(rows) == len(CASES)
