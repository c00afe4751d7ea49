"""Starting is cheap: what is heavy is imported when it is first used."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

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
