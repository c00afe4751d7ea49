"""Runs the official MCP conformance suite and says how much of each revision is passed.

``python run.py client`` tests the MCP host. It ends with a line for each revision of the protocol,
such as ``2026-07-28 32/32``, and with 1 if anything is missing or failed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
REQUIRED = {"client": {"2025-11-25": 18, "2026-07-28": 32}}
"""How many scenarios each revision requires, so that none can go missing."""

TIMEOUT_MILLISECONDS = 180_000
"""For one scenario. All of them are started together, so two cores are busy for a while."""
_RESULT = re.compile(r"^\s*(?P<mark>[✓✗]) (?P<name>[\w/-]+)", re.MULTILINE)


def main() -> None:
    (subject,) = sys.argv[1:]
    if not SUITE.is_file():
        sys.exit("the conformance suite is not installed: npm could not get it")
    passed = {revision: run(subject, revision) for revision in REQUIRED[subject]}
    for revision, count in passed.items():
        print(f"{revision} {count}/{REQUIRED[subject][revision]}")
    sys.exit(passed != REQUIRED[subject])


def run(subject: str, revision: str) -> int:
    """How many of the required scenarios were passed; others are run too and do not count."""
    program = f"{sys.executable} {Path(__file__).with_name(subject)}.py"
    options = ["--requirements", revision, "--timeout", str(TIMEOUT_MILLISECONDS)]
    suite = subprocess.run(
        ["node", str(SUITE), subject, "--command", program, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    _, _, summary = suite.stdout.partition("=== SUITE SUMMARY ===")
    scored, _, others = summary.partition("Not scored for")
    names = {found["name"]: found["mark"] == "✓" for found in _RESULT.finditer(scored)}
    required = names.keys() - {found["name"] for found in _RESULT.finditer(others)}
    passed = {name for name in required if names[name]}
    if len(passed) < REQUIRED[subject][revision]:
        print(suite.stdout, file=sys.stderr)
    print("\n".join(f"✗ {name}" for name in sorted(required - passed)), end="", file=sys.stderr)
    return len(passed)


if __name__ == "__main__":
    main()
