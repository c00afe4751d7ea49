"""How soon ``kronk-agent chat`` answers at its first start and at its second. ``make bench-start``.

The configuration has 40 tools in Python. Each start is a process of its own; the cache folder is
empty before the first. What is compared is the time from the question to the first token.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_TOOLS = 40
MOST_OF_FIRST = 0.1
QUESTIONS = ("What is the capital of France?", "What is seven times eight?")
_TOOL = '''
@tool
def {name}(query: str, limit: int = 10) -> str:
    """Find {what} in the records of the company, as they were last night, the newest first.

    Args:
        query: words to look for; case does not matter.
        limit: how many to give at most, from 1 to 100.
    """
    return "nothing was found"
'''
_KINDS = ("orders", "invoices", "customers", "returns", "shipments", "prices", "stocks", "visits")
_GROUPS = ("new", "open", "late", "closed", "archived")


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the program."""

    prompt_tokens: int
    cached_tokens: int
    ttft_seconds: float
    """From the question, when the model was loaded, to the first token."""
    first_event_seconds: float
    """From the start of the process to the first part of the answer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="+", type=Path, help="GGUF files of models that chat")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    print("| model | prompt | first start | second start | ratio | wanted |")
    print("|---|---|---|---|---|---|")
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            first, second = measure(model, Path(folder), arguments.threads)
        ratio = second.ttft_seconds / first.ttft_seconds
        print(
            f"| {model.stem} | {first.prompt_tokens:,} tokens | {shown(first)} | {shown(second)}, "
            f"{second.cached_tokens:,} tokens from disk | {ratio:.3f} | ≤ {MOST_OF_FIRST} |",
            flush=True,
        )


def shown(start: Start) -> str:
    return f"{start.ttft_seconds:.2f} s ({start.first_event_seconds:.1f} s with loading)"


def measure(model: Path, folder: Path, threads: int | None) -> list[Start]:
    """Ask a different question at each of two starts."""
    tools = [f"{group}_{kind}" for group in _GROUPS for kind in _KINDS][:NUM_TOOLS]
    source = "from kronk_agent import tool\n" + "".join(
        _TOOL.format(name=f"find_{name}", what=name.replace("_", " ")) for name in tools
    )
    (folder / "tools.py").write_text(source)
    config = {
        "model": str(model.resolve()),
        "tools": [f"./tools.py:find_{name}" for name in tools],
        "engine": {"threads": threads},
        "agent": {"max_tokens": 16, "max_steps": 1},
        "sampling": {"temperature": 0},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    return [start(folder, question) for question in QUESTIONS]


def start(folder: Path, question: str) -> Start:
    program = [sys.executable, "-m", "kronk_agent", "chat", "--json", "-p", question]
    started_at = time.perf_counter()
    first_event_at: float | None = None
    step: dict[str, Any] = {}
    with subprocess.Popen(
        [*program, "--config", str(folder / "config.yaml")],
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["type"] in ("text_delta", "tool_call_start") and first_event_at is None:
                first_event_at = time.perf_counter()
            if event["type"] == "step_finished":
                step = event
    assert first_event_at is not None
    return Start(
        step["usage"]["prompt_tokens"],
        step["usage"]["cached_tokens"],
        step["timings"]["ttft_seconds"],
        first_event_at - started_at,
    )


if __name__ == "__main__":
    main()
