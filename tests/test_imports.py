"""Starting is cheap: what is heavy is imported when it is first used."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("kronk_agent", "tools/kronk_tools", "mcp_servers/kronk_mcp_servers")
HEAVY = {
    "alembic",
    "ddgs",
    "fastapi",
    "jsonschema",
    "llama_cpp",
    "llguidance",
    "mcp",
    "numpy",
    "prometheus_client",
    "prompt_toolkit",
    "rich",
    "sqlalchemy",
    "trafilatura",
    "uvicorn",
}


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert _imported_by("-c", "import kronk_agent") & HEAVY == set()


def test_the_help_imports_nothing_heavy() -> None:
    assert _imported_by("-m", "kronk_agent", "--help") & HEAVY == set()


def test_what_is_imported_is_seen() -> None:
    assert _imported_by("-c", "import numpy") & HEAVY == {"numpy"}


def test_the_help_takes_less_than_half_a_second_of_cpu() -> None:
    # The best of three: what others do on the machine makes a run slower and never faster.
    assert min(_cpu_seconds("-m", "kronk_agent", "--help") for _ in range(3)) < 0.5


def test_the_package_jsonschema_is_imported_before_its_parts() -> None:
    """Two threads that import a part each, and the package not yet, get half of it."""
    first: list[str] = []
    for path in (file for folder in PACKAGES for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                imports = [each for each in ast.walk(node) if isinstance(each, ast.ImportFrom)]
                named = [
                    each.module for each in imports if str(each.module).startswith("jsonschema")
                ]
                first += [f"{path.name}: {node.name}" for name in named[:1] if name != "jsonschema"]

    assert first == []


def _imported_by(*arguments: str) -> set[str]:
    """The top-level names a fresh interpreter imports when run with these arguments."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^import time:.*\| +([^\s.]+)", run.stderr, flags=re.MULTILINE))


def _cpu_seconds(*arguments: str) -> float:
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return spent() - before
