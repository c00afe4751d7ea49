"""Runs the official MCP conformance suite and says how much of each revision is passed.

``python run.py client`` tests the MCP host, ``python run.py server`` the layer under our servers.
It ends with a line for each revision of the protocol, such as ``2026-07-28 32/32``, and for the
extension for tasks; and with 1 if anything is missing or failed.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REQUIRED = {
    "client": {"2025-11-25": 18, "2026-07-28": 32},
    "server": {"2025-11-25": 30, "2026-07-28": 37, "tasks": 9},
}
"""How many scenarios each revision requires, so that none can go missing.

The suite does not score extensions; its scenarios for tasks run along with 2026-07-28. One of them,
for notifications, is empty as yet.
"""

TIMEOUT_MILLISECONDS = 180_000
"""For one scenario of a client. All are started together, so two cores are busy for a while."""
START_SECONDS = 30.0
_RESULT = re.compile(r"^\s*(?P<mark>[✓✗]) (?P<name>[\w/-]+)(?:: (?P<checks>\d+) passed)?", re.M)


def main() -> None:
    (subject,) = sys.argv[1:]
    if not SUITE.is_file():
        sys.exit("the conformance suite is not installed: npm could not get it")
    passed = run_client() if subject == "client" else run_server()
    for revision, count in passed.items():
        print(f"{revision} {count}/{REQUIRED[subject][revision]}")
    sys.exit(passed != REQUIRED[subject])


def run_client() -> dict[str, int]:
    program = f"{sys.executable} {Path(__file__).with_name('client.py')}"
    options = ["--command", program, "--timeout", str(TIMEOUT_MILLISECONDS)]
    return {
        revision: count_required(run_suite("client", revision, options), number)
        for revision, number in REQUIRED["client"].items()
    }


def run_server() -> dict[str, int]:
    passed: dict[str, int] = {}
    required = dict(REQUIRED["server"])
    num_task_scenarios = required.pop("tasks")
    output = ""
    with serving() as url:
        for revision, number in required.items():
            output = run_suite("server", revision, ["--url", url])
            passed[revision] = count_required(output, number)
        passed["tasks"] = count_tasks(output, num_task_scenarios)
    return passed


@contextmanager
def serving() -> Iterator[str]:
    """The fixture server, and its URL."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    program = Path(__file__).with_name("server.py")
    with subprocess.Popen([sys.executable, str(program), str(port)]) as server:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def run_suite(subject: str, revision: str, options: list[str]) -> str:
    suite = subprocess.run(
        ["node", str(SUITE), subject, "--requirements", revision, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return suite.stdout


def count_required(output: str, number: int) -> int:
    """How many of the required scenarios were passed; others are run too and do not count."""
    _, _, summary = output.rpartition("SUMMARY ===")
    scored, _, others = summary.partition("Not scored for")
    names = {found["name"]: found["mark"] == "✓" for found in _RESULT.finditer(scored)}
    required = names.keys() - {found["name"] for found in _RESULT.finditer(others)}
    return report(output, {name: names[name] for name in required}, number)


def count_tasks(output: str, number: int) -> int:
    _, _, summary = output.rpartition("SUMMARY ===")
    scored, _, _ = summary.partition("Not scored for")
    found = {
        scenario["name"]: scenario["mark"] == "✓"
        for scenario in _RESULT.finditer(scored)
        if scenario["name"].startswith("tasks-") and scenario["checks"] != "0"
    }
    return report(output, found, number)


def report(output: str, scenarios: dict[str, bool], number: int) -> int:
    passed = {name for name, is_passed in scenarios.items() if is_passed}
    if len(passed) < number:
        print(output, file=sys.stderr)
    for name in sorted(scenarios.keys() - passed):
        print(f"✗ {name}", file=sys.stderr)
    return len(passed)


if __name__ == "__main__":
    main()
